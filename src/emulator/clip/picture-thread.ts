import { Worker } from 'node:worker_threads';
import type { PictureClipOptions } from './picture-clip.js';

/** What a thread is to make. */
export interface PictureOrder {
  readonly picture: Uint8Array;
  readonly options: PictureClipOptions;
}

/** A clip of 15 s at 1080P takes about four seconds of one core; a busy machine may need many times that. */
const TIMEOUT_MS = 60_000;

/** Makes clips of pictures, one after the other and each in a thread of its own: the server goes on answering meanwhile. */
export class PictureThread {
  #latest: Promise<unknown> = Promise.resolve();
  #running: Worker | undefined;
  #closed = false;

  /** The clip, or undefined for a picture that cannot be shown. Never rejects. */
  render(order: PictureOrder): Promise<Uint8Array | undefined> {
    const clip = this.#latest.then(() => (this.#closed ? undefined : this.#run(order)));
    this.#latest = clip;
    return clip;
  }

  /** Ends the clip in hand and drops the others. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running?.terminate();
  }

  #run(order: PictureOrder): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const worker = new Worker(new URL('./picture-worker.js', import.meta.url), { workerData: order });
      this.#running = worker;
      const timer = setTimeout(() => void worker.terminate(), TIMEOUT_MS);
      worker.once('message', (clip: Uint8Array) => resolve(clip));
      worker.once('error', () => resolve(undefined));
      worker.once('exit', () => {
        clearTimeout(timer);
        resolve(undefined);
      });
    });
  }
}
