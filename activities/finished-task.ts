import type { TaskSnapshot } from '../src/dashscope/wire.js';
import type { TaskBill } from '../src/ledger/bills.js';
import { withPlausibleTimes } from '../src/polling/plausible-times.js';
import type { WatchedTask } from './purchase-step.js';

/** A task that has SUCCEEDED; seconds, null where the provider gave no time. */
export interface FinishedTask extends WatchedTask, TaskBill {
  readonly queuedSeconds: number | null;
  readonly renderingSeconds: number | null;
  readonly detectedSeconds: number | null;
  /** Whether the provider did not say if the video has sound: its file does. */
  readonly soundUnknown?: boolean | undefined;
  /** Documented paths of fields of the last answer that could not be read. */
  readonly oddities?: readonly string[] | undefined;
  /** Milliseconds since the epoch at which the end was noticed. */
  readonly seenAtMs: number;
}

/** A task that the provider has shown as SUCCEEDED, or whose video was archived before the provider deleted it. */
export function finishedTask(task: WatchedTask, look: TaskSnapshot, nowMs: number): FinishedTask {
  const seen = withPlausibleTimes(look, { submittedAtMs: task.intentAtMs, nowMs });
  const seconds = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? null : Math.max(0, to - from) / 1000;
  const { duration, sr, audio } = seen.usage ?? {};
  const { endTimeMs, oddities } = seen;
  return {
    ...task,
    queuedSeconds: seconds(seen.submitTimeMs, seen.scheduledTimeMs),
    renderingSeconds: seconds(seen.scheduledTimeMs, endTimeMs),
    detectedSeconds: seconds(endTimeMs, nowMs),
    endTimeMs: endTimeMs ?? nowMs,
    // What the provider does not report is taken from the request: it bills all the same, and not the cheapest value.
    billedSeconds: duration ?? task.render.seconds,
    resolution: sr === 720 ? '720P' : sr === 1080 ? '1080P' : task.render.resolution,
    audio: audio ?? task.render.audio,
    seenAtMs: nowMs,
    ...((duration === undefined || sr === undefined || audio === undefined) && { estimated: true }),
    ...(audio === undefined && { soundUnknown: true }),
    ...(oddities && { oddities }),
  };
}
