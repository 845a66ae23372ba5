/** Runs at most a fixed number of tasks at a time; what comes while all places are taken is refused. */
export class Bounded {
  #free: number;

  constructor(limit: number) {
    this.#free = limit;
  }

  /** @param refuse - Makes the error for a task that finds no place. */
  async run<T>(task: () => Promise<T>, refuse: () => Error): Promise<T> {
    if (this.#free === 0) throw refuse();
    this.#free -= 1;
    try {
      return await task();
    } finally {
      this.#free += 1;
    }
  }
}
