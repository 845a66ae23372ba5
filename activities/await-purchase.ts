import { awaitPurchase, type FollowOutcome } from '../src/ledger/follow.js';
import type { ActivityDeps } from './deps.js';
import { followStep } from './purchase-step.js';
import type { PurchaseStep, VideoActivities } from './types.js';
import { previousHeartbeat, withSignal } from './with-signal.js';

/** Follows a purchase that another execution made, in the ledger alone; its failure becomes ours. */
export function createAwaitPurchase({ ledger, clock, times }: ActivityDeps): VideoActivities['awaitPurchase'] {
  return ({ purchase, parked }) => {
    let seenMs = seenBefore(previousHeartbeat());
    const onRead = (ms: number) => {
      seenMs = ms;
    };
    return withSignal(
      async (signal) => {
        const options = { signal, parked, seenMs, onRead };
        return stepOf(await awaitPurchase({ ledger, clock, times: times.ledger }, purchase, options));
      },
      () => ({ seenMs }),
    );
  };
}

/** For how long an earlier attempt had seen the purchase, in milliseconds. */
function seenBefore(details: unknown): number {
  const seenMs = typeof details === 'object' && details !== null && 'seenMs' in details ? details.seenMs : 0;
  return typeof seenMs === 'number' ? seenMs : 0;
}

function stepOf(outcome: FollowOutcome): PurchaseStep {
  if (outcome.kind !== 'reconcile') return followStep(outcome);
  return { kind: 'unknown', purchase: outcome.purchase, why: 'Its buyer is silent.' };
}
