import { awaitPurchase, type FollowOutcome } from '../src/ledger/follow.js';
import type { ActivityDeps } from './deps.js';
import { followedStep } from './purchase-step.js';
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
  if (outcome.kind !== 'reconcile') return followedStep(outcome);
  return { kind: 'unknown', purchase: outcome.purchase, why: 'Its buyer is silent.' };
}
