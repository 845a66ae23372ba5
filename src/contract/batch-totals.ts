import type { BatchCounts, BatchItemEnd, BatchSummary } from './batch.js';
import type { Billable } from './budget.js';

/** The sums over the ends of a batch's items. */
export type BatchTotals = Pick<BatchSummary, 'counts' | 'causes' | 'billed' | 'maybe_billed' | 'estimated_seconds'>;

/** The totals before any item has ended. */
export function noTotals({
  total,
  duplicate,
  invalid,
}: Pick<BatchCounts, 'total' | 'duplicate' | 'invalid'>): BatchTotals {
  const ended = { generated: 0, cache: 0, adopted: 0, failed: 0, cancelled: 0, needs_attention: 0, budget_reached: 0 };
  return { counts: { total, ...ended, duplicate, invalid }, causes: {}, billed: [], maybe_billed: 0 };
}

/**
 * Adds an end to the totals.
 * @param times - −1 subtracts an end that was counted before: an item that waited for a person has ended after all.
 */
export function countEnd(totals: BatchTotals, end: BatchItemEnd, times: 1 | -1 = 1): BatchTotals {
  const { outcome, cause, billed, billed_seconds, resolution, audio, estimated } = end;
  const estimated_seconds = (totals.estimated_seconds ?? 0) + (estimated === true ? times * billed_seconds : 0);
  return {
    counts: { ...totals.counts, [outcome]: totals.counts[outcome] + times },
    causes: outcome === 'failed' ? addCause(totals.causes, cause ?? 'unknown', times) : totals.causes,
    billed:
      resolution === null || billed_seconds === 0
        ? totals.billed
        : addSeconds(totals.billed, { resolution, audio, seconds: times * billed_seconds }),
    maybe_billed: totals.maybe_billed + (billed === null ? times : 0),
    ...(estimated_seconds > 0 && { estimated_seconds }),
  };
}

/** The counts that are not zero, for people: `2 generated`. */
export const namedCounts = (counts: Readonly<Record<string, number>>): string[] =>
  Object.entries(counts).flatMap(([name, count]) => (count === 0 ? [] : [`${count} ${name.replace('_', ' ')}`]));

function addCause(causes: BatchTotals['causes'], cause: string, times: number): BatchTotals['causes'] {
  const { [cause]: before = 0, ...others } = causes;
  return before + times === 0 ? others : { ...others, [cause]: before + times };
}

function addSeconds(billed: readonly Billable[], more: Billable): readonly Billable[] {
  const isSame = ({ resolution, audio }: Billable) => resolution === more.resolution && audio === more.audio;
  const seconds = (billed.find(isSame)?.seconds ?? 0) + more.seconds;
  const others = billed.filter((item) => !isSame(item));
  return seconds === 0 ? others : [...others, { ...more, seconds }];
}
