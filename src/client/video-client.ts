import { randomUUID } from 'node:crypto';
import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  type WorkflowHandle,
  type WorkflowHandleWithFirstExecutionRunId,
  WorkflowNotFoundError,
  type WorkflowStartOptions,
} from '@temporalio/client';
import { defineSearchAttributeKey, type SearchAttributePair } from '@temporalio/common';
import { FailureType } from '../contract/failure-type.js';
import { CANCEL_SIGNAL, PROGRESS_QUERY, RESOLVE_SIGNAL, videoWorkflowId, WorkflowType } from '../contract/names.js';
import type { VideoRequest } from '../contract/request.js';
import type { SubmitDecision, VideoProgress, VideoResult } from '../contract/result.js';
import { labelTexts } from '../contract/search-attributes.js';
import { invalidRequest, parseRequest, requestFingerprint, requestIssues } from '../contract/validate.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { encodesPayloads } from './payload-codec.js';
import { QUERY_TIMEOUT_MS } from './query-timeout.js';
import { isReference, LocalImage, UNSTAGED_REFERENCE } from './reference.js';
import { VideoRunError } from './run-error.js';
import { runErrorOf } from './run-failure.js';
import { inputOf } from './run-input.js';
import { hasVideo, notCancellable } from './run-kind.js';
import { fits, type ListOptions, listQuery } from './run-list.js';
import { staticDetails, staticSummary } from './run-texts.js';
import { problemOf, type VideoRun, type VideoStatus, videoRunOf } from './video-run.js';
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
 * Equal requests share one run, and a finished one is answered from the cache, so every call here may be repeated.
 * Methods reject with {@link VideoRunError} about the run, with `VideoError` about request, image or store, and with
 * the errors of Temporal's client when Temporal itself does not answer.
 */
export class WanVideoClient {
  readonly #client: Client;
  readonly #taskQueue: string;
  readonly #store: AssetStore | undefined;
  /** Learned from the first refusal: a namespace without our attributes is asked only once. */
  #attributes = true;

  constructor({ client, taskQueue = 'video-generate', store }: WanVideoClientOptions) {
    this.#client = client;
    this.#taskQueue = taskQueue;
    this.#store = store;
  }

  /**
   * Starts a generation and waits for its video.
   * @throws VideoError as {@link start}, VideoRunError as {@link result}.
   * @example
   * ```ts
   * const video = await videos.generate({
   *   prompt: 'the boat drifts',
   *   duration: 4,
   *   fps: 30,
   *   size: '1280*720',
   *   reference_image: 'https://example.com/boat.jpg',
   * });
   * console.log(video.video_url);
   * ```
   */
  async generate(request: VideoGenerateRequest, options: StartOptions = {}): Promise<VideoResult> {
    const { id, runId } = await this.start(request, options);
    return this.result(id, { runId });
  }

  /**
   * Starts a generation, or joins the running one of an equal request.
   * @throws VideoError `InvalidRequest` or `ReferenceRejected` with all faults at once, before anything is sent;
   * `ConfigurationInvalid` for an image that needs a store when there is none; `StoreUnavailable` when staging fails.
   * @example
   * ```ts
   * const { id, joined } = await videos.start({
   *   prompt: 'the boat drifts',
   *   duration: 4,
   *   fps: 30,
   *   size: '1280*720',
   *   reference_image: new URL('https://example.com/boat.jpg'),
   * });
   * ```
   */
  async start(request: VideoGenerateRequest, { id, signal }: StartOptions = {}): Promise<StartedVideo> {
    const parsed = await this.#withReference(request, signal);
    const fingerprint = requestFingerprint(parsed);
    // "off" asks for a new video each time, so its run is shared with nobody.
    const fresh = parsed.cache === 'off' ? `/${randomUUID()}` : '';
    const workflowId = id ?? videoWorkflowId(`${fingerprint}${fresh}`);
    for (;;) {
      const own = await this.#startWorkflow(parsed, workflowId, fingerprint);
      if (own !== undefined) return { id: workflowId, runId: own.firstExecutionRunId, joined: false };
      const there = await this.#client.workflow.getHandle(workflowId).describe();
      if (there.closeTime !== undefined) continue; // it ended between the two calls, so the id is free
      const { type, memo, runId } = there;
      if (type === WorkflowType.videoGenerate && memo?.['fingerprint'] === fingerprint) {
        return { id: workflowId, runId, joined: true };
      }
      throw invalidRequest([
        { path: 'id', message: `is taken by a running ${type} of another request: ${workflowId}; choose another one` },
      ]);
    }
  }

  /**
   * Runs the request of an ended run again, under the same id. With `cache: use` (the default) what was paid is
   * adopted, followed or answered from the cache, as for every equal request; `refresh` and `off` ask for a new video.
   * @throws VideoRunError `RunNotFound` when there is no such run; `NotRetried` while it runs, or when it is no
   * generation.
   * @example
   * ```ts
   * const { id } = await videos.retry('video/4f2a');
   * ```
   */
  async retry(id: string, { runId }: RunOptions = {}): Promise<StartedVideo> {
    const { run_id, status } = await this.describe(id, { runId, progress: false });
    if (status === 'running') {
      throw new VideoRunError(id, {
        type: 'NotRetried',
        message: `The run ${id} has not ended`,
        next_step: `Follow it with "wan-video watch", or end it with "wan-video cancel" first.`,
      });
    }
    return this.start((await inputOf(this.#client, id, run_id)) as VideoRequest, { id });
  }

  /**
   * Waits for the video of a run, however long it takes.
   * @throws VideoRunError when it failed, was cancelled (then `error.message` says what became of the task) or
   * terminated, or when there is no such run.
   * @example
   * ```ts
   * const { video_url, usage } = await videos.result('video/4f2a');
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
   * What a run does now. A worker answers it (an Action on Temporal Cloud), also for a run that has ended.
   * @throws VideoRunError when there is no such run; an error of Temporal's client when no worker answers within 5 s.
   * @example
   * ```ts
   * const { stage, waiting_for } = await videos.progress('video/4f2a');
   * ```
   */
  async progress(id: string, { runId }: RunOptions = {}): Promise<VideoProgress> {
    const query = () => this.#handle(id, runId).query<VideoProgress>(PROGRESS_QUERY);
    return this.#client.withDeadline(Date.now() + QUERY_TIMEOUT_MS, query).catch((error: unknown) => {
      throw runNotFound(id, error);
    });
  }

  /**
   * Asks a run to end as Cancelled; it does so within seconds, which {@link result} reports. Repeating it changes
   * nothing.
   * @param reason - For people; no secrets.
   * @throws VideoRunError `RunNotFound` when there is no such run or it has ended already; `NotCancelled` for what is
   * no generation, such as a salvage or a batch.
   * @example
   * ```ts
   * await videos.cancel('video/4f2a', 'the customer has left');
   * ```
   */
  async cancel(id: string, reason = 'cancelled by the caller', { runId }: RunOptions = {}): Promise<void> {
    const handle = this.#handle(id, runId);
    const { type } = await handle.describe().catch((error: unknown) => {
      throw runNotFound(id, error);
    });
    const refusal = notCancellable(id, type);
    if (refusal !== undefined) throw refusal;
    await handle.signal(CANCEL_SIGNAL, { reason }).catch((error: unknown) => {
      throw runNotFound(id, error);
    });
  }

  /**
   * Decides for a run in `needs_attention` what became of its submit: the task that is its own, or that none is and
   * another may be bought. Whether the decision is taken shows in {@link progress}: `attention.refused` says why not.
   * @throws VideoRunError `RunNotFound` when there is no such run or it has ended.
   * @example
   * ```ts
   * await videos.resolve('video/4f2a', { task_id: '86ecf553-d340-4e21' });
   * ```
   */
  async resolve(id: string, decision: SubmitDecision, { runId }: RunOptions = {}): Promise<void> {
    await this.#handle(id, runId)
      .signal(RESOLVE_SIGNAL, decision)
      .catch((error: unknown) => {
        throw runNotFound(id, error);
      });
  }

  /**
   * Everything that is known of a run; what only a worker knows is null when none answers within 5 s.
   * @param options.progress - False leaves out what costs a query or a second call: progress, result and error.
   * @throws VideoRunError `RunNotFound` when Temporal knows no such run.
   * @example
   * ```ts
   * const { status, trouble } = await videos.describe('video/4f2a', { progress: false });
   * ```
   */
  async describe(id: string, options: RunOptions & { readonly progress?: boolean } = {}): Promise<VideoStatus> {
    const { runId } = options;
    const description = await this.#handle(id, runId)
      .describe()
      .catch((error: unknown) => {
        throw runNotFound(id, error);
      });
    const run = videoRunOf(description);
    const trouble = run.status === 'running' ? problemOf(description, Date.now()) : null;
    const { type, taskQueue, historyLength } = description;
    const status = { ...run, workflow_type: type, task_queue: taskQueue, events: historyLength, trouble };
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
   * Lists runs, the newest first, page by page behind the scenes. Temporal shows a run here a moment after its start.
   * @throws VideoError `ConfigurationInvalid` when a condition needs a search attribute that the namespace does not
   * have.
   * @example
   * ```ts
   * for await (const { id, outcome } of videos.list({ tenant: 'acme' })) console.log(id, outcome);
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
        if (fits(run, options)) yield run;
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
    if (source === undefined || isReference(source)) {
      return parseRequest({ ...request, ...(source !== undefined && { reference_image: String(source) }) });
    }
    const store = this.#store;
    if (store === undefined) {
      throw new VideoError(FailureType.ConfigurationInvalid, 'An image of this machine needs the asset store', {
        nextStep: 'Give WanVideoClient the `store` of the workers, or the image as an http(s) URL.',
      });
    }
    const image = await LocalImage.read(source, { signal });
    try {
      const issues = [...requestIssues({ ...request, reference_image: UNSTAGED_REFERENCE }), ...image.issues];
      if (issues.length > 0) throw invalidRequest(issues);
      return parseRequest({ ...request, reference_image: await image.stage(store, { signal }) });
    } finally {
      await image.dispose();
    }
  }

  /**
   * Undefined when a run of this id is open. It is not joined by the same call: the SDK does not say whether a start
   * has joined a run, so each start, most of which join none, would need a second call to find out.
   */
  async #startWorkflow(
    request: VideoRequest,
    workflowId: string,
    fingerprint: string,
  ): Promise<WorkflowHandleWithFirstExecutionRunId | undefined> {
    const start = async (attributes: boolean) => {
      const options: WorkflowStartOptions = {
        taskQueue: this.#taskQueue,
        workflowId,
        args: [request],
        workflowIdConflictPolicy: 'FAIL',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        staticSummary: staticSummary(request),
        staticDetails: staticDetails(request),
        // The workflow reads `search_attributes` before it sets any.
        memo: { fingerprint, search_attributes: attributes },
        ...(attributes && { typedSearchAttributes: attributesOf(request, encodesPayloads(this.#client)) }),
      };
      try {
        return await this.#client.workflow.start(WorkflowType.videoGenerate, options);
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return undefined;
        throw error;
      }
    };
    if (!this.#attributes) return start(false);
    try {
      return await start(true);
    } catch (error) {
      // A namespace without our attributes refuses the start; the run itself does not need them.
      if (!/no mapping defined for search attribute|not a valid search attribute/i.test(textOf(error))) throw error;
      this.#attributes = false;
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

  #handle(id: string, runId?: string): WorkflowHandle<(request: VideoRequest) => Promise<VideoResult>> {
    return this.#client.workflow.getHandle(id, runId);
  }
}

/** Keeps every other error as it is. */
function runNotFound(id: string, error: unknown): unknown {
  if (!(error instanceof WorkflowNotFoundError)) return error;
  const ended = /already completed/i.test(error.message);
  const message = ended ? `The run ${id} has ended already` : `Temporal knows no run ${id}`;
  const look = 'See "wan-video list"; TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE say where runs are looked for.';
  const next = ended ? {} : { next_step: look };
  return new VideoRunError(id, { type: FailureType.RunNotFound, message, ...next }, error);
}

const textOf = (error: unknown): string =>
  error instanceof Error
    ? `${error.message} ${error.cause instanceof Error ? error.cause.message : ''}`
    : String(error);

function attributesOf({ tenant, labels }: VideoRequest, labelsHidden: boolean): SearchAttributePair[] {
  // Always one: the server's answer to it shows whether the namespace knows our attributes.
  const pairs: SearchAttributePair[] = [{ key: defineSearchAttributeKey('VideoOutcome', 'KEYWORD'), value: 'running' }];
  if (tenant !== undefined) pairs.push({ key: defineSearchAttributeKey('VideoTenant', 'KEYWORD'), value: tenant });
  // No codec reaches a search attribute, and labels are the caller's texts.
  if (labels !== undefined && !labelsHidden) {
    pairs.push({ key: defineSearchAttributeKey('VideoLabels', 'KEYWORD_LIST'), value: labelTexts(labels) });
  }
  return pairs;
}
