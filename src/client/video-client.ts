import { randomUUID } from 'node:crypto';
import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  type WorkflowHandle,
  type WorkflowHandleWithFirstExecutionRunId,
  type WorkflowStartOptions,
} from '@temporalio/client';
import { runSummary } from '../batch/run-summary.js';
import { FailureType } from '../contract/failure-type.js';
import { PLACEHOLDER_REFERENCE } from '../contract/image-reference.js';
import { CANCEL_SIGNAL, RESOLVE_SIGNAL, videoWorkflowId, WorkflowType } from '../contract/names.js';
import type { VideoRequest } from '../contract/request.js';
import type { CancelOutcome, DecisionOutcome, SubmitDecision, VideoProgress, VideoResult } from '../contract/result.js';
import { invalidRequest, parseRequest, requestFingerprint, requestIssues } from '../contract/validate.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { DEFAULT_TASK_QUEUE } from './batch-options.js';
import { asNotFound } from './not-found.js';
import { encodesPayloads } from './payload-codec.js';
import { queryProgress } from './query-progress.js';
import { isReferenceSource, LocalImage } from './reference.js';
import { VideoRunError } from './run-error.js';
import { runErrorOf } from './run-failure.js';
import { readRunInput } from './run-input.js';
import { hasVideo, notCancellable } from './run-kind.js';
import { type ListOptions, listQuery, matchesList } from './run-list.js';
import { readProblem } from './run-problem.js';
import { staticDetails } from './run-texts.js';
import { type RunRequest, sendRequest } from './send-request.js';
import { startAttributes } from './start-attributes.js';
import { type VideoRun, type VideoStatus, videoRunOf } from './video-run.js';
import type {
  RunOptions,
  StartedVideo,
  StartOptions,
  VideoGenerateRequest,
  WanVideoClientOptions,
} from './video-start.js';

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
  /** Whether the namespace has our search attributes, as far as we know: false after the first refusal. */
  #hasAttributes = true;

  constructor({ client, taskQueue = DEFAULT_TASK_QUEUE, store }: WanVideoClientOptions) {
    this.#client = client;
    this.#taskQueue = taskQueue;
    this.#store = store;
  }

  /**
   * Starts a generation and waits for its video.
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
  async generate(request: VideoGenerateRequest, options: StartOptions = {}): Promise<VideoResult> {
    const { id, runId } = await this.start(request, options);
    return this.result(id, { runId });
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
  async start(request: VideoGenerateRequest, { id, signal }: StartOptions = {}): Promise<StartedVideo> {
    const parsed = await this.#withReference(request, signal);
    const fingerprint = requestFingerprint(parsed);
    // With "off" each request is for a new video, so its run is not shared.
    const suffix = parsed.cache === 'off' ? `/${randomUUID()}` : '';
    const workflowId = id ?? videoWorkflowId(`${fingerprint}${suffix}`);
    for (;;) {
      const started = await this.#startWorkflow(parsed, workflowId, fingerprint);
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
  async retry(id: string, { runId }: RunOptions = {}): Promise<StartedVideo> {
    const { run_id, status } = await this.describe(id, { runId, progress: false });
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
   * Waits for the video of a run, regardless of how long it takes.
   * @throws VideoRunError when the run failed, was cancelled (then `error.message` says what became of the task) or
   * terminated, or when there is no such run.
   * @example
   * ```ts
   * const { video_url, sha256 } = await videos.result('video/0a1b2c3d');
   * ```
   */
  async result(id: string, { runId }: RunOptions = {}): Promise<VideoResult> {
    try {
      return await this.#handle(id, runId).result();
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw runNotFound(id, error);
      const failure = runErrorOf(id, error);
      if (!failure.cancelled) throw failure;
      const progress = await this.progress(id, { runId }).catch(() => undefined);
      if (progress?.cancel == null) throw failure;
      const { outcome, billed } = progress.cancel;
      throw new VideoRunError(
        id,
        {
          ...failure.error,
          message: `The run was cancelled. ${outcome}`,
          ...(progress.task_id !== null && { task_id: progress.task_id }),
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
  async progress(id: string, { runId }: RunOptions = {}): Promise<VideoProgress> {
    return this.#call(id, queryProgress<VideoProgress>(this.#client, id, runId));
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
  async cancel(
    id: string,
    reason = 'cancelled by the caller',
    { runId }: RunOptions = {},
  ): Promise<CancelOutcome | null> {
    const handle = this.#handle(id, runId);
    const { type } = await this.#call(id, handle.describe());
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
  async resolve(id: string, decision: SubmitDecision, { runId }: RunOptions = {}): Promise<DecisionOutcome | null> {
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
    const { runId } = options;
    const description = await this.#call(id, this.#handle(id, runId).describe());
    const run = videoRunOf(description);
    const problem = run.status === 'running' ? await readProblem(this.#client, description, Date.now()) : null;
    const { type, taskQueue, historyLength } = description;
    const status = { ...run, workflow_type: type, task_queue: taskQueue, events: historyLength, problem };
    if (options.progress === false) return { ...status, progress: null, ...NO_END };
    const [progress, end] = await Promise.all([
      hasVideo(type) ? this.progress(id, { runId: run.run_id }).catch(() => null) : null,
      run.status === 'running' ? NO_END : this.#endOf(id, run.run_id),
    ]);
    const result = hasVideo(type) ? end.result : null;
    const taskId = run.task_id ?? result?.task_id ?? progress?.task_id ?? null;
    return { ...status, task_id: taskId, progress, result, error: end.error };
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
    if (options.labels !== undefined && Object.keys(options.labels).length > 0 && encodesPayloads(this.#client)) {
      throw new VideoError(FailureType.InvalidRequest, 'Runs cannot be listed by label: a payload codec is in use', {
        issues: [{ path: 'labels', message: 'are encoded and no search attribute then; list by tenant or batch' }],
      });
    }
    try {
      for await (const info of this.#client.workflow.list({ query: listQuery(options) })) {
        const run = videoRunOf(info);
        if (matchesList(run, options)) yield run;
      }
    } catch (cause) {
      if (!/search attribute|invalid query/i.test(textOf(cause))) throw cause;
      throw new VideoError(FailureType.ConfigurationInvalid, 'The namespace lacks the search attributes of this list', {
        cause,
        nextStep: 'Register them with "wan-video setup"; runs that were started before do not have them.',
      });
    }
  }

  async #withReference(request: VideoGenerateRequest, signal: AbortSignal | undefined): Promise<VideoRequest> {
    const { reference_image: source } = request;
    if (source === undefined || isReferenceSource(source)) {
      return parseRequest({ ...request, ...(source !== undefined && { reference_image: String(source) }) });
    }
    const store = this.#store;
    if (store === undefined) {
      throw new VideoError(FailureType.ConfigurationInvalid, 'An image of this machine needs the asset store', {
        nextStep: 'Give WanVideoClient the `store` of the workers, or give the image as an http(s) URL.',
      });
    }
    const image = await LocalImage.read(source, { signal });
    try {
      const issues = [
        ...requestIssues({ ...request, reference_image: PLACEHOLDER_REFERENCE }),
        ...image.issuesFor(request.reference_fit),
      ];
      if (issues.length > 0) throw invalidRequest(issues);
      return parseRequest({ ...request, reference_image: await image.stage(store, { signal }) });
    } finally {
      await image.dispose();
    }
  }

  /**
   * Returns undefined when a run of this id is open. The start itself does not join that run: the SDK does not report
   * whether a start has joined a run, so each start, of which most join none, would need a second call to find out.
   */
  async #startWorkflow(
    request: VideoRequest,
    workflowId: string,
    fingerprint: string,
  ): Promise<WorkflowHandleWithFirstExecutionRunId | undefined> {
    const start = async (withAttributes: boolean) => {
      const options: WorkflowStartOptions = {
        taskQueue: this.#taskQueue,
        workflowId,
        args: [request],
        workflowIdConflictPolicy: 'FAIL',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        staticSummary: runSummary(request),
        staticDetails: staticDetails(request),
        // The workflow reads `search_attributes` before it sets any.
        memo: { fingerprint, search_attributes: withAttributes },
        ...(withAttributes && { typedSearchAttributes: startAttributes(request, encodesPayloads(this.#client)) }),
      };
      try {
        return await this.#client.workflow.start(WorkflowType.videoGenerate, options);
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return undefined;
        throw error;
      }
    };
    if (!this.#hasAttributes) return start(false);
    try {
      return await start(true);
    } catch (error) {
      // A namespace without our attributes refuses the start; the run itself does not need them.
      if (!/no mapping defined for search attribute|not a valid search attribute/i.test(textOf(error))) throw error;
      this.#hasAttributes = false;
      return start(false);
    }
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

const runNotFound = (id: string, error: unknown): unknown =>
  asNotFound(error, {
    id,
    kind: 'run',
    nextStep: 'See "wan-video list"; TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE say where runs are looked for.',
  });

const textOf = (error: unknown): string =>
  error instanceof Error
    ? `${error.message} ${error.cause instanceof Error ? error.cause.message : ''}`
    : String(error);
