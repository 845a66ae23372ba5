import type { BatchCounts, BatchItemEnd, BatchSummary, BilledSeconds } from './batch.js';

/** What the ends of a batch's items add up to. */
export type BatchTotals = Pick<BatchSummary, 'counts' | 'causes' | 'billed' | 'maybe_billed'>;

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
 * The totals with an end counted.
 * @param times - −1 takes back what was counted: an item that waited for a person has ended after all.
 */
export function countEnd(totals: BatchTotals, end: BatchItemEnd, times: 1 | -1 = 1): BatchTotals {
  const { outcome, cause, billed, billed_seconds, resolution, audio } = end;
  // A batch that was begun by an earlier version carries no count of it.
  const before: Partial<BatchCounts> = totals.counts;
  const counts = { ...totals.counts, [outcome]: (before[outcome] ?? 0) + times };
  return {
    counts,
    causes: outcome === 'failed' ? withCause(totals.causes, cause ?? 'unknown', times) : totals.causes,
    billed:
      resolution === null || billed_seconds === 0
        ? totals.billed
        : withSeconds(totals.billed, { resolution, audio, seconds: times * billed_seconds }),
    maybe_billed: totals.maybe_billed + (billed === null ? times : 0),
  };
}

function withCause(causes: BatchTotals['causes'], cause: string, times: number): BatchTotals['causes'] {
  const { [cause]: before = 0, ...others } = causes;
  return before + times === 0 ? others : { ...others, [cause]: before + times };
}

function withSeconds(billed: readonly BilledSeconds[], more: BilledSeconds): readonly BilledSeconds[] {
  const isSame = ({ resolution, audio }: BilledSeconds) => resolution === more.resolution && audio === more.audio;
  const seconds = (billed.find(isSame)?.seconds ?? 0) + more.seconds;
  const others = billed.filter((item) => !isSame(item));
  return seconds === 0 ? others : [...others, { ...more, seconds }];
}
