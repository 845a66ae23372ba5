// The states of a purchase, from its records to what a run does. Each is made of the one before:
// - `PurchaseView` (src/ledger/purchase-view.ts): what its records say; `assessPurchase` turns it into
// - `PurchaseStatus` (purchase-status.ts): what that means for a run that wants the video; to it add their own answers
// - `BuyOutcome` (buy.ts), `FollowOutcome` (follow.ts), `ReconcileOutcome` (reconcile.ts): what an operation found; the
//   steps turn them into
// - `PurchaseStep`, below: what the run does next; `PurchaseTracker.settle` reduces it to
// - `SettledStep` (workflows/video/purchase-tracker.ts): a task to watch, a video, a failure, or nothing bought.
// How a watched task ended is a `PollOutcome` (poll-task.ts).

import { toFailure, type VideoFailure } from '../src/contract/failure.js';
import type { Purchase } from '../src/contract/purchase.js';
import type { Attention, VideoResult } from '../src/contract/result.js';
import { sharedResult } from '../src/contract/shared-result.js';
import type { PurchaseStatus } from '../src/ledger/purchase-status.js';
import type { BoughtTask, ClaimState } from '../src/ledger/purchase-view.js';

/** A task to watch: bought by this run, or by another one for the same video. */
export interface WatchedTask extends BoughtTask {
  /**
   * What the ledger has of it: an `unwritten` claim is written by the poll, an `extra` task is reported with its video.
   */
  readonly claim: ClaimState;
}

/** An answer to a submit, or the lack of one, that does not say whether a task was created. */
export interface SubmitRefusal {
  readonly message: string;
  readonly code?: string | undefined;
  readonly requestId?: string | undefined;
}

/** What the ledger and the provider say of a purchase, and thereby what comes next. */
export type PurchaseStep =
  /** Watch this task to its end. */
  | { readonly kind: 'task'; readonly task: WatchedTask }
  /** The video was bought and archived before. */
  | { readonly kind: 'archived'; readonly result: VideoResult }
  /** The video was archived, the store lost it, and the provider still has it. */
  | { readonly kind: 'restore'; readonly task: WatchedTask; readonly result: VideoResult }
  /** Another execution is buying it. */
  | { readonly kind: 'follow'; readonly purchase: Purchase }
  /** A paid task may exist: nothing is sent before the reconciliation has decided. */
  | {
      readonly kind: 'unknown';
      readonly purchase: Purchase;
      readonly why: string;
      /** What this run's own submit was answered; absent when it was not answered because a process died. */
      readonly refusal?: SubmitRefusal | undefined;
    }
  /** Only a person can decide. */
  | {
      readonly kind: 'undecided';
      readonly purchase: Purchase;
      readonly attention: Attention;
      /** Whether another look may decide it without a person: the list was refused, or the key was another one. */
      readonly mayPass: boolean;
    }
  /** It failed for good, and the ledger says how: a run that followed it fails the same way. */
  | { readonly kind: 'failed'; readonly failure: VideoFailure }
  /** Nothing was bought: submit. */
  | { readonly kind: 'buy' };

/** The next step of a run that follows a purchase of another execution. */
export function followStep(status: Exclude<PurchaseStatus, { readonly kind: 'unclaimed' }>): PurchaseStep {
  switch (status.kind) {
    case 'task':
      return { kind: 'task', task: { ...status.task, claim: 'claimed' } };
    case 'archived':
      // It was being bought when this run requested it, so it is no old video from the cache.
      return { kind: 'archived', result: sharedResult(status.result, 'adopted') };
    case 'restore':
      return restoreStep(status);
    case 'failed':
      return { kind: 'failed', failure: toFailure(status.error) };
    case 'buy':
      return { kind: 'buy' };
  }
}

/**
 * The next step for an archived video that is gone from the store: it is fetched again, and remains one from the cache.
 */
export const restoreStep = ({ task, result }: Extract<PurchaseStatus, { readonly kind: 'restore' }>): PurchaseStep => ({
  kind: 'restore',
  task: { ...task, claim: 'claimed' },
  result: fromCache(result),
});

/** The same video for another caller: nothing was bought for it. */
export const fromCache = (result: VideoResult): VideoResult => sharedResult(result, 'cache');
