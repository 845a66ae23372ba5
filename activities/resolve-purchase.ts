import type { Purchase } from '../src/contract/purchase.js';
import type { SubmitDecision } from '../src/contract/result.js';
import { resolvePurchase, resolveResult } from '../src/ledger/resolve.js';
import { type ActivityDeps, ledgerParts } from './deps.js';
import { followStep, type PurchaseStep, type WatchedTask } from './purchase-step.js';
import { reconciledStep, settledBy } from './reconcile-submit.js';
import { releaseSlot } from './slot-holders.js';
import { withSignal } from './with-signal.js';

/** A person's decision on a purchase. */
export interface DecisionInput {
  readonly purchase: Purchase;
  readonly decision: SubmitDecision;
  /** The paid task whose result was in question; absent: it was in question what the submit has bought. */
  readonly task?: WatchedTask | undefined;
}

/** Writes a person's decision on an undecided purchase or on a paid result, unless it was decided before. */
export function createResolvePurchase(deps: ActivityDeps) {
  return ({ purchase, decision, task }: DecisionInput): Promise<PurchaseStep> =>
    withSignal(async (signal) => {
      const parts = ledgerParts(deps);
      if (task !== undefined) {
        const decided = followStep(await resolveResult(parts, task, decision, { signal }));
        // Nobody watches the task any more. What it is billed is in the ledger.
        if (decided.kind === 'buy') await releaseSlot(deps, purchase);
        return decided;
      }
      const outcome = await resolvePurchase(parts, purchase, decision, { signal });
      const settled = settledBy(outcome);
      if (settled !== undefined) await releaseSlot(deps, purchase, settled);
      return reconciledStep(outcome);
    });
}
