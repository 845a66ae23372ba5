import { toFailure } from '../src/contract/failure.js';
import type { PurchaseStatus } from '../src/ledger/purchase-status.js';
import { fromCache } from './purchase-context.js';
import type { PurchaseStep } from './types.js';

/** What the ledger's record of a purchase that another execution made means for the run that follows it. */
export function followStep(standing: Exclude<PurchaseStatus, { readonly kind: 'unclaimed' }>): PurchaseStep {
  switch (standing.kind) {
    case 'task':
      return { kind: 'task', task: { ...standing.task, claim: 'claimed' } };
    case 'archived':
      // It was being bought when this run asked for it, so this is no old video from the cache.
      return { kind: 'archived', result: { ...standing.result, source: 'adopted' } };
    case 'restore':
      return restoreStep(standing);
    case 'failed':
      return { kind: 'failed', failure: toFailure(standing.error) };
    case 'buy':
      return { kind: 'buy' };
  }
}

/** An archived video that is gone from the store: fetch it again, and call it what it is, bought before. */
export const restoreStep = ({ task, result }: Extract<PurchaseStatus, { readonly kind: 'restore' }>): PurchaseStep => ({
  kind: 'restore',
  task: { ...task, claim: 'claimed' },
  result: fromCache(result),
});
