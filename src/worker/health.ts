import type { Client } from '@temporalio/client';
import type { Worker } from '@temporalio/worker';

/** A poll lasts a minute on the server, which notes its beginning; after twice that the worker has stopped polling. */
const SEEN_WITHIN_MS = 120_000;
/** Temporal answers within milliseconds; readiness probes give up after some seconds. */
const ASK_BOUND_MS = 2_000;
/** Temporal is queried at most this often, however frequent the readiness probes are. */
const ASK_EVERY_MS = 5_000;

/** Whether a worker can do its work, and what prevents it. */
export interface Readiness {
  readonly ready: boolean;
  /** The state of each condition: `store`, `workers`, `temporal`. */
  readonly checks: Readonly<Record<'store' | 'workers' | 'temporal', string>>;
}

/** A worker's health; filled in while it starts. */
export class WorkerHealth {
  #store = 'not proven yet';
  #workers: readonly Worker[] = [];
  #ask: (() => Promise<string>) | undefined;
  #stopping = false;
  #answer: { readonly askedMs: number; readonly text: Promise<string> } | undefined;

  /** The store's conditional put is verified. */
  storeProven(): void {
    this.#store = 'ok';
  }

  /** Both workers are about to poll. */
  polling(workers: readonly Worker[], client: Client, taskQueue: string): void {
    this.#workers = workers;
    const identity = workers[0]?.options.identity ?? '';
    this.#ask = () => seenByTemporal(client, taskQueue, identity);
  }

  /** The worker takes no new work from now on. */
  stopping(): void {
    this.#stopping = true;
  }

  /** Asks Temporal whether it sees this worker, at most every few seconds; never rejects. */
  async readiness(): Promise<Readiness> {
    const temporal = await this.#temporal();
    const states = this.#workers.map((worker) => worker.getState());
    const running = states.length > 0 && states.every((state) => state === 'RUNNING');
    const workers = this.#stopping ? 'shutting down' : running ? 'ok' : states.join(', ').toLowerCase() || 'starting';
    const checks = { store: this.#store, workers, temporal };
    return { ready: Object.values(checks).every((text) => text === 'ok'), checks };
  }

  #temporal(): Promise<string> {
    if (this.#ask === undefined) return Promise.resolve('not connected yet');
    const nowMs = performance.now();
    if (this.#answer === undefined || nowMs - this.#answer.askedMs >= ASK_EVERY_MS) {
      this.#answer = { askedMs: nowMs, text: this.#ask() };
      // A bad answer is not kept: a worker that has just begun to poll is seen a moment later.
      const asked = this.#answer;
      void asked.text.then((text) => {
        if (text !== 'ok' && this.#answer === asked) this.#answer = undefined;
      });
    }
    return this.#answer.text;
  }
}

/** Whether Temporal sees the polls of this worker: a process that runs and does not poll does no work. */
async function seenByTemporal(client: Client, taskQueue: string, identity: string): Promise<string> {
  try {
    const { pollers } = await client.withDeadline(Date.now() + ASK_BOUND_MS, () =>
      client.workflowService.describeTaskQueue({
        namespace: client.options.namespace,
        taskQueue: { name: taskQueue },
        taskQueueType: 2, // TASK_QUEUE_TYPE_ACTIVITY: the activities are where the work is
      }),
    );
    const seen = (pollers ?? []).find((poller) => poller.identity === identity);
    if (seen === undefined) return `has not seen this worker poll ${taskQueue}`;
    const quietMs = Date.now() - Number(seen.lastAccessTime?.seconds ?? 0) * 1000;
    return quietMs <= SEEN_WITHIN_MS ? 'ok' : `saw the last poll ${Math.round(quietMs / 1000)} s ago`;
  } catch {
    return 'not reachable';
  }
}
