/** Runs at most a fixed number of tasks at a time; the others wait in order. */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#free = limit;
  }

  /** Runs `task` as soon as a place is free; rejects with the signal's reason when it aborts before that. */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#acquire(signal);
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  /** The same for what can be done otherwise: undefined when no place is free within `waitMs`. */
  async runSoon<T>(task: () => Promise<T>, waitMs: number, signal: AbortSignal): Promise<T | undefined> {
    const late = AbortSignal.timeout(waitMs);
    try {
      return await this.run(task, AbortSignal.any([signal, late]));
    } catch (error) {
      if (late.aborted && error === late.reason) return undefined;
      throw error;
    }
  }

  #acquire(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onFree = () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(onFree), 1);
        reject(signal?.reason);
      };
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(onFree);
    });
  }
}
