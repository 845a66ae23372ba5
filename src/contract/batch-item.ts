import type { BatchItemEnd } from './batch.js';
import type { VideoFailure } from './failure.js';
import { SIZES } from './model.js';
import type { VideoRequest } from './request.js';
import type { VideoResult } from './result.js';
import { cleanText } from './safe-text.js';

/** The part that every end of an item has. */
export type ItemHead = Pick<BatchItemEnd, 'item_id' | 'run' | 'started_at_ms'>;

/** Characters of a message: a batch of 250 ends must fit into a payload. */
const MESSAGE_MAX = 300;

/** What is said of a video where there is none. */
export const NO_VIDEO = {
  code: null,
  message: null,
  task_id: null,
  video_url: null,
  sha256: null,
  billed: false,
  billed_seconds: 0,
  resolution: null,
  audio: false,
  duration: null,
  timings: null,
} as const;

/** The end of an item that has its video. */
export function videoEnd(head: ItemHead, result: VideoResult, endedAtMs: number): BatchItemEnd {
  const { source, usage, task_id, video_url, poster_url, sha256, duration, timings } = result;
  const warnings = [...new Set(result.warnings.map(({ code }) => code))];
  const bought = source === 'generated';
  return {
    ...head,
    outcome: source,
    cause: null,
    code: null,
    message: null,
    task_id,
    video_url,
    ...(poster_url !== undefined && { poster_url }),
    sha256,
    duration,
    timings,
    billed: bought,
    billed_seconds: bought ? usage.billed_seconds : 0,
    resolution: usage.resolution,
    audio: usage.audio,
    ...(bought && usage.estimated === true && { estimated: true }),
    ...(warnings.length > 0 && { warnings }),
    ended_at_ms: endedAtMs,
  };
}

/** The fields of a request by which the provider bills. */
type BilledRequest = Pick<VideoRequest, 'duration' | 'size' | 'audio' | 'audio_url'>;

/**
 * The end of an item that failed.
 * @param request - Says what a failure is billed by; null when it is not known.
 * @param endedAtMs - 0 when it is not known; the batch then fills in its own time.
 */
export function failedEnd(
  head: ItemHead,
  failure: Pick<VideoFailure, 'message' | 'code' | 'task_id' | 'billed'> & { readonly type: string },
  request: BilledRequest | null,
  endedAtMs = 0,
): BatchItemEnd {
  const { type, message, code = null, task_id = null, billed = null } = failure;
  return {
    ...head,
    ...NO_VIDEO,
    // A reached budget is an outcome of its own, no failure: the line is bought when there is money again.
    outcome: type === 'BudgetReached' ? 'budget_reached' : 'failed',
    cause: type,
    code,
    message: cleanText(message, MESSAGE_MAX),
    task_id,
    billed,
    ...(billed === true && request !== null && billableOf(request)),
    ended_at_ms: endedAtMs,
  };
}

/** What became of a cancelled item. */
interface CancelledItem {
  readonly outcome: string;
  /** Null: if its running task succeeds. */
  readonly billed: boolean | null;
  readonly taskId: string | null;
}

/** The end of an item that was cancelled. */
export function cancelledEnd(
  head: ItemHead,
  { outcome, billed, taskId }: CancelledItem,
  endedAtMs: number,
): BatchItemEnd {
  return {
    ...head,
    ...NO_VIDEO,
    outcome: 'cancelled',
    cause: 'Cancelled',
    message: cleanText(outcome, MESSAGE_MAX),
    task_id: taskId,
    billed,
    ended_at_ms: endedAtMs,
  };
}

/**
 * The state of an item that waits for a person.
 * @param sinceMs - Since when, in milliseconds since the epoch.
 */
export function parkedEnd(
  head: ItemHead,
  { cause, reason }: { readonly cause: string | null; readonly reason: string },
  sinceMs: number,
): BatchItemEnd {
  return {
    ...head,
    ...NO_VIDEO,
    outcome: 'needs_attention',
    cause,
    message: cleanText(reason, MESSAGE_MAX),
    billed: null,
    ended_at_ms: sinceMs,
  };
}

const billableOf = ({ duration, size, audio, audio_url }: BilledRequest) => ({
  billed_seconds: duration,
  audio: audio ?? audio_url !== undefined,
  resolution: SIZES[size.replace('x', '*')] ?? null,
});
