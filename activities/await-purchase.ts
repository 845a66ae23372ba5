import { toFailure } from '../src/contract/failure.js';
import { awaitPurchase, type FollowOutcome } from '../src/ledger/follow.js';
import type { ActivityDeps } from './deps.js';
import { fromCache } from './purchase-memo.js';
import type { PurchaseStep, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Follows a purchase that another execution made, in the ledger alone; its failure becomes ours. */
export function createAwaitPurchase({ ledger, clock, times }: ActivityDeps): VideoActivities['awaitPurchase'] {
  return ({ purchase, parked }) =>
    withSignal(async (signal) =>
      stepOf(await awaitPurchase({ ledger, clock, times: times.ledger }, purchase, { signal, parked })),
    );
}

function stepOf(outcome: FollowOutcome): PurchaseStep {
  switch (outcome.kind) {
    case 'task':
      return { kind: 'task', task: { ...outcome.task, claim: 'claimed' } };
    case 'archived':
      // It was being bought when this run asked for it, so this is no old video from the cache.
      return { kind: 'archived', result: { ...outcome.result, source: 'adopted' } };
    case 'restore':
      return {
        kind: 'restore',
        task: { ...outcome.task, claim: 'claimed' },
        result: fromCache(outcome.result),
      };
    case 'failed':
      return { kind: 'failed', failure: toFailure(outcome.error) };
    case 'reconcile':
      return { kind: 'unknown', purchase: outcome.purchase, why: 'Its buyer is silent.' };
    case 'buy':
      return { kind: 'buy' };
  }
}
