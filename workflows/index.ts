export { videoGenerate } from './video-generate.js';
