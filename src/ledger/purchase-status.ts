import type { Clock } from '../async/clock.js';
import type { VideoResult } from '../contract/result.js';
import type { VideoError } from '../contract/video-error.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { Ledger, PurchaseView } from './ledger.js';
import type { Buyer, Purchase } from './purchase-key.js';
import { fromFailureRecord, type IntentRecord } from './records.js';
import type { LedgerTimes } from './times.js';

/** A bought task, as the steps after the purchase need it. */
export interface BoughtTask {
  readonly purchase: Purchase;
  readonly taskId: string;
  /** Whose intent it was: only the run that submitted a task may cancel it at the provider. */
  readonly boughtBy: Buyer;
  /** Request id of the submit; null when nobody saw its answer. */
  readonly requestId: string | null;
  /** Of the key it was bought or found with; what another key does not know may still exist. */
  readonly keyFingerprint: string | null;
  /** The seed that was sent. */
  readonly seed: number;
  /** When the intent was written, by its writer's clock. */
  readonly intentAtMs: number;
  /** What decides how long it renders. */
  readonly render: { readonly resolution: '720P' | '1080P'; readonly seconds: number; readonly audio: boolean };
}

/** What one purchase means for a run that wants the same video. */
export type PurchaseStatus =
  /** Watch this task: another run's or an earlier attempt's. */
  | { readonly kind: 'task'; readonly task: BoughtTask }
  /** The video is in the store. */
  | { readonly kind: 'archived'; readonly purchase: Purchase; readonly result: VideoResult }
  /**
   * The video was archived and is gone or damaged, and the provider still has it: fetch it again, put it under its old
   * key only when its SHA-256 is `result.sha256`, and when that fails buy with `unrestorable`.
   */
  | { readonly kind: 'restore'; readonly task: BoughtTask; readonly result: VideoResult }
  /** The purchase failed for good: a run that followed it fails the same way. */
  | { readonly kind: 'failed'; readonly purchase: Purchase; readonly error: VideoError }
  /** Nothing came of it, free of charge or long ago: buy the next one. */
  | { readonly kind: 'buy' }
  /** Its POST may be under way, lost, or never sent. */
  | { readonly kind: 'unclaimed'; readonly view: PurchaseView };

interface AssessDeps {
  readonly ledger: Ledger;
  readonly clock: Pick<Clock, 'now'>;
  readonly times: Pick<LedgerTimes, 'resultLifeMs'>;
}

/**
 * Judges a purchase.
 * @param unrestorable - Purchases whose vanished video could not be fetched again.
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
      // Decided too early, and its task came all the same: taking that one is cheaper than buying another.
      for (const { task, ending } of view.extraTasks) {
        if (ending === undefined) return { kind: 'task', task: boughtTask(purchase, intent, task) };
        if (ending.how === 'archived' && (await ledger.isIntact(ending.result, options))) {
          return { kind: 'archived', purchase, result: ending.result };
        }
      }
      const { failure } = state.notCreated;
      // What may be sent again at once is no failure for those who followed.
      if (failure === null || failure.retryable) return { kind: 'buy' };
      return { kind: 'failed', purchase, error: fromFailureRecord(failure) };
    }
    case 'closed': {
      const { ending } = state;
      if (ending.how === 'failed') return { kind: 'failed', purchase, error: fromFailureRecord(ending.failure) };
      if (ending.how !== 'archived') return { kind: 'buy' };
      const { result } = ending;
      if (await ledger.isIntact(result, options)) return { kind: 'archived', purchase, result };
      const lost = unrestorable.some(({ key, n }) => key === purchase.key && n === purchase.n);
      const forgotten = clock.now() - intent.written_at_ms >= times.resultLifeMs;
      if (lost || forgotten) return { kind: 'buy' };
      return { kind: 'restore', task: boughtTask(purchase, intent, state.task), result };
    }
  }
}

/** Joins what the intent and the claim say of a task. */
export function boughtTask(
  purchase: Purchase,
  intent: Pick<IntentRecord, 'seed' | 'written_at_ms' | 'expects' | 'workflow_id' | 'first_run_id'>,
  task: { readonly task_id: string; readonly request_id: string | null; readonly key_fingerprint: string | null },
): BoughtTask {
  return {
    purchase,
    taskId: task.task_id,
    boughtBy: { workflowId: intent.workflow_id, firstRunId: intent.first_run_id },
    requestId: task.request_id,
    keyFingerprint: task.key_fingerprint,
    seed: intent.seed,
    intentAtMs: intent.written_at_ms,
    render: { resolution: intent.expects.resolution, seconds: intent.expects.duration, audio: intent.expects.audio },
  };
}
