import * as wf from '@temporalio/workflow';
import { type Conform, conformFaults, conformRules } from '../../src/contract/conform.js';
import type { PostProduction } from '../../src/contract/request.js';
import type { VideoResult, VideoWarning } from '../../src/contract/result.js';
import { STEP_TIMES, type StepTimes } from '../../src/contract/times.js';
import { steps } from '../shared/activities.js';
import { failure, failureOf, runFailure } from '../shared/failures.js';
import { fieldsOf, isAmount, isName } from '../shared/message-checks.js';
import { answersGiven } from '../shared/message-handlers.js';
import { requireInput } from '../shared/require-input.js';

/** An archived video, and what is to be made from it later. */
interface ConformVideoInput {
  readonly result: VideoResult;
  readonly conform: Conform;
  readonly poster: boolean;
}

/** What a run that delivers a video knows. */
interface DeliveryTerms {
  readonly delivery: PostProduction;
  readonly storeId: string;
  readonly times: StepTimes;
  /** When the run must have ended, in milliseconds since the epoch; null: no such time. */
  readonly deadlineMs: number | null;
}

/** A run ends so long before its deadline, so that the deadline does not turn a paid video into a failure. */
const BEFORE_DEADLINE_MS = 2_000;

/**
 * Makes from an archived video what its request says. When anything fails, the original is the result, with a warning;
 * only a cancellation is thrown.
 */
export async function deliverVideo(
  result: VideoResult,
  { delivery, storeId, times, deadlineMs }: DeliveryTerms,
): Promise<VideoResult> {
  const leftMs = deadlineMs === null ? Number.POSITIVE_INFINITY : deadlineMs - Date.now() - BEFORE_DEADLINE_MS;
  if (leftMs <= 0) return withoutDelivery(result, delivery, 'deadline_seconds leaves no time for it');
  const conformScheduleToCloseMs = Math.min(times.conformScheduleToCloseMs, leftMs);
  try {
    return await steps({ ...times, conformScheduleToCloseMs }).conformVideo({ result, delivery, storeId });
  } catch (error) {
    if (wf.isCancellation(error)) throw error;
    return withoutDelivery(result, delivery, reasonOf(error));
  }
}

/** Makes another file from an archived video, later, on request. It buys nothing, and fails when it cannot. */
export async function conformVideo(input: ConformVideoInput): Promise<VideoResult> {
  requireInput(isConformInput(input));
  const { result, conform, poster } = input;
  const delivery = { conform: conformRules(conform, result.requested) ?? null, poster };
  try {
    return await steps(STEP_TIMES).conformVideo({ result, delivery });
  } catch (error) {
    if (wf.isCancellation(error)) throw error;
    const next_step = 'The original is archived, and nothing was bought. Start a worker with ffmpeg, and try again.';
    throw failureOf(error) === undefined
      ? failure({ type: 'ConformFailed', message: reasonOf(error), task_id: result.task_id, next_step }, error)
      : runFailure(error);
  } finally {
    await answersGiven();
  }
}

/** The original as the result, and why. */
function withoutDelivery(result: VideoResult, { conform }: PostProduction, why: string): VideoResult {
  const warning: VideoWarning =
    conform === null
      ? { code: 'poster_failed', message: `No picture of the video could be made: ${why}.` }
      : { code: 'conform_failed', message: `The video is as the provider made it: ${why}.` };
  return { ...result, warnings: [...result.warnings, warning] };
}

function reasonOf(error: unknown): string {
  const cause = error instanceof wf.ActivityFailure ? error.cause : undefined;
  // Of an attempt that was to be repeated, the time that ran out says less than what failed.
  if (cause instanceof wf.TimeoutFailure && !(cause.cause instanceof wf.ApplicationFailure)) {
    return cause.timeoutType === 'SCHEDULE_TO_START'
      ? 'no worker with ffmpeg took it in time'
      : 'it was not made in the time that it may take';
  }
  return (failureOf(cause instanceof wf.TimeoutFailure ? cause.cause : error)?.message ?? String(error)).replace(
    /\.$/,
    '',
  );
}

/** Whether a value describes an archived video and how to conform it; the step reads the rest. */
function isConformInput(value: unknown): value is ConformVideoInput {
  const { result, conform, poster } = fieldsOf(value);
  const { task_id, video_url, warnings, requested } = fieldsOf(result);
  const { duration, fps, size } = fieldsOf(requested);
  return (
    typeof poster === 'boolean' &&
    conformFaults(conform) === undefined &&
    isName(task_id) &&
    typeof video_url === 'string' &&
    Array.isArray(warnings) &&
    warnings.every((warning) => typeof fieldsOf(warning)['code'] === 'string') &&
    isAmount(duration) &&
    conformFaults({ fps, size }) === undefined
  );
}
