import { randomBytes } from 'node:crypto';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { type BatchRow, manifestHash, manifestSize, readReport, rowsOf } from '../batch/batch-files.js';
import { failedLines, type RetryChoice } from '../batch/failed-lines.js';
import { invalidLines, prepareManifest } from '../batch/prepare-manifest.js';
import type { BatchProgress, BatchSummary, VideoBatchInput } from '../contract/batch.js';
import { FailureType } from '../contract/failure-type.js';
import {
  BATCH_MEMO,
  batchWorkflowId,
  CANCEL_SIGNAL,
  PAUSE_SIGNAL,
  PROGRESS_QUERY,
  RESUME_SIGNAL,
  WINDOW_SIGNAL,
  WorkflowType,
} from '../contract/names.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { batchInvalidKey, batchManifestKey } from '../storage/keys.js';
import { estimateBatch } from './batch-estimate.js';
import {
  batchParts,
  checkBatchId,
  checkWindow,
  folderOf,
  imagesInFolder,
  type ManifestSource,
  nameOf,
  openManifest,
  type WanBatchClientOptions,
} from './batch-parts.js';
import type {
  BatchStatus,
  EstimateBatchOptions,
  StartBatchOptions,
  StartEstimate,
  StartedBatch,
} from './batch-start.js';
import { QUERY_TIMEOUT_MS } from './query-timeout.js';
import { VideoRunError } from './run-error.js';
import { batchDetails } from './run-texts.js';

const STATUS: Readonly<Record<string, BatchStatus['status']>> = {
  RUNNING: 'running',
  CONTINUED_AS_NEW: 'running',
  COMPLETED: 'completed',
  CANCELLED: 'cancelled',
  FAILED: 'failed',
  TIMED_OUT: 'failed',
  TERMINATED: 'terminated',
};

/** Starts, follows, steers and reports batches. Methods reject as those of `WanVideoClient` do. */
export class WanBatchClient {
  readonly #client: Client;
  readonly #store: AssetStore;
  readonly #taskQueue: string;

  constructor(options: WanBatchClientOptions) {
    const { client, store, taskQueue } = batchParts(options);
    [this.#client, this.#store, this.#taskQueue] = [client, store, taskQueue];
  }

  /**
   * Checks a manifest whole, stages its images, and starts the batch; nothing is bought before all of it is good. A
   * batch that exists is not started again.
   * @throws VideoError `InvalidRequest` with every fault by line.
   * @example
   * ```ts
   * const { batch_id, items } = await batches.start({ file: 'spring.jsonl' }, { id: 'spring', window: 20 });
   * ```
   */
  async start(source: ManifestSource, options: StartBatchOptions = {}): Promise<StartedBatch> {
    const { window, allowInvalid = false, signal, retryOf, pageItems } = options;
    const batchId = options.id ?? newBatchId(new Date());
    checkBatchId(batchId);
    checkWindow(window);
    if ((await this.#find(batchId)) !== undefined) return this.#existing(batchId);
    const prepared = await prepareManifest(() => openManifest(source), {
      name: nameOf(source),
      allowInvalid,
      signal,
      images: imagesInFolder(folderOf(source), this.#store, signal),
    });
    try {
      if (prepared.faults.length > 0) {
        await this.#store.put(batchInvalidKey(batchId), invalidLines(prepared.faults), { ifAbsent: true, signal });
      }
      const { stored } = await prepared.put(this.#store, batchManifestKey(batchId));
      // A manifest without a run is that of a start that was cut off; the same one may go on.
      if (!stored && (await manifestHash(this.#store, batchId)) !== prepared.sha256) {
        throw takenId(batchId);
      }
      const input: VideoBatchInput = {
        manifest_key: batchManifestKey(batchId),
        ...(window !== undefined && { window }),
        ...(allowInvalid && { allow_invalid: true }),
        ...(retryOf !== undefined && { retry_of: retryOf }),
        ...(pageItems !== undefined && { page_items: pageItems }),
      };
      await this.#startWorkflow(batchId, input, prepared.items);
      const { items, duplicates, faults: invalid } = prepared;
      return { batch_id: batchId, id: batchWorkflowId(batchId), already_existed: false, items, duplicates, invalid };
    } finally {
      await prepared.dispose();
    }
  }

  /**
   * What {@link start} would do with a manifest, cost and take. Checks it whole, and stages, buys and starts nothing.
   * @throws VideoError `InvalidRequest` with every fault by line, as a start does.
   * @example
   * ```ts
   * const account = { provider: 'dashscope', account: 'default' };
   * const { price, expected } = await batches.estimate({ file: 'spring.jsonl' }, { account });
   * ```
   */
  async estimate(source: ManifestSource, options: EstimateBatchOptions): Promise<StartEstimate> {
    const { id, window, allowInvalid = false, signal, account } = options;
    if (id !== undefined) checkBatchId(id);
    checkWindow(window);
    const existed = id !== undefined && (await this.#find(id)) !== undefined;
    const parts = { client: this.#client, store: this.#store };
    const estimate = await estimateBatch(parts, () => openManifest(source), {
      name: nameOf(source),
      allowInvalid,
      signal,
      account,
      window,
      soon: true,
      images: imagesInFolder(folderOf(source), this.#store, signal),
    });
    const { earliest_seconds, latest_seconds } = estimate.duration;
    const after = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();
    const expected = { earliest_at: after(earliest_seconds), latest_at: after(latest_seconds) };
    return { batch_id: id ?? null, already_existed: existed, ...estimate, expected };
  }

  /**
   * How far a batch is.
   * @throws VideoRunError `RunNotFound` when neither Temporal nor the store knows it.
   * @example
   * ```ts
   * const { status, summary } = await batches.status('spring');
   * ```
   */
  async status(batchId: string): Promise<BatchStatus> {
    const found = await this.#find(batchId);
    const summary = (await readReport(this.#store, batchId)) ?? null;
    if (found === undefined) {
      if (summary === null) throw notFound(batchId);
      const status = summary.outcome === 'cancelled' ? 'cancelled' : 'completed';
      return { batch_id: batchId, status, progress: null, summary };
    }
    const progress = await this.progress(batchId).catch(() => null);
    return {
      batch_id: batchId,
      status: STATUS[found] ?? 'unknown',
      progress,
      summary: found === 'RUNNING' ? null : summary,
    };
  }

  /**
   * What the batch's workflow says; a worker answers it.
   * @example
   * ```ts
   * const { in_flight, waiting } = await batches.progress('spring');
   * ```
   */
  async progress(batchId: string): Promise<BatchProgress> {
    const query = () => this.#client.workflow.getHandle(batchWorkflowId(batchId)).query<BatchProgress>(PROGRESS_QUERY);
    return this.#client.withDeadline(Date.now() + QUERY_TIMEOUT_MS, query).catch((error: unknown) => {
      throw asNotFound(batchId, error);
    });
  }

  /**
   * Waits for the end of a batch, over all of its runs.
   * @throws VideoRunError when it was cancelled, terminated or failed as a whole; an item's failure is no failure of
   * the batch.
   * @example
   * ```ts
   * const { counts, billed } = await batches.result('spring');
   * ```
   */
  async result(batchId: string): Promise<BatchSummary> {
    const { runErrorOf } = await import('./run-failure.js');
    const { WorkflowFailedError } = await import('@temporalio/client');
    try {
      return (await this.#client.workflow.getHandle(batchWorkflowId(batchId)).result()) as BatchSummary;
    } catch (error) {
      throw error instanceof WorkflowFailedError
        ? runErrorOf(batchWorkflowId(batchId), error)
        : asNotFound(batchId, error);
    }
  }

  /**
   * Every line with its outcome, in the order of the manifest; a batch that runs shows what is written so far.
   * @throws VideoRunError `RunNotFound` when there is no such batch.
   * @example
   * ```ts
   * for await (const { item_id, outcome } of batches.report('spring')) console.log(item_id, outcome);
   * ```
   */
  async *report(batchId: string): AsyncGenerator<BatchRow> {
    if ((await this.#store.head(batchManifestKey(batchId))) === undefined) throw notFound(batchId);
    for await (const { row } of rowsOf(this.#store, batchId)) yield row;
  }

  /**
   * The lines that failed, as a manifest to be edited and started again; each says in `comment` why it failed.
   * @throws VideoRunError `RunNotFound` when there is no such batch.
   * @example
   * ```ts
   * for await (const line of batches.failed('spring')) console.log(JSON.stringify(line));
   * ```
   */
  async *failed(batchId: string, choice: RetryChoice = { causes: 'all' }): AsyncGenerator<Record<string, unknown>> {
    if ((await this.#store.head(batchManifestKey(batchId))) === undefined) throw notFound(batchId);
    yield* failedLines(this.#store, batchId, choice);
  }

  /**
   * Starts what failed for a cause that can pass as a batch of its own, `<id>.retry-<n>` unless an id is given.
   * @param options - `causes`: further failure types, or `all`; the rest as for a start.
   * @throws VideoRunError `NotRetried` while the batch runs, or when nothing of it is to be run again.
   * @example
   * ```ts
   * const { batch_id } = await batches.retry('spring', { causes: ['TaskFailed'] });
   * ```
   */
  async retry(
    batchId: string,
    options: Omit<StartBatchOptions, 'retryOf'> & { readonly causes?: readonly string[] | 'all' } = {},
  ): Promise<StartedBatch> {
    const { causes = [], ...start } = options;
    if ((await this.status(batchId)).status === 'running') {
      const message = `The batch ${batchId} has not ended`;
      throw new VideoRunError(batchId, {
        type: 'NotRetried',
        message,
        next_step: 'Wait for its end, or cancel it first.',
      });
    }
    const lines: Record<string, unknown>[] = [];
    for await (const line of this.failed(batchId, { causes, passable: true })) lines.push(line);
    if (lines.length === 0) {
      const message = `Nothing of the batch ${batchId} failed for a cause that can pass`;
      const next_step = `See "wan-video batch report ${batchId}"; --cause runs what failed otherwise.`;
      throw new VideoRunError(batchId, { type: 'NotRetried', message, next_step });
    }
    const id = start.id ?? (await this.#freeRetryId(batchId));
    return this.start({ lines }, { ...start, id, retryOf: batchId });
  }

  /**
   * Ends a batch: every item that is in work is cancelled, what had its video keeps it. Wait for it with
   * {@link result}.
   * @example
   * ```ts
   * await batches.cancel('spring', 'the wrong manifest');
   * ```
   */
  async cancel(batchId: string, reason = 'cancelled by the caller'): Promise<void> {
    await this.#signal(batchId, CANCEL_SIGNAL, { reason });
  }

  /**
   * Starts no further item; what is in work goes on.
   * @example
   * ```ts
   * await batches.pause('spring', 'the account is needed for something else');
   * ```
   */
  async pause(batchId: string, reason = 'paused on request'): Promise<void> {
    await this.#signal(batchId, PAUSE_SIGNAL, { reason });
  }

  /**
   * Goes on; items that failed for the account's sake are run again.
   * @example
   * ```ts
   * await batches.resume('spring');
   * ```
   */
  async resume(batchId: string): Promise<void> {
    await this.#signal(batchId, RESUME_SIGNAL);
  }

  /**
   * Changes how many items are in work at a time.
   * @example
   * ```ts
   * await batches.setWindow('spring', 50);
   * ```
   */
  async setWindow(batchId: string, window: number): Promise<void> {
    await this.#signal(batchId, WINDOW_SIGNAL, { window });
  }

  async #signal(batchId: string, signal: string, argument?: unknown): Promise<void> {
    const handle = this.#client.workflow.getHandle(batchWorkflowId(batchId));
    await (argument === undefined ? handle.signal(signal) : handle.signal(signal, argument)).catch((error: unknown) => {
      throw asNotFound(batchId, error);
    });
  }

  async #find(batchId: string): Promise<string | undefined> {
    try {
      return (await this.#client.workflow.getHandle(batchWorkflowId(batchId)).describe()).status.name;
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
      return (await readReport(this.#store, batchId)) === undefined ? undefined : 'FORGOTTEN';
    }
  }

  async #existing(batchId: string): Promise<StartedBatch> {
    const size = await manifestSize(this.#store, batchId);
    const { items = 0, duplicates = 0 } = size ?? {};
    return { batch_id: batchId, id: batchWorkflowId(batchId), already_existed: true, items, duplicates, invalid: [] };
  }

  async #startWorkflow(batchId: string, input: VideoBatchInput, items: number): Promise<void> {
    await this.#client.workflow.start(WorkflowType.videoBatch, {
      memo: { [BATCH_MEMO]: batchId },
      taskQueue: this.#taskQueue,
      workflowId: batchWorkflowId(batchId),
      args: [input],
      // Two starts at one moment are one batch.
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      staticSummary: `${items} items${input.retry_of === undefined ? '' : `, again what failed in ${input.retry_of}`}`,
      staticDetails: batchDetails(input),
    });
  }

  async #freeRetryId(batchId: string): Promise<string> {
    for (let n = 1; ; n += 1) {
      const id = `${batchId.replace(/\.retry-\d+$/, '')}.retry-${n}`;
      if ((await this.#find(id)) === undefined) return id;
    }
  }
}

/** `20260331-021500-1a2b3c4d`: sorts by time, and two at one moment differ. */
function newBatchId(now: Date): string {
  const time = now.toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  return `${time}-${randomBytes(4).toString('hex')}`;
}

const takenId = (batchId: string): VideoError =>
  new VideoError(FailureType.InvalidRequest, `The batch id ${batchId} is taken by another manifest`, {
    issues: [{ path: 'id', message: `is taken by another manifest: ${batchId}; choose another one` }],
    billed: false,
  });

const notFound = (batchId: string): VideoRunError =>
  new VideoRunError(batchId, { type: FailureType.RunNotFound, message: `There is no batch ${batchId}` });

function asNotFound(batchId: string, error: unknown): unknown {
  if (!(error instanceof WorkflowNotFoundError)) return error;
  const ended = /already completed/i.test(error.message);
  const message = ended ? `The batch ${batchId} has ended already` : `Temporal knows no batch ${batchId}`;
  return new VideoRunError(batchId, { type: FailureType.RunNotFound, message }, error);
}
