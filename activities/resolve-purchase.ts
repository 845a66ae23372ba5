import { resolvePurchase } from '../src/ledger/resolve.js';
import type { ActivityDeps } from './deps.js';
import { reconciledStep } from './reconcile-submit.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Writes a person's decision on an undecided purchase, unless it was decided before. */
export function createResolvePurchase(deps: ActivityDeps): VideoActivities['resolvePurchase'] {
  const { ledger, dashscope: provider, clock, times } = deps;
  return ({ purchase, decision }) =>
    withSignal(async (signal) =>
      reconciledStep(
        await resolvePurchase({ ledger, provider, clock, times: times.ledger }, purchase, decision, { signal }),
      ),
    );
}
