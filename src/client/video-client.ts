import { randomUUID } from 'node:crypto';
import { type Client, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { FailureType } from '../contract/failure-type.js';
import { CANCEL_SIGNAL, RESOLVE_SIGNAL, videoWorkflowId, WorkflowType } from '../contract/names.js';
import { A_SIGNAL, A_TEXT, checkOptions } from '../contract/options.js';
import type { VideoRequest } from '../contract/request.js';
import type { CancelOutcome, DecisionOutcome, SubmitDecision, VideoProgress, VideoResult } from '../contract/result.js';
import { invalidRequest, requestFingerprint } from '../contract/validate.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { flushTracing } from '../tracing/start-sdk.js';
import { cancelOutcomeOf } from '../workflow/video-failed.js';
import { WanBatchClient } from './batch-client.js';
import { CLIENT_OPTIONS, clientOf, DEFAULT_TASK_QUEUE, WAIT_OPTIONS } from './batch-options.js';
import { checkRunCall, DESCRIBE_OPTIONS, RESULT_OPTIONS, runIdOf } from './call-options.js';
import { CONFORM_OPTIONS, type ConformVideoOptions, conformArchived, noVideo } from './conform.js';
import { connectFromEnv, type FromEnvOptions } from './from-env.js';
import { runNotFound } from './not-found.js';
import { PRESIGN_OPTIONS, PRESIGN_SECONDS, type PresignedVideo, presignVideo } from './presign.js';
import { nullUnlessUnreadable, queryProgress } from './query-progress.js';
import { stageRequest } from './request-image.js';
import { VideoRunError } from './run-error.js';
import { runErrorOf } from './run-failure.js';
import { readRunInput } from './run-input.js';
import { hasVideo, notCancellable } from './run-kind.js';
import { type ListOptions, listRuns } from './run-list.js';
import { readProblem } from './run-problem.js';
import { RunStarter } from './run-starter.js';
import { WanScheduleClient } from './schedule-client.js';
import { type RunRequest, sendRequest } from './send-request.js';
import { type VideoRun, type VideoStatus, videoRunOf } from './video-run.js';
import type {
  RunOptions,
  StartedVideo,
  StartOptions,
  VideoGenerateRequest,
  WaitOptions,
  WanVideoClientOptions,
} from './video-start.js';
import { waitFor } from './wait-for.js';
import { describeRun } from './without-payloads.js';

/** Why a run is cancelled when its caller does not say it. */
const BY_CALLER = 'cancelled by the caller';
const NO_END = { result: null, error: null };

/**
 * Starts, follows, lists and cancels generations.
 *
 * Equal requests share one run, and a finished request is answered from the cache, so every call may be repeated.
 * Methods reject with {@link VideoRunError} about the run, with `VideoError` about request, image or store, and with
 * the errors of Temporal's client when Temporal itself does not answer.
 */
export class WanVideoClient {
  readonly #client: Client;
  readonly #taskQueue: string;
  readonly #store: AssetStore | undefined;
  readonly #starter: RunStarter;
  #ownsConnection = false;

  /**
   * @throws VideoError `ConfigurationInvalid` with the name of an option that cannot be used.
   */
  constructor(options: WanVideoClientOptions) {
    checkOptions('WanVideoClient', options, CLIENT_OPTIONS);
    const { taskQueue = DEFAULT_TASK_QUEUE, store } = options;
    this.#client = clientOf(options);
    this.#taskQueue = taskQueue;
    this.#store = store;
    this.#starter = new RunStarter(this.#client, taskQueue);
  }

  /**
   * Connects with the settings of the environment, which the command and the workers use as well: Temporal, the asset
   * store, the task queue, a payload codec and proxies. {@link close} ends the connection.
   * @throws VideoError `ConfigurationInvalid` with every fault of the environment; `TemporalUnreachable`.
   * @example
   * ```ts
   * const videos = await WanVideoClient.fromEnv();
   * const { id } = await videos.start({
   *   prompt: 'the boat drifts slowly over the calm lake',
   *   duration: 4,
   *   fps: 24,
   *   size: '1280*720',
   *   reference_image: 'lake.jpg',
   * });
   * console.log(await videos.result(id, { timeoutMs: 600_000 }));
   * await videos.close();
   * ```
   */
  static async fromEnv(options: FromEnvOptions = {}): Promise<WanVideoClient> {
    const videos = new WanVideoClient(await connectFromEnv(options));
    videos.#ownsConnection = true;
    return videos;
  }

  /** Batches, over the same connection. @throws VideoError `ConfigurationInvalid` without a store. */
  get batches(): WanBatchClient {
    return new WanBatchClient(this.#withStore());
  }

  /** Schedules of batches, over the same connection. @throws VideoError `ConfigurationInvalid` without a store. */
  get schedules(): WanScheduleClient {
    return new WanScheduleClient(this.#withStore());
  }

  /**
   * Starts a generation and waits for its video.
   * @param options - `signal` and `timeoutMs` (counted from the start of the run) end the wait, and the run continues.
   * @throws VideoError as {@link start}, VideoRunError as {@link result}.
   * @example
   * ```ts
   * const { video_url } = await videos.generate({
   *   prompt: 'the boat drifts slowly over the calm lake',
   *   duration: 4,
   *   fps: 24,
   *   size: '1280*720',
   *   reference_image: 'lake.jpg',
   * });
   * ```
   */
  async generate(request: VideoGenerateRequest, options: StartOptions & WaitOptions = {}): Promise<VideoResult> {
    checkOptions('generate', options, { id: A_TEXT, ...WAIT_OPTIONS });
    const { timeoutMs, ...start } = options;
    const { id, runId } = await this.start(request, start);
    return this.result(id, { runId, signal: start.signal, timeoutMs });
  }

  /**
   * Starts a generation, or joins the running one of an equal request.
   * @throws VideoError `InvalidRequest` or `ReferenceRejected` with all faults together, before anything is sent;
   * `ConfigurationInvalid` for an image that must be staged when the client has no store; `StoreUnavailable` when
   * staging fails.
   * @example
   * ```ts
   * const { id, joined } = await videos.start({
   *   prompt: 'the boat drifts slowly over the calm lake',
   *   duration: 4,
   *   fps: 24,
   *   size: '1280*720',
   *   reference_image: new URL('https://example.com/lake.jpg'),
   * });
   * console.log(joined ? `joined ${id}` : `started ${id}`);
   * ```
   */
  async start(request: VideoGenerateRequest, options: StartOptions = {}): Promise<StartedVideo> {
    checkOptions('start', options, { id: A_TEXT, signal: A_SIGNAL });
    const { id, signal } = options;
    const parsed = await stageRequest(request, this.#store, signal);
    const fingerprint = requestFingerprint(parsed);
    // With "off" each request is for a new video, so its run is not shared.
    const suffix = parsed.cache === 'off' ? `/${randomUUID()}` : '';
    const workflowId = id ?? videoWorkflowId(`${fingerprint}${suffix}`);
    for (;;) {
      const started = await this.#starter.start(parsed, workflowId, fingerprint);
      if (started !== undefined) return { id: workflowId, runId: started.firstExecutionRunId, joined: false };
      const existing = await this.#handle(workflowId).describe();
      if (existing.closeTime !== undefined) continue; // it ended between the two calls, so the id is free
      const { type, memo, runId } = existing;
      if (type === WorkflowType.videoGenerate && memo?.['fingerprint'] === fingerprint) {
        return { id: workflowId, runId, joined: true };
      }
      throw invalidRequest([
        { path: 'id', message: `is used by a running ${type} of another request: ${workflowId}; choose another one` },
      ]);
    }
  }

  /**
   * Runs the request of an ended run again, under the same id. With `cache: use` (the default) a purchase that exists
   * is adopted, followed or answered from the cache, as for every equal request; `refresh` and `off` buy a new video.
   * @throws VideoRunError `RunNotFound` when there is no such run; `NotRetried` while it is running, or when it is not
   * a generation.
   * @example
   * ```ts
   * const { runId } = await videos.retry('video/0a1b2c3d');
   * const { video_url } = await videos.result('video/0a1b2c3d', { runId });
   * ```
   */
  async retry(id: string, options: RunOptions = {}): Promise<StartedVideo> {
    const { run_id, status } = await this.describe(id, { runId: runIdOf('retry', id, options), progress: false });
    if (status === 'running') {
      throw new VideoRunError(id, {
        type: 'NotRetried',
        message: `The run ${id} has not ended`,
        next_step: 'Follow it with "wan-video watch", or end it with "wan-video cancel" first.',
      });
    }
    return this.start((await readRunInput(this.#client, id, run_id)) as VideoRequest, { id });
  }

  /**
   * Waits for the video of a run, regardless of how long it takes unless `timeoutMs` bounds it.
   * @throws the reason of `signal`; VideoRunError `WaitTimedOut` after `timeoutMs`: the run continues in both cases.
   * @throws VideoRunError when the run failed, was cancelled (then `error.message` says what became of the task) or
   * terminated, or when there is no such run.
   * @example
   * ```ts
   * const { video_url, sha256 } = await videos.result('video/0a1b2c3d');
   * ```
   */
  async result(id: string, options: RunOptions & WaitOptions = {}): Promise<VideoResult> {
    checkRunCall('result', id, options, RESULT_OPTIONS);
    const { runId } = options;
    try {
      return await waitFor(this.#client, id, options, () => this.#handle(id, runId).result());
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw runNotFound(id, error);
      const failure = runErrorOf(id, error);
      if (!failure.cancelled) throw failure;
      const cancel = cancelOutcomeOf(error);
      if (cancel === undefined) throw failure;
      const { outcome, task_id, billed } = cancel;
      throw new VideoRunError(
        id,
        {
          ...failure.error,
          message: `The run was cancelled. ${outcome}`,
          ...(task_id !== undefined && { task_id }),
          ...(billed !== null && { billed }),
        },
        error,
      );
    }
  }

  /**
   * Queries what a run is doing, or how it ended; a worker answers. The query is a billed Action on Temporal Cloud.
   * @throws VideoRunError `RunNotFound` when there is no such run; an error of Temporal's client when no worker answers
   * within 5 s.
   * @example
   * ```ts
   * const { stage, eta } = await videos.progress('video/0a1b2c3d');
   * console.log(stage, eta === null ? '' : new Date(eta.latest_ms).toISOString());
   * ```
   */
  async progress(id: string, options: RunOptions = {}): Promise<VideoProgress> {
    return this.#call(id, queryProgress<VideoProgress>(this.#client, id, runIdOf('progress', id, options)));
  }

  /**
   * Cancels a run, and returns what became of its task. Repeating the call changes nothing.
   * @param reason - For people; no secrets.
   * @returns null when no worker has answered within 5 s, or the run has not ended within 30 s: Temporal keeps the
   * request, and {@link result} reports its outcome.
   * @throws VideoRunError `RunNotFound` when there is no such run or it has ended already; `NotCancelled` for a run
   * that is not a generation, such as a salvage or a batch; `MessageRefused` for a run that ends at this moment.
   * @example
   * ```ts
   * const cancelled = await videos.cancel('video/0a1b2c3d', 'wrong picture');
   * console.log(cancelled?.outcome, cancelled?.billed);
   * ```
   */
  async cancel(id: string, reason = BY_CALLER, options: RunOptions = {}): Promise<CancelOutcome | null> {
    const runId = runIdOf('cancel', id, options, { reason });
    const { type } = await this.#call(id, describeRun(this.#client, id, runId));
    const refusal = notCancellable(id, type);
    if (refusal !== undefined) throw refusal;
    return this.#request(id, runId, { name: CANCEL_SIGNAL, argument: { reason }, unanswered: 'signal' });
  }

  /**
   * Decides what became of the submit of a run in `needs_attention`: which task is its own, or that none is and another
   * one may be bought.
   * @returns null when the decision was sent and its effect is not known: the worker is of an older version, or the
   * decision takes longer than 30 s. Then {@link progress} shows it, or says why it was refused in `attention.refused`.
   * @throws VideoRunError `MessageRefused` with the reason; `RunNotFound` when there is no such run or it has ended;
   * `NoWorker` when no worker has answered within 5 s.
   * @example
   * ```ts
   * await videos.resolve('video/0a1b2c3d', { task_id: 'a1b2c3d4-0000-4000-8000-000000000000' });
   * await videos.resolve('video/4e5f6071', { buy_again: true });
   * ```
   */
  async resolve(id: string, decision: SubmitDecision, options: RunOptions = {}): Promise<DecisionOutcome | null> {
    const runId = runIdOf('resolve', id, options, decision);
    // A decision that arrives twice could answer a question that nobody has seen.
    return this.#request(id, runId, { name: RESOLVE_SIGNAL, argument: decision, unanswered: 'fail' });
  }

  /**
   * Reads everything that is known of a run; what only a worker knows is null when none answers within 5 s.
   * @param options.progress - False leaves out progress, result and error, which cost a query or a second call.
   * @throws VideoRunError `RunNotFound` when Temporal knows no such run.
   * @example
   * ```ts
   * const { status, problem, result } = await videos.describe('video/0a1b2c3d');
   * console.log(status, problem ?? result?.video_url);
   * ```
   */
  async describe(id: string, options: RunOptions & { readonly progress?: boolean } = {}): Promise<VideoStatus> {
    checkRunCall('describe', id, options, DESCRIBE_OPTIONS);
    const description = await this.#call(id, describeRun(this.#client, id, options.runId));
    const run = videoRunOf(description);
    const problem = run.status === 'running' ? await readProblem(this.#client, description, Date.now()) : null;
    const { type, taskQueue, historyLength } = description;
    const status = { ...run, workflow_type: type, task_queue: taskQueue, events: historyLength, problem };
    if (options.progress === false) return { ...status, progress: null, ...NO_END };
    const [progress, end] = await Promise.all([
      hasVideo(type) ? this.progress(id, { runId: run.run_id }).catch(nullUnlessUnreadable) : null,
      run.status === 'running' ? NO_END : this.#endOf(id, run.run_id),
    ]);
    const result = hasVideo(type) ? end.result : null;
    const taskId = run.task_id ?? result?.task_id ?? progress?.task_id ?? null;
    return { ...status, task_id: taskId, progress, result, error: end.error };
  }

  /**
   * Makes another file from the video of a run, by a worker with ffmpeg. Buys nothing; equal calls share one file.
   * @throws VideoError `InvalidRequest` for unusable rules; VideoRunError `AssetNotFound` or `ConformFailed`.
   * @example
   * ```ts
   * const { video_url, original_url } = await videos.conform('video/0a1b2c3d', { conform: 'exact' });
   * ```
   */
  async conform(id: string, options: ConformVideoOptions & RunOptions = {}): Promise<VideoResult> {
    checkOptions('conform', options, CONFORM_OPTIONS);
    const { result, status } = await this.describe(id, { runId: options.runId });
    if (result === null) throw noVideo(id, status);
    return conformArchived(this.#client, this.#taskQueue, result, options);
  }

  /**
   * Lists runs, the newest first; pages are fetched as they are needed. A run is listed some moments after its start.
   * @throws VideoError `ConfigurationInvalid` when a condition needs a search attribute that the namespace does not
   * have; `InvalidRequest` for labels while a payload codec is in use.
   * @example
   * ```ts
   * for await (const { id, outcome } of videos.list({ tenant: 'film', status: 'Failed' })) console.log(id, outcome);
   * ```
   */
  async *list(options: ListOptions = {}): AsyncGenerator<VideoRun> {
    yield* listRuns(this.#client, options);
  }

  /**
   * Signs an https address of an archived video, under which anyone can fetch it until it expires: it is a secret
   * until then. Needs a store in S3.
   * @param video - The id of a run or of a task, a key of the store, or the `video_url` of a result in it.
   * @param options.expiresSeconds - At most seven days; default one hour.
   * @throws VideoError `ConfigurationInvalid` without a store, for a local one, or for an unusable time;
   * `AssetNotFound` when there is no such video. VideoRunError as {@link describe}.
   * @example
   * ```ts
   * const { url, expires_at } = await videos.presign('video/0a1b2c3d', { expiresSeconds: 900 });
   * ```
   */
  async presign(video: string, options: { readonly expiresSeconds?: number } = {}): Promise<PresignedVideo> {
    checkOptions('presign', options, PRESIGN_OPTIONS);
    return presignVideo(this.#withStore().store, video, options.expiresSeconds ?? PRESIGN_SECONDS, async (id) => {
      const { task_id: taskId, status } = await this.describe(id);
      return { taskId, status };
    });
  }

  /**
   * Closes the connection that {@link fromEnv} has opened; that of a `client` which was handed in stays open.
   * @example
   * ```ts
   * await videos.close();
   * ```
   */
  async close(): Promise<void> {
    if (!this.#ownsConnection) return;
    await this.#client.connection.close();
    await flushTracing();
  }

  #withStore(): { readonly client: Client; readonly taskQueue: string; readonly store: AssetStore } {
    const store = this.#store;
    if (store !== undefined) return { client: this.#client, taskQueue: this.#taskQueue, store };
    throw new VideoError(FailureType.ConfigurationInvalid, 'This needs the asset store of the workers', {
      nextStep: 'Give WanVideoClient the `store` (`openStore`), or set ASSET_STORE for `fromEnv`.',
    });
  }

  async #endOf(id: string, runId: string): Promise<Pick<VideoStatus, 'result' | 'error'>> {
    try {
      return { ...NO_END, result: await this.result(id, { runId }) };
    } catch (error) {
      if (error instanceof VideoRunError) return { ...NO_END, error: error.error };
      throw error;
    }
  }

  #request<Answer>(id: string, runId: string | undefined, request: RunRequest): Promise<Answer | null> {
    return this.#call(id, sendRequest<Answer>(this.#client, { id, handle: this.#handle(id, runId) }, request));
  }

  #handle(id: string, runId?: string): WorkflowHandle<(request: VideoRequest) => Promise<VideoResult>> {
    return this.#client.workflow.getHandle(id, runId);
  }

  /** Awaits a call to a run; throws `RunNotFound` when Temporal knows no such run, or when it has ended. */
  async #call<T>(id: string, call: Promise<T>): Promise<T> {
    return call.catch((error: unknown) => {
      throw runNotFound(id, error);
    });
  }
}
