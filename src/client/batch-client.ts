import {
  type Client,
  type WorkflowExecutionDescription,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import {
  type BatchRow,
  encodeInvalidLines,
  hashManifest,
  measureManifest,
  readReport,
  reportRows,
} from '../batch/batch-files.js';
import { type FailureFilter, failedLines } from '../batch/failed-lines.js';
import { prepareManifest } from '../batch/prepare-manifest.js';
import type { BatchControls, BatchProgress, BatchSummary, VideoBatchInput } from '../contract/batch.js';
import {
  BATCH_MEMO,
  batchWorkflowId,
  CANCEL_SIGNAL,
  PAUSE_SIGNAL,
  RESUME_SIGNAL,
  WINDOW_SIGNAL,
  WorkflowType,
} from '../contract/names.js';
import { checkOptions } from '../contract/options.js';
import type { CancelOutcome } from '../contract/result.js';
import type { AssetStore } from '../storage/asset-store.js';
import { batchInvalidKey, batchManifestKey } from '../storage/keys.js';
import { deliveryOf } from './batch-delivery.js';
import { batchIdTaken, batchNotFound } from './batch-errors.js';
import { estimateBatch } from './batch-estimate.js';
import {
  checkBatchId,
  checkWindow,
  clientOf,
  DEFAULT_TASK_QUEUE,
  newBatchId,
  STORE_CLIENT_OPTIONS,
  WAIT_OPTIONS,
  type WanBatchClientOptions,
} from './batch-options.js';
import {
  type BatchStatus,
  batchInput,
  type EstimateBatchOptions,
  STATUS_OF,
  type StartBatchOptions,
  type StartEstimate,
  type StartedBatch,
} from './batch-start.js';
import { checkBatchCall, checkRunCall, RETRY_OPTIONS } from './call-options.js';
import { localManifest, type ManifestSource } from './manifest-source.js';
import { asNotFound } from './not-found.js';
import { nullUnlessUnreadable, queryProgress } from './query-progress.js';
import { VideoRunError } from './run-error.js';
import { runErrorOf } from './run-failure.js';
import { readProblem } from './run-problem.js';
import { batchDetails } from './run-texts.js';
import { sendRequest } from './send-request.js';
import type { WaitOptions } from './video-start.js';
import { waitFor } from './wait-for.js';
import { describeRun } from './without-payloads.js';

/** Starts, follows, controls and reports batches. Methods reject as those of `WanVideoClient` do. */
export class WanBatchClient {
  readonly #client: Client;
  readonly #store: AssetStore;
  readonly #taskQueue: string;

  /** @throws VideoError `ConfigurationInvalid` with the name of an option that cannot be used. */
  constructor(options: WanBatchClientOptions) {
    checkOptions('WanBatchClient', options, STORE_CLIENT_OPTIONS);
    this.#client = clientOf(options);
    this.#store = options.store;
    this.#taskQueue = options.taskQueue ?? DEFAULT_TASK_QUEUE;
  }

  /**
   * Checks the whole manifest, stages its images, and starts the batch; nothing is bought unless every line is valid. A
   * batch that exists with the same manifest is not started again.
   * @throws VideoError `InvalidRequest` with every fault by line, or when the id belongs to another manifest.
   * @example
   * ```ts
   * const { batch_id, items } = await batches.start({ file: 'spring.jsonl' }, { id: 'spring', window: 20 });
   * console.log(`${batch_id}: ${items} items`);
   * ```
   */
  async start(source: ManifestSource, options: StartBatchOptions = {}): Promise<StartedBatch> {
    checkBatchCall('start', source, options);
    const { allowInvalid = false, deliver, signal } = options;
    const batchId = options.id ?? newBatchId(new Date());
    checkBatchId(batchId);
    const exists = await this.#exists(batchId);
    const storedSha256 = exists ? await hashManifest(this.#store, batchId, { signal }) : undefined;
    // A batch whose manifest was deleted is known by its id alone.
    if (exists && storedSha256 === undefined) return this.#existing(batchId);
    const { open, ...manifest } = localManifest(source, this.#store, signal);
    const prepared = await prepareManifest(open, { ...manifest, allowInvalid, deliver, signal });
    try {
      if (exists) {
        if (storedSha256 !== prepared.sha256) throw batchIdTaken(batchId);
        return await this.#existing(batchId);
      }
      if (prepared.faults.length > 0) {
        await this.#store.put(batchInvalidKey(batchId), encodeInvalidLines(prepared.faults), {
          ifAbsent: true,
          signal,
        });
      }
      const { stored } = await prepared.put(this.#store, batchManifestKey(batchId));
      // A manifest without a run remains of a start that was cut off; a start of the same manifest continues it.
      if (!stored && (await hashManifest(this.#store, batchId)) !== prepared.sha256) throw batchIdTaken(batchId);
      const { items, duplicates, faults: invalid } = prepared;
      await this.#startWorkflow(batchId, batchInput(batchId, options), items);
      return { batch_id: batchId, id: batchWorkflowId(batchId), already_existed: false, items, duplicates, invalid };
    } finally {
      await prepared.dispose();
    }
  }

  /**
   * Estimates what {@link start} would do with a manifest, what it would cost and how long it would take. Checks the
   * whole manifest; stages, buys and starts nothing.
   * @throws VideoError `InvalidRequest` with every fault by line, as {@link start} does.
   * @example
   * ```ts
   * const account = { provider: 'cn-beijing', account: 'default' };
   * const { counts, expected } = await batches.estimate({ file: 'spring.jsonl' }, { account });
   * console.log(`${counts.buy} videos to buy, done by ${expected.latest_at}`);
   * ```
   */
  async estimate(source: ManifestSource, options: EstimateBatchOptions): Promise<StartEstimate> {
    checkBatchCall('estimate', source, options);
    const { id, allowInvalid = false, ...others } = options;
    if (id !== undefined) checkBatchId(id);
    const exists = id !== undefined && (await this.#exists(id));
    const manifest = localManifest(source, this.#store, options.signal);
    const sources = { client: this.#client, store: this.#store };
    const estimate = await estimateBatch(sources, { ...manifest, ...others, id, allowInvalid, startsNow: true });
    const { earliest_seconds, latest_seconds } = estimate.duration;
    const after = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();
    const expected = { earliest_at: after(earliest_seconds), latest_at: after(latest_seconds) };
    return { batch_id: id ?? null, already_existed: exists, ...estimate, expected };
  }

  /**
   * Reads the state of a batch.
   * @throws VideoRunError `RunNotFound` when neither Temporal nor the store knows it.
   * @example
   * ```ts
   * const { status, progress } = await batches.status('spring');
   * console.log(status, progress?.counts);
   * ```
   */
  async status(batchId: string): Promise<BatchStatus> {
    const described = await this.#find(batchId);
    const found = described?.status.name;
    const status = found === undefined ? 'unknown' : (STATUS_OF[found] ?? 'unknown');
    // A running batch has no report, and is shown although the store is away.
    const summary = status === 'running' ? null : ((await readReport(this.#store, batchId)) ?? null);
    if (described !== undefined) {
      const problem = status === 'running' ? await this.#problem(described) : null;
      // A worker that cannot run the workflow cannot answer for it either.
      const progress = problem === null ? await this.progress(batchId).catch(nullUnlessUnreadable) : null;
      return { batch_id: batchId, status, progress, summary, ...(problem !== null && { problem }) };
    }
    if (summary === null) throw batchNotFound(batchId);
    const reported = summary.outcome === 'cancelled' ? 'cancelled' : 'completed';
    return { batch_id: batchId, status: reported, progress: null, summary };
  }

  /**
   * Queries the progress of a batch; a worker answers.
   * @throws VideoRunError `RunNotFound`; an error of Temporal's client when no worker answers within 5 s.
   * @example
   * ```ts
   * const { counts, in_flight, eta_ms } = await batches.progress('spring');
   * console.log(`${counts.generated} of ${counts.total}, ${in_flight} in progress`);
   * ```
   */
  async progress(batchId: string): Promise<BatchProgress> {
    return this.#call(batchId, queryProgress<BatchProgress>(this.#client, batchWorkflowId(batchId)));
  }

  /**
   * Waits for the end of a batch, over all of its runs.
   * @throws the reason of `signal`; VideoRunError `WaitTimedOut` after `timeoutMs`: the batch continues in both cases.
   * @throws VideoRunError when the batch was cancelled, terminated or failed as a whole; a failed item does not fail
   * the batch.
   * @example
   * ```ts
   * const { outcome, counts } = await batches.result('spring');
   * console.log(`${outcome}: ${counts.failed} of ${counts.total} failed`);
   * ```
   */
  async result(batchId: string, options: WaitOptions = {}): Promise<BatchSummary> {
    checkRunCall('result', batchId, options, WAIT_OPTIONS);
    try {
      return await waitFor(this.#client, batchId, options, () => this.#handle(batchId).result());
    } catch (error) {
      if (error instanceof WorkflowFailedError) throw runErrorOf(batchWorkflowId(batchId), error);
      throw asNotFound(error, { id: batchId, kind: 'batch' });
    }
  }

  /**
   * Lists every line with its outcome, in the order of the manifest; for a running batch, as far as it is recorded.
   * @throws VideoRunError `RunNotFound` when there is no such batch.
   * @example
   * ```ts
   * for await (const { item_id, outcome, video_url } of batches.report('spring')) {
   *   console.log(item_id, outcome, video_url);
   * }
   * ```
   */
  async *report(batchId: string): AsyncGenerator<BatchRow> {
    await this.#assertManifest(batchId);
    for await (const { row } of reportRows(this.#store, batchId)) yield row;
  }

  /**
   * Lists the lines without a video, as a manifest that can be edited and started again; `comment` says why each
   * failed.
   * @param filter - Default: every line that has no video and does not wait for a person.
   * @throws VideoRunError `RunNotFound` when there is no such batch.
   * @example
   * ```ts
   * for await (const line of batches.failedLines('spring', { causes: ['ContentRejected'] })) {
   *   console.log(JSON.stringify(line));
   * }
   * ```
   */
  async *failedLines(
    batchId: string,
    filter: FailureFilter = { causes: 'all' },
  ): AsyncGenerator<Record<string, unknown>> {
    await this.#assertManifest(batchId);
    yield* failedLines(this.#store, batchId, filter);
  }

  /**
   * Starts a batch of the lines that failed for a temporary cause; its id is `<id>.retry-<n>` by default.
   * @param options - Those of a start, and `causes`: further failure types to run again, or `all`.
   * @throws VideoRunError `NotRetried` while the batch is running, or when none of its lines is to be run again.
   * @example
   * ```ts
   * const { batch_id, items } = await batches.retry('spring', { causes: ['ReferenceRejected'] });
   * ```
   */
  async retry(
    batchId: string,
    options: Omit<StartBatchOptions, 'retryOf'> & { readonly causes?: readonly string[] | 'all' } = {},
  ): Promise<StartedBatch> {
    checkOptions('retry', options, RETRY_OPTIONS);
    const { causes = [], ...start } = options;
    if ((await this.status(batchId)).status === 'running') {
      throw new VideoRunError(batchId, {
        type: 'NotRetried',
        message: `The batch ${batchId} has not ended`,
        next_step: 'Wait for its end, or cancel it first.',
      });
    }
    const lines: Record<string, unknown>[] = [];
    for await (const line of this.failedLines(batchId, { causes, temporary: true })) lines.push(line);
    if (lines.length === 0) {
      throw new VideoRunError(batchId, {
        type: 'NotRetried',
        message: `No line of the batch ${batchId} failed for a temporary cause`,
        next_step: `See "wan-video batch report ${batchId}"; --cause runs lines again that failed for another cause.`,
      });
    }
    const id = start.id ?? (await this.#freeRetryId(batchId));
    const delivery = start.deliver === undefined ? await deliveryOf(this.#store, batchId) : {};
    return this.start({ lines }, { ...delivery, ...start, id, retryOf: batchId });
  }

  /**
   * Cancels a batch: its items in progress are cancelled, and finished ones keep their videos.
   * @returns what it has cost; null when no worker answers within 5 s, or it ends later: {@link result} waits for it.
   * @throws VideoRunError `RunNotFound` when there is no such batch or it has ended already; `MessageRefused` for one
   * that ends at this moment.
   * @example
   * ```ts
   * const cancelled = await batches.cancel('spring', 'wrong manifest');
   * console.log(cancelled?.outcome);
   * ```
   */
  async cancel(batchId: string, reason = 'cancelled by the caller'): Promise<CancelOutcome | null> {
    return this.#request(batchId, CANCEL_SIGNAL, { reason });
  }

  /**
   * Stops starting items; those in progress continue.
   * @returns what holds from now on; null when no worker has answered within 5 s: the request is kept.
   * @throws VideoRunError `RunNotFound` when there is no such batch or it has ended already; `MessageRefused` for one
   * that starts no further items anyway.
   * @example
   * ```ts
   * await batches.pause('spring', 'the budget is being raised');
   * ```
   */
  async pause(batchId: string, reason = 'paused on request'): Promise<BatchControls | null> {
    return this.#request(batchId, PAUSE_SIGNAL, { reason });
  }

  /**
   * Starts items again, and runs those again that failed because of the account.
   * @returns as {@link pause}, and throws as it does.
   * @example
   * ```ts
   * await batches.resume('spring');
   * ```
   */
  async resume(batchId: string): Promise<BatchControls | null> {
    return this.#request(batchId, RESUME_SIGNAL);
  }

  /**
   * Changes how many items are in progress at a time, from 1 to 500.
   * @returns as {@link pause}.
   * @throws VideoError `InvalidRequest` for any other number; VideoRunError as {@link pause}.
   * @example
   * ```ts
   * await batches.setWindow('spring', 40);
   * ```
   */
  async setWindow(batchId: string, window: number): Promise<BatchControls | null> {
    checkWindow(window);
    return this.#request(batchId, WINDOW_SIGNAL, { window });
  }

  #request<Answer>(batchId: string, name: string, argument?: object): Promise<Answer | null> {
    checkRunCall(name, batchId, {}, {}, argument);
    const run = { id: batchId, handle: this.#handle(batchId) };
    return this.#call(batchId, sendRequest<Answer>(this.#client, run, { name, argument, unanswered: 'signal' }));
  }

  #handle(batchId: string) {
    return this.#client.workflow.getHandle(batchWorkflowId(batchId));
  }

  /** Awaits a call to a batch; throws `RunNotFound` when Temporal knows no such batch, or when it has ended. */
  async #call<T>(batchId: string, call: Promise<T>): Promise<T> {
    return call.catch((error: unknown) => {
      throw asNotFound(error, { id: batchId, kind: 'batch' });
    });
  }

  /** Why a running batch is stuck; null when it is not, and when that cannot be found out. */
  #problem(described: WorkflowExecutionDescription): Promise<string | null> {
    return readProblem(this.#client, described, Date.now()).catch(() => null);
  }

  /** What Temporal knows of the batch; undefined when it does not know it. */
  async #find(batchId: string): Promise<WorkflowExecutionDescription | undefined> {
    try {
      return await describeRun(this.#client, batchWorkflowId(batchId));
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
  }

  /** Whether a batch has this id, also one whose history Temporal has deleted. */
  async #exists(batchId: string): Promise<boolean> {
    return (await this.#find(batchId)) !== undefined || (await readReport(this.#store, batchId)) !== undefined;
  }

  async #existing(batchId: string): Promise<StartedBatch> {
    const { items = 0, duplicates = 0 } = (await measureManifest(this.#store, batchId)) ?? {};
    return { batch_id: batchId, id: batchWorkflowId(batchId), already_existed: true, items, duplicates, invalid: [] };
  }

  async #assertManifest(batchId: string): Promise<void> {
    if ((await this.#store.head(batchManifestKey(batchId))) === undefined) throw batchNotFound(batchId);
  }

  async #startWorkflow(batchId: string, input: VideoBatchInput, items: number): Promise<void> {
    await this.#client.workflow.start(WorkflowType.videoBatch, {
      memo: { [BATCH_MEMO]: batchId },
      taskQueue: this.#taskQueue,
      workflowId: batchWorkflowId(batchId),
      args: [input],
      // Two starts of one id at the same moment are one batch.
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      staticSummary: `${items} items${input.retry_of === undefined ? '' : `, a retry of ${input.retry_of}`}`,
      staticDetails: batchDetails(input),
    });
  }

  async #freeRetryId(batchId: string): Promise<string> {
    for (let n = 1; ; n += 1) {
      const id = `${batchId.replace(/\.retry-\d+$/, '')}.retry-${n}`;
      if (!(await this.#exists(id))) return id;
    }
  }
}
