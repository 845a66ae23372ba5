import {
  CancellationScope,
  CancelledFailure,
  ChildWorkflowFailure,
  type ChildWorkflowHandle,
  defineSignal,
  setHandler,
  startChild,
  TerminatedFailure,
  TimeoutFailure,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { VideoErrorObject } from '../contract/failure.js';
import { PARENT_REPORT_MEMO, type VideoGenerate, WorkflowType } from '../contract/names.js';
import type { VideoRequest } from '../contract/request.js';
import type { CancelOutcome, VideoProgress, VideoResult } from '../contract/result.js';
import { chainOf, videoFailed, videoFailureOf } from './video-failed.js';

/** Options of {@link generateVideo}. */
export interface GenerateVideoOptions {
  /** Workflow id of the child; default: a new one below the parent's. While it is in use, one below it is taken. */
  readonly id?: string | undefined;
  /** The workers' queue for runs; default `video-generate`. */
  readonly taskQueue?: string | undefined;
  /** The child's summary in the Web UI. */
  readonly summary?: string | undefined;
  /** Receives the child's progress at each new stage; each costs a signal, which is an Action on Temporal Cloud. */
  readonly onProgress?: ((progress: VideoProgress) => void) | undefined;
}

/**
 * Generates a video in a child workflow of the workflow that calls it.
 *
 * The parent's end loses no paid video. The child is cancelled with the parent's end (`REQUEST_CANCEL`), also when the
 * parent is terminated: what is not bought yet is not bought, and what is bought is archived by a salvage, which
 * outlives both. A cancelled parent waits until its child has dealt with its task, at most some 20 seconds.
 * @throws ApplicationFailure with a published failure as `details[0]`, which `videoFailureOf` reads.
 * @throws CancelledFailure when the calling scope is cancelled, with `{ outcome, task_id, billed, reason }` as
 * `details[0]`, which `cancelOutcomeOf` reads.
 * @example
 * ```ts
 * const { video_url } = await generateVideo({
 *   prompt: 'the boat drifts',
 *   duration: 4,
 *   fps: 24,
 *   size: '1280*720',
 *   reference_image: 'https://example.com/boat.png',
 * });
 * ```
 */
export async function generateVideo(request: VideoRequest, options: GenerateVideoOptions = {}): Promise<VideoResult> {
  const { id = `${workflowInfo().workflowId}/video/${uuid4()}`, onProgress } = options;
  const signal = `video-progress/${uuid4()}`;
  let latest: VideoProgress | undefined;
  setHandler(defineSignal<[VideoProgress]>(signal), (progress) => {
    // Signals may overtake one another.
    if (latest !== undefined && progress.since_ms < latest.since_ms) return;
    latest = progress;
    onProgress?.(progress);
  });
  try {
    const child = await startUnder(id, { ...options, signal }, request);
    return await child.result();
  } catch (error) {
    throw ended(error, latest?.cancel ?? null);
  } finally {
    setHandler(defineSignal(signal), undefined);
  }
}

/** Starts the child; under a further id while the given one is in use, for example by the child before a reset. */
async function startUnder(
  id: string,
  { taskQueue = 'video-generate', summary, onProgress, signal }: GenerateVideoOptions & { readonly signal: string },
  request: VideoRequest,
): Promise<ChildWorkflowHandle<VideoGenerate>> {
  const start = (workflowId: string) =>
    startChild<VideoGenerate>(WorkflowType.videoGenerate, {
      workflowId,
      taskQueue,
      args: [request],
      parentClosePolicy: 'REQUEST_CANCEL',
      cancellationType: 'WAIT_CANCELLATION_COMPLETED',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      memo: { [PARENT_REPORT_MEMO]: { signal, stages: onProgress !== undefined } },
      ...(summary !== undefined && { staticSummary: summary }),
    });
  try {
    return await start(id);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'WorkflowExecutionAlreadyStartedError') throw error;
    // Equal requests are one purchase, under any id.
    return start(`${id}/${uuid4()}`);
  }
}

/** The error for the caller of a child that ended without a video. */
function ended(error: unknown, cancel: CancelOutcome | null): unknown {
  const known = videoFailureOf(error);
  if (known !== undefined) return videoFailed(known, error);
  const chain = chainOf(error);
  if (chain.some((one) => one instanceof CancelledFailure)) {
    const message = cancel?.outcome ?? 'The video was cancelled';
    if (CancellationScope.current().consideredCancelled) {
      return new CancelledFailure(message, cancel === null ? [] : [cancel], error as Error);
    }
    const { task_id, billed } = cancel ?? {};
    return videoFailed(
      { type: 'Cancelled', message, ...(task_id !== undefined && { task_id }), ...(billed != null && { billed }) },
      error,
    );
  }
  if (!(error instanceof ChildWorkflowFailure)) return error;
  return videoFailed(endOf(chain), error);
}

/** The end of a child that says nothing about itself. */
function endOf(chain: readonly Error[]): VideoErrorObject {
  const next_step = 'What was bought is archived within two minutes; start the request again to have it.';
  if (chain.some((one) => one instanceof TerminatedFailure)) {
    return { type: 'Terminated', message: "The video's workflow was terminated", next_step };
  }
  if (chain.some((one) => one instanceof TimeoutFailure)) {
    return { type: 'TimedOut', message: "The video's workflow timed out", next_step };
  }
  return { type: 'Failed', message: chain.at(-1)?.message ?? "The video's workflow failed" };
}
