import { parentPort, workerData } from 'node:worker_threads';
import { makePictureClip } from './picture-clip.js';
import type { RenderRequest } from './picture-renderer.js';

// The thread of one clip. A picture that cannot be shown ends it with an error.
const { picture, options } = workerData as RenderRequest;
const clip = await makePictureClip(picture, options);
parentPort?.postMessage(clip);
