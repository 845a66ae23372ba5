import { Worker } from 'node:worker_threads';
import type { PictureClipOptions } from './picture-clip.js';

/** Input of the rendering thread. */
export interface RenderRequest {
  readonly picture: Uint8Array;
  readonly options: PictureClipOptions;
}

/** A clip of 15 s at 1080P takes about four seconds of one core; a busy machine may need many times that. */
const TIMEOUT_MS = 60_000;

/** Renders clips of pictures one by one, each in a thread of its own, so that the server keeps answering. */
export class PictureClipRenderer {
  #previous: Promise<unknown> = Promise.resolve();
  #thread: Worker | undefined;
  #isClosed = false;

  /** Resolves to the clip, or to undefined for a picture that cannot be shown. Never rejects. */
  render(request: RenderRequest): Promise<Uint8Array | undefined> {
    const clip = this.#previous.then(() => (this.#isClosed ? undefined : this.#run(request)));
    this.#previous = clip;
    return clip;
  }

  /** Ends the running thread and drops the waiting requests. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#thread?.terminate();
  }

  #run(request: RenderRequest): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const thread = new Worker(new URL('./picture-worker.js', import.meta.url), { workerData: request });
      this.#thread = thread;
      const timer = setTimeout(() => void thread.terminate(), TIMEOUT_MS);
      thread.once('message', (clip: Uint8Array) => resolve(clip));
      thread.once('error', () => resolve(undefined));
      thread.once('exit', () => {
        clearTimeout(timer);
        resolve(undefined);
      });
    });
  }
}
