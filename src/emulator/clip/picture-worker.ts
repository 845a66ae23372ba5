import { parentPort, workerData } from 'node:worker_threads';
import { makePictureClip } from './picture-clip.js';
import type { PictureOrder } from './picture-thread.js';

// The thread of one clip; a picture that cannot be shown ends it with an error.
const { picture, options } = workerData as PictureOrder;
const clip = await makePictureClip(picture, options);
parentPort?.postMessage(clip);
