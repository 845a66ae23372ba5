import type { Purchase } from '../src/contract/purchase.js';
import type { SubmitDecision } from '../src/contract/result.js';
import { resolvePurchase } from '../src/ledger/resolve.js';
import { type ActivityDeps, ledgerParts } from './deps.js';
import type { PurchaseStep } from './purchase-step.js';
import { reconciledStep, settledBy } from './reconcile-submit.js';
import { releaseSlot } from './slot-holders.js';
import { withSignal } from './with-signal.js';

/** A person's decision on a purchase. */
export interface DecisionInput {
  readonly purchase: Purchase;
  readonly decision: SubmitDecision;
}

/** Writes a person's decision on an undecided purchase, unless it was decided before. */
export function createResolvePurchase(deps: ActivityDeps) {
  return ({ purchase, decision }: DecisionInput): Promise<PurchaseStep> =>
    withSignal(async (signal) => {
      const outcome = await resolvePurchase(ledgerParts(deps), purchase, decision, { signal });
      const settled = settledBy(outcome);
      if (settled !== undefined) await releaseSlot(deps, purchase, settled);
      return reconciledStep(outcome);
    });
}
