import { salvageWorkflowId } from '../src/contract/names.js';
import type { PurchaseView } from '../src/ledger/ledger.js';
import { boughtTask } from '../src/ledger/purchase-status.js';
import type { ActivityDeps } from './deps.js';
import { subscribedEvents } from './notify-webhook.js';
import type { OrphanedPurchase, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Lists the open purchases whose run is gone (terminated, lost, failed) and that no salvage sees to. */
export function createFindOrphans(deps: ActivityDeps): VideoActivities['findOrphans'] {
  const { ledger, isRunOpen, knowsAttributes } = deps;
  return () =>
    withSignal(async (signal) => {
      const { open, damaged } = await ledger.listOpen(undefined, { signal });
      const orphans: OrphanedPurchase[] = [];
      for (const { purchase, intent } of open) {
        if (await isRunOpen(intent.workflow_id)) continue;
        // Read again: its run may have ended, and closed it, since the list was read.
        const view = await ledger.view(purchase, { signal });
        if (view === undefined) continue;
        for (const orphan of openOf(view)) {
          const { key, n } = purchase;
          if (!(await isRunOpen(salvageWorkflowId(key, n, orphan.late?.taskId)))) orphans.push(orphan);
        }
      }
      return {
        orphans,
        damaged: damaged.map(({ message }) => message),
        attributes: await knowsAttributes(),
        ...subscribedEvents(deps),
      };
    });
}

/** What of a purchase nobody has ended yet. */
function openOf({ purchase, intent, state, extraTasks }: PurchaseView): OrphanedPurchase[] {
  const workflowId = intent.workflow_id;
  const own = state.kind === 'unclaimed' || state.kind === 'claimed' ? [{ purchase, workflowId, late: null }] : [];
  const beside = extraTasks
    .filter(({ ending }) => ending === undefined)
    .map(({ task }) => ({
      ...{ purchase, workflowId },
      late: { ...boughtTask(purchase, intent, task), claim: 'second' as const },
    }));
  return [...own, ...beside];
}
