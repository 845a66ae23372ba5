import { findExistingPurchase } from '../src/ledger/buy.js';
import { assertSameStore } from './assert-same-store.js';
import type { ActivityDeps } from './deps.js';
import { purchaseQueryOf, purchaseStep } from './submit-task.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Looks what the ledger shows for a run, and sends nothing. */
export function createFindPurchase(deps: ActivityDeps): VideoActivities['findPurchase'] {
  const { ledger, clock, times } = deps;
  return (input) =>
    withSignal(async (signal) => {
      assertSameStore(deps, input.prepared.storeId);
      const { found } = await findExistingPurchase({ ledger, clock, times: times.ledger }, purchaseQueryOf(input), {
        signal,
      });
      return { found: found === undefined ? null : purchaseStep(found) };
    });
}
