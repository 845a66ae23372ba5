import type { Purchase } from '../src/contract/purchase.js';
import { awaitPurchase } from '../src/ledger/follow.js';
import { type ActivityDeps, ledgerParts } from './deps.js';
import { followStep, type PurchaseStep } from './purchase-step.js';
import { previousHeartbeat, withSignal } from './with-signal.js';

/** Which purchase to follow. */
export interface FollowInput {
  readonly purchase: Purchase;
  /** Whether the purchase waits for a person: then the step waits as long as that person takes. */
  readonly parked: boolean;
}

/** Follows a purchase that another execution made, in the ledger alone; its failure becomes the failure of this run. */
export function createAwaitPurchase(deps: ActivityDeps) {
  return ({ purchase, parked }: FollowInput): Promise<PurchaseStep> => {
    let seenMs = seenMsOf(previousHeartbeat());
    const onRead = (ms: number) => {
      seenMs = ms;
    };
    return withSignal(
      async (signal) => {
        const options = { signal, parked, seenMs, onRead };
        const outcome = await awaitPurchase(ledgerParts(deps), purchase, options);
        if (outcome.kind !== 'reconcile') return followStep(outcome);
        return { kind: 'unknown', purchase: outcome.purchase, why: 'Its buyer is silent.' };
      },
      () => ({ seenMs }),
    );
  };
}

/** For how long earlier attempts had seen the purchase, in milliseconds. */
function seenMsOf(heartbeat: unknown): number {
  const seenMs = typeof heartbeat === 'object' && heartbeat !== null && 'seenMs' in heartbeat ? heartbeat.seenMs : 0;
  return typeof seenMs === 'number' ? seenMs : 0;
}
