export type { VideoErrorObject } from '../contract/failure.js';
export { type GenerateVideoOptions, generateVideo } from './generate-video.js';
export { cancelOutcomeOf, videoFailureOf } from './video-failed.js';
export { type NamedBatch, type NexusRun, videoService } from './video-service.js';
