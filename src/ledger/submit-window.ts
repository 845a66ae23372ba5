import type { Candidate } from './evidence.js';
import { combineMatches, compareTask } from './proof.js';
import type { PurchaseView } from './purchase-view.js';
import type { LedgerTimes } from './times.js';

/** When the provider may have created the task of an intent, both ends included; milliseconds since the epoch. */
export interface SubmitWindow {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The window of an intent: the two clocks that dated it, widened by the skew and by the longest submit. */
export function submitWindow(
  { intent, storedAtMs }: PurchaseView,
  { clockSkewMs, postWithinMs, postMs }: LedgerTimes,
): SubmitWindow {
  return {
    fromMs: Math.min(intent.written_at_ms, storedAtMs) - clockSkewMs,
    toMs: Math.max(intent.written_at_ms, storedAtMs) + postWithinMs + postMs + clockSkewMs,
  };
}

/** The time in which every submit was announced whose window {@link overlaps} that of `view`. */
export function overlapRange(view: PurchaseView, times: LedgerTimes): SubmitWindow {
  const { fromMs, toMs } = submitWindow(view, times);
  const { clockSkewMs, postWithinMs, postMs } = times;
  return { fromMs: fromMs - postWithinMs - postMs - clockSkewMs, toMs: toMs + clockSkewMs };
}

/** Whether a task may have been created in a window; one without a time may. */
export const isWithin = ({ fromMs, toMs }: SubmitWindow, createdAtMs: number | undefined): boolean =>
  createdAtMs === undefined || (createdAtMs >= fromMs && createdAtMs <= toMs);

/** Whether `other` has no claim either, and its submit was so close that their tasks could be mistaken. */
export function overlaps(view: PurchaseView, other: PurchaseView, times: LedgerTimes): boolean {
  if (other.state.kind !== 'unclaimed' || other.intent.token === view.intent.token) return false;
  const mine = submitWindow(view, times);
  const its = submitWindow(other, times);
  return mine.fromMs <= its.toMs && its.fromMs <= mine.toMs;
}

/** Whether a candidate of `view` could be the task of `other` as well; in doubt it could. */
export function alsoFits(
  other: PurchaseView,
  view: PurchaseView,
  { row, snapshot, video }: Candidate,
  times: LedgerTimes,
): boolean {
  if (!overlaps(view, other, times) || !isWithin(submitWindow(other, times), row.createdAtMs)) return false;
  const { expects } = other.intent;
  return combineMatches(compareTask(expects, snapshot, video)) !== 'different';
}
