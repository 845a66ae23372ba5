export { type StartedVideo, type StartOptions, VideoRunError, WanVideoClient } from './video-client.js';
