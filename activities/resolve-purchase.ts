import { resolvePurchase } from '../src/ledger/resolve.js';
import type { ActivityDeps } from './deps.js';
import { reconciledStep, settledBy } from './reconcile-submit.js';
import { releaseSlot } from './slot-holders.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Writes a person's decision on an undecided purchase, unless it was decided before. */
export function createResolvePurchase(deps: ActivityDeps): VideoActivities['resolvePurchase'] {
  const { ledger, dashscope: provider, clock, times } = deps;
  return ({ purchase, decision }) =>
    withSignal(async (signal) => {
      const parts = { ledger, provider, clock, times: times.ledger };
      const outcome = await resolvePurchase(parts, purchase, decision, { signal });
      const settled = settledBy(outcome);
      if (settled !== undefined) await releaseSlot(deps, purchase, settled);
      return reconciledStep(outcome);
    });
}
