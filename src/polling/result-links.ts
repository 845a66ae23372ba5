/** Links that are kept: more than a worker has archives waiting. */
const LINKS_MAX = 1_000;

/**
 * Links to results that a look has shown, from the step that watches a task to the step that downloads its video in the
 * same process: a query less for each video. A link is a secret while it lives, so it is kept in memory only.
 */
export class ResultLinks {
  /** By task id; the youngest last. */
  readonly #byTask = new Map<string, string>();

  add(taskId: string, url: string): void {
    this.#byTask.delete(taskId); // so that it becomes the youngest
    this.#byTask.set(taskId, url);
    for (const oldest of this.#byTask.keys()) {
      if (this.#byTask.size <= LINKS_MAX) break;
      this.#byTask.delete(oldest);
    }
  }

  /** Removes and returns a task's link: after a failure the provider is queried for a new one. */
  take(taskId: string): string | undefined {
    const url = this.#byTask.get(taskId);
    this.#byTask.delete(taskId);
    return url;
  }
}
