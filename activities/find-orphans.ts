import { salvageWorkflowId } from '../src/contract/names.js';
import type { ActivityDeps } from './deps.js';
import type { OrphanedPurchase, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Lists the open purchases whose run is gone (terminated, lost, failed) and that no salvage sees to. */
export function createFindOrphans({ ledger, isRunOpen }: ActivityDeps): VideoActivities['findOrphans'] {
  return () =>
    withSignal(async (signal) => {
      const { open, damaged } = await ledger.listOpen(undefined, { signal });
      const orphans: OrphanedPurchase[] = [];
      for (const { purchase, intent } of open) {
        const seenTo = [intent.workflow_id, salvageWorkflowId(purchase.key, purchase.n)];
        if ((await Promise.all(seenTo.map(isRunOpen))).includes(true)) continue;
        orphans.push({ purchase, workflowId: intent.workflow_id });
      }
      return { orphans, damaged: damaged.map(({ message }) => message) };
    });
}
