import type { Client } from '@temporalio/client';
import type { Worker } from '@temporalio/worker';
import { VideoError } from '../contract/video-error.js';
import { redactText } from '../net/redact.js';
import type { AssetStore } from '../storage/asset-store.js';
import { readRecord } from '../storage/json-record.js';
import { STORE_ID_KEY } from '../storage/keys.js';

/** A poll lasts a minute on the server, which notes its beginning; after twice that the worker has stopped polling. */
const SEEN_WITHIN_MS = 120_000;
/** Temporal and the store answer within milliseconds; readiness probes give up after some seconds. */
const ASK_BOUND_MS = 2_000;
/** Temporal and the store are asked at most this often, however frequent the readiness probes are. */
const ASK_EVERY_MS = 5_000;

/** Whether a worker can do its work, and what prevents it. */
export interface Readiness {
  readonly ready: boolean;
  /** The state of each condition: `store`, `workers`, `temporal`. */
  readonly checks: Readonly<Record<'store' | 'workers' | 'temporal', string>>;
}

/** A worker's health; filled in while it starts. */
export class WorkerHealth {
  #store: Answers | undefined;
  #temporal: Answers | undefined;
  #workers: readonly Worker[] = [];
  #stopping = false;
  #fault: string | undefined;

  /** The store's conditional put is verified. @param store - Is read from now on to see whether it still answers. */
  storeProven(store?: AssetStore): void {
    this.#store = new Answers(async () => (store && (await findStoreFault(store))?.message) ?? 'ok');
  }

  /** Both workers are about to poll. */
  polling(workers: readonly Worker[], client: Client, taskQueue: string): void {
    this.#workers = workers;
    this.#stopping = false;
    const identity = workers[0]?.options.identity ?? '';
    this.#temporal = new Answers(() => seenByTemporal(client, taskQueue, identity));
  }

  /** The worker takes no new work from now on. */
  stopping(): void {
    this.#stopping = true;
  }

  /** The worker cannot go on and ends; its process must be replaced. */
  failing(reason: string): void {
    this.#fault ??= redactText(reason);
  }

  /** Why the process must be replaced; undefined while it need not be. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Asks Temporal and the store, at most every few seconds; never rejects. */
  async readiness(): Promise<Readiness> {
    const [store, temporal] = await Promise.all([
      this.#store?.latest() ?? 'not proven yet',
      this.#temporal?.latest() ?? 'not connected yet',
    ]);
    const states = this.#workers.map((worker) => worker.getState());
    const running = states.length > 0 && states.every((state) => state === 'RUNNING');
    const stopping = this.#stopping ? 'shutting down' : undefined;
    const workers = this.#fault ?? stopping ?? (running ? 'ok' : states.join(', ').toLowerCase() || 'starting');
    const checks = { store, workers, temporal };
    return { ready: Object.values(checks).every((text) => text === 'ok'), checks };
  }
}

/** The latest answer to a question, which is asked at most every few seconds. */
class Answers {
  readonly #ask: () => Promise<string>;
  #latest: { readonly askedMs: number; readonly text: Promise<string> } | undefined;

  constructor(ask: () => Promise<string>) {
    this.#ask = ask;
  }

  latest(): Promise<string> {
    const nowMs = performance.now();
    if (this.#latest === undefined || nowMs - this.#latest.askedMs >= ASK_EVERY_MS) {
      const asked = { askedMs: nowMs, text: this.#ask() };
      this.#latest = asked;
      // A bad answer is not kept: a worker that has just begun to poll is seen a moment later.
      void asked.text.then((text) => {
        if (text !== 'ok' && this.#latest === asked) this.#latest = undefined;
      });
    }
    return this.#latest.text;
  }
}

/** Why the store cannot be read now; undefined when it can. A body says why, which a HEAD's answer does not have. */
export async function findStoreFault(store: AssetStore): Promise<VideoError | undefined> {
  const signal = AbortSignal.timeout(ASK_BOUND_MS);
  try {
    await readRecord(store, STORE_ID_KEY, { signal });
    return undefined;
  } catch (cause) {
    if (cause instanceof VideoError) return cause;
    return new VideoError('StoreUnavailable', `The asset store ${store.name} does not answer`, { retryable: true });
  }
}

/** When Temporal saw this worker's last poll begin, by its own clock; undefined when it has seen none. */
export async function lastPollMs(client: Client, taskQueue: string, identity: string): Promise<number | undefined> {
  const { pollers } = await client.withDeadline(Date.now() + ASK_BOUND_MS, () =>
    client.workflowService.describeTaskQueue({
      namespace: client.options.namespace,
      taskQueue: { name: taskQueue },
      taskQueueType: 2, // TASK_QUEUE_TYPE_ACTIVITY: the activities are where the work is
    }),
  );
  const seen = (pollers ?? []).find((poller) => poller.identity === identity);
  return seen === undefined ? undefined : Number(seen.lastAccessTime?.seconds ?? 0) * 1000;
}

/** Whether Temporal sees the polls of this worker: a process that runs and does not poll does no work. */
async function seenByTemporal(client: Client, taskQueue: string, identity: string): Promise<string> {
  try {
    const seenMs = await lastPollMs(client, taskQueue, identity);
    if (seenMs === undefined) return `has not seen this worker poll ${taskQueue}`;
    const quietMs = Date.now() - seenMs;
    return quietMs <= SEEN_WITHIN_MS ? 'ok' : `saw the last poll ${Math.round(quietMs / 1000)} s ago`;
  } catch {
    return 'not reachable';
  }
}
