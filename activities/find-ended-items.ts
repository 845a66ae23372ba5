import type { BatchItemEnd } from '../src/contract/batch.js';
import { failedEnd } from '../src/contract/batch-item.js';
import { batchItemWorkflowId } from '../src/contract/names.js';
import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Of the items that a batch waits for, those whose run has ended, or waits for a person, without the batch knowing. */
export function createFindEndedItems({ itemState }: ActivityDeps): VideoActivities['findEndedItems'] {
  return ({ batchId, awaited }) =>
    withSignal(async (signal) => {
      const ends: BatchItemEnd[] = [];
      for (const { itemId, parked } of awaited) {
        signal.throwIfAborted();
        const run = batchItemWorkflowId(batchId, itemId);
        const state = await itemState(run, itemId);
        if (state === 'running') continue;
        if (state === 'unknown') ends.push(lost(itemId, run));
        else if (state.outcome !== 'needs_attention' || !parked) ends.push(state);
      }
      return { ends };
    });
}

/** Every run that is asked for was started, so one that Temporal does not know was deleted, or its retention is over. */
function lost(itemId: string, run: string): BatchItemEnd {
  const message = 'Temporal has forgotten the run; the store may know its video: wan-video status';
  return {
    ...failedEnd({ item_id: itemId, run, started_at_ms: 0 }, { type: 'RunNotFound', message }, null),
    ended_at_ms: 0,
  };
}
