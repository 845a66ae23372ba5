import { randomUUID } from 'node:crypto';
import { type Client, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import {
  ApplicationFailure,
  CancelledFailure,
  defineSearchAttributeKey,
  type SearchAttributePair,
} from '@temporalio/common';
import { CANCEL_SIGNAL, PROGRESS_QUERY, videoWorkflowId, WorkflowType } from '../contract/names.js';
import type { VideoRequest } from '../contract/request.js';
import type { VideoProgress, VideoResult } from '../contract/result.js';
import { parseRequest, requestFingerprint } from '../contract/validate.js';

/** How a run is started. */
export interface StartOptions {
  /** Workflow id; by default equal requests share `video/<fingerprint>`. */
  readonly id?: string;
}

/** A started run; `joined` when an equal request's run was there already. */
export interface StartedVideo {
  readonly id: string;
  readonly joined: boolean;
}

/** The run ended without a video; `error` is the published failure object, when it was a failure. */
export class VideoRunError extends Error {
  override readonly name = 'VideoRunError';
  readonly cancelled: boolean;
  readonly error: Record<string, unknown>;
  constructor(message: string, cancelled: boolean, error: Record<string, unknown>, cause: unknown) {
    super(message, { cause });
    this.cancelled = cancelled;
    this.error = error;
  }
}

/** Starts, follows and cancels generations through a Temporal client. */
export class WanVideoClient {
  readonly #client: Client;
  readonly #taskQueue: string;

  /**
   * @param options.client - A connected Temporal client.
   * @param options.taskQueue - The workers' generate queue; default `video-generate`.
   */
  constructor({ client, taskQueue = 'video-generate' }: { client: Client; taskQueue?: string }) {
    this.#client = client;
    this.#taskQueue = taskQueue;
  }

  /**
   * Starts a generation, or joins the running one of an equal request.
   * @throws VideoError `InvalidRequest` with all faults, before anything is sent.
   */
  async start(request: VideoRequest, options: StartOptions = {}): Promise<StartedVideo> {
    const parsed = parseRequest(request);
    const fresh = parsed.cache === 'off' ? `/${randomUUID()}` : '';
    const id = options.id ?? videoWorkflowId(`${requestFingerprint(parsed)}${fresh}`);
    const joined = await this.#isRunning(id);
    const start = (attributes: boolean) =>
      this.#client.workflow.start(WorkflowType.videoGenerate, {
        taskQueue: this.#taskQueue,
        workflowId: id,
        args: [parsed],
        workflowIdConflictPolicy: 'USE_EXISTING',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        staticSummary: `${parsed.duration} s ${parsed.size}: ${parsed.prompt.slice(0, 80)}`,
        memo: { search_attributes: attributes },
        ...(attributes && { typedSearchAttributes: attributesOf(parsed) }),
      });
    try {
      await start(true);
    } catch (error) {
      // A namespace without our attributes refuses the start; the run itself does not need them.
      if (
        !/no mapping defined for search attribute|not a valid search attribute/i.test(
          String((error as Error).cause ?? error),
        )
      )
        throw error;
      await start(false);
    }
    return { id, joined };
  }

  /**
   * Waits for the video of a run.
   * @throws VideoRunError when the run failed, was cancelled or was terminated.
   */
  async result(id: string): Promise<VideoResult> {
    try {
      return (await this.#handle(id).result()) as VideoResult;
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw error;
      let cause: Error | undefined = error.cause;
      while (cause !== undefined && !(cause instanceof ApplicationFailure) && cause.cause instanceof Error)
        cause = cause.cause;
      const cancelled = cause instanceof CancelledFailure;
      const detail =
        cause instanceof ApplicationFailure ? (cause.details?.[0] as Record<string, unknown> | undefined) : undefined;
      const fallback = {
        type: cancelled ? 'Cancelled' : cause instanceof ApplicationFailure ? (cause.type ?? 'Failed') : 'Failed',
        message: cause?.message ?? error.message,
      };
      throw new VideoRunError(String(detail?.['message'] ?? fallback.message), cancelled, detail ?? fallback, error);
    }
  }

  /** Starts and waits. */
  async generate(request: VideoRequest, options: StartOptions = {}): Promise<VideoResult> {
    return this.result((await this.start(request, options)).id);
  }

  /** What a run does now; needs a worker on its queue. */
  async progress(id: string): Promise<VideoProgress> {
    return this.#handle(id).query<VideoProgress>(PROGRESS_QUERY);
  }

  /** Asks a run to end as Cancelled; `reason` is kept in its history. */
  async cancel(id: string, reason = 'cancelled by the caller'): Promise<void> {
    await this.#handle(id).signal(CANCEL_SIGNAL, { reason });
  }

  #handle(id: string): WorkflowHandle {
    return this.#client.workflow.getHandle(id);
  }

  async #isRunning(id: string): Promise<boolean> {
    return this.#handle(id)
      .describe()
      .then(
        ({ status }) => status.name === 'RUNNING',
        () => false,
      );
  }
}

function attributesOf({ tenant, labels }: VideoRequest): SearchAttributePair[] {
  const pairs: SearchAttributePair[] = [];
  if (tenant !== undefined) pairs.push({ key: defineSearchAttributeKey('VideoTenant', 'KEYWORD'), value: tenant });
  if (labels !== undefined) {
    const value = Object.entries(labels).map(([name, label]) => `${name}=${label}`);
    pairs.push({ key: defineSearchAttributeKey('VideoLabels', 'KEYWORD_LIST'), value });
  }
  return pairs;
}
