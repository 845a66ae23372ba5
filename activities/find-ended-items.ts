import type { BatchItemEnd } from '../src/contract/batch.js';
import { failedEnd } from '../src/contract/batch-item.js';
import { batchItemWorkflowId } from '../src/contract/names.js';
import type { ActivityDeps } from './deps.js';
import { withSignal } from './with-signal.js';

/** An item whose run a batch waits for. */
interface AwaitedItem {
  readonly itemId: string;
  /** Whether the batch knows that the item waits for a person. */
  readonly parked: boolean;
}

/** What a sweep of a batch looks for. */
export interface AwaitedItems {
  readonly batchId: string;
  readonly awaited: readonly AwaitedItem[];
}

/**
 * Of the items that a batch waits for, finds those that have ended, or wait for a person, without the batch knowing.
 */
export function createFindEndedItems({ itemState }: ActivityDeps) {
  return ({ batchId, awaited }: AwaitedItems): Promise<{ ends: BatchItemEnd[] }> =>
    withSignal(async (signal) => {
      const ends: BatchItemEnd[] = [];
      for (const { itemId, parked } of awaited) {
        signal.throwIfAborted();
        const run = batchItemWorkflowId(batchId, itemId);
        const state = await itemState(run, itemId);
        if (state === 'running') continue;
        if (state === 'unknown') ends.push(lostEnd(itemId, run));
        else if (state.outcome !== 'needs_attention' || !parked) ends.push(state);
      }
      return { ends };
    });
}

/** Every awaited run was started, so one that Temporal does not know was deleted, or its retention is over. */
function lostEnd(itemId: string, run: string): BatchItemEnd {
  const message = 'Temporal no longer has the run; the store may have its video: wan-video status';
  return failedEnd({ item_id: itemId, run, started_at_ms: 0 }, { type: 'RunNotFound', message }, null);
}
