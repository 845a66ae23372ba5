import type { BatchItemEnd } from './batch.js';
import type { VideoFailure } from './failure.js';
import { SIZES } from './model.js';
import type { VideoRequest } from './request.js';
import type { VideoResult } from './result.js';

/** What every end of an item says. */
export type ItemHead = Pick<BatchItemEnd, 'item_id' | 'run' | 'started_at_ms'>;

/** A batch of 250 ends must fit into a payload. */
const MESSAGE_MAX = 300;

const NO_VIDEO = {
  ...{ code: null, message: null, task_id: null, video_url: null, sha256: null },
  ...{ billed: false, billed_seconds: 0, resolution: null, audio: false, duration: null, timings: null },
} as const;

/** The end of an item that has its video. */
export function videoEnd(head: ItemHead, result: VideoResult, endedAtMs: number): BatchItemEnd {
  const { source, usage, task_id, video_url, sha256, duration, timings } = result;
  const bought = source === 'generated';
  return {
    ...head,
    ...{ outcome: source, cause: null, code: null, message: null, task_id, video_url, sha256, duration, timings },
    ...{ billed: bought, billed_seconds: bought ? usage.billed_seconds : 0 },
    ...{ resolution: usage.resolution, audio: usage.audio, ended_at_ms: endedAtMs },
  };
}

/**
 * The end of an item that failed.
 * @param request - Tells what a failure is billed by; null when it is not known.
 */
export function failedEnd(
  head: ItemHead,
  failure: Pick<VideoFailure, 'message' | 'code' | 'task_id' | 'billed'> & { readonly type: string },
  request: Pick<VideoRequest, 'duration' | 'size' | 'audio' | 'audio_url'> | null,
  endedAtMs = 0,
): BatchItemEnd {
  const { type, message, code = null, task_id = null, billed } = failure;
  return {
    ...head,
    ...NO_VIDEO,
    // A reached budget is an outcome of its own, no failure: the line is bought when there is money again.
    outcome: type === 'BudgetReached' ? 'budget_reached' : 'failed',
    ...{ cause: type, code, message: cut(message), task_id, billed: billed ?? null },
    ...(billed === true && request !== null && billedAs(request)),
    ended_at_ms: endedAtMs,
  };
}

/** The end of an item that was cancelled; `billed` null: if its running task succeeds. */
export function cancelledEnd(
  head: ItemHead,
  {
    outcome,
    billed,
    taskId,
  }: { readonly outcome: string; readonly billed: boolean | null; readonly taskId: string | null },
  endedAtMs: number,
): BatchItemEnd {
  const said = { message: cut(outcome), task_id: taskId, billed };
  return { ...head, ...NO_VIDEO, outcome: 'cancelled', cause: 'Cancelled', ...said, ended_at_ms: endedAtMs };
}

/** An item that waits for a person, and how long it has been under way. */
export function parkedEnd(head: ItemHead, reason: string, sinceMs: number): BatchItemEnd {
  const said = { message: cut(reason), billed: null };
  return {
    ...head,
    ...NO_VIDEO,
    outcome: 'needs_attention',
    cause: 'SubmitOutcomeUnknown',
    ...said,
    ended_at_ms: sinceMs,
  };
}

function billedAs({
  duration,
  size,
  audio,
  audio_url,
}: Pick<VideoRequest, 'duration' | 'size' | 'audio' | 'audio_url'>) {
  return {
    ...{ billed_seconds: duration, audio: audio ?? audio_url !== undefined },
    resolution: SIZES[size.replace('x', '*')] ?? null,
  };
}

const cut = (text: string): string => (text.length <= MESSAGE_MAX ? text : `${text.slice(0, MESSAGE_MAX - 1)}…`);
