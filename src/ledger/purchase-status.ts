import type { Clock } from '../async/clock.js';
import { isSamePurchase, type Purchase } from '../contract/purchase.js';
import type { VideoResult } from '../contract/result.js';
import type { VideoError } from '../contract/video-error.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { Ledger } from './ledger.js';
import { type BoughtTask, boughtTask, type PurchaseView } from './purchase-view.js';
import { fromFailureRecord } from './records.js';
import type { LedgerTimes } from './times.js';

/** What one purchase means for a run that wants the same video. */
export type PurchaseStatus =
  /** Its POST may be under way, lost, or never sent. */
  { readonly kind: 'unclaimed'; readonly view: PurchaseView } | DecidedStatus;

/** The status of a purchase that was decided. */
export type DecidedStatus =
  /** Watch this task: another run's or an earlier attempt's. */
  | { readonly kind: 'task'; readonly task: BoughtTask }
  /** The video is in the store. */
  | { readonly kind: 'archived'; readonly purchase: Purchase; readonly result: VideoResult }
  /**
   * The video was archived and is gone or damaged, and the provider still has it: download it again, put it under its
   * old key only when its SHA-256 is `result.sha256`, and when that fails buy with `unrestorable`.
   */
  | { readonly kind: 'restore'; readonly task: BoughtTask; readonly result: VideoResult }
  /** The purchase failed for good: a run that followed it fails the same way. */
  | { readonly kind: 'failed'; readonly purchase: Purchase; readonly error: VideoError }
  /** Nothing came of it, free of charge or long ago: buy the next one. */
  | { readonly kind: 'buy' };

interface AssessDeps {
  readonly ledger: Ledger;
  readonly clock: Pick<Clock, 'now'>;
  readonly times: Pick<LedgerTimes, 'resultLifeMs'>;
}

/**
 * Concludes from a purchase's records what a run that wants the same video does next.
 * @param unrestorable - Purchases whose vanished video could not be downloaded again.
 */
export async function assessPurchase(
  { ledger, clock, times }: AssessDeps,
  view: PurchaseView,
  unrestorable: readonly Purchase[] = [],
  options: StoreOptions = {},
): Promise<PurchaseStatus> {
  const { purchase, intent, state } = view;
  switch (state.kind) {
    case 'unclaimed':
      return { kind: 'unclaimed', view };
    case 'claimed':
      return { kind: 'task', task: boughtTask(purchase, intent, state.task) };
    case 'not_created': {
      // Decided too early, and its task was created all the same: taking that one is cheaper than buying another.
      for (const { task, ending } of view.extraTasks) {
        if (ending === undefined) return { kind: 'task', task: boughtTask(purchase, intent, task) };
        if (ending.how === 'archived' && (await ledger.isIntact(ending.result, options))) {
          return { kind: 'archived', purchase, result: ending.result };
        }
      }
      const { failure } = state.notCreated;
      // A submit that may be repeated at once is no failure for the runs that followed it.
      if (failure === null || failure.retryable) return { kind: 'buy' };
      return { kind: 'failed', purchase, error: fromFailureRecord(failure) };
    }
    case 'closed': {
      const { ending } = state;
      if (ending.how === 'failed') return { kind: 'failed', purchase, error: fromFailureRecord(ending.failure) };
      if (ending.how !== 'archived') return { kind: 'buy' };
      const { result } = ending;
      if (await ledger.isIntact(result, options)) return { kind: 'archived', purchase, result };
      const isUnrestorable = unrestorable.some((other) => isSamePurchase(other, purchase));
      const isForgotten = clock.now() - intent.written_at_ms >= times.resultLifeMs;
      if (isUnrestorable || isForgotten) return { kind: 'buy' };
      return { kind: 'restore', task: boughtTask(purchase, intent, state.task), result };
    }
  }
}
