import { salvageWorkflowId } from '../src/contract/names.js';
import { boughtTask, openExtraTasks, type PurchaseView } from '../src/ledger/purchase-view.js';
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
        const view = await ledger.findPurchase(purchase, { signal });
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

/** The parts of a purchase that are not over: its decision, and each extra task. */
function openOf(view: PurchaseView): OrphanedPurchase[] {
  const { purchase, intent, state } = view;
  const workflowId = intent.workflow_id;
  const own = state.kind === 'unclaimed' || state.kind === 'claimed' ? [{ purchase, workflowId, late: null }] : [];
  const extra = openExtraTasks(view).map((task) => ({
    purchase,
    workflowId,
    late: { ...boughtTask(purchase, intent, task), claim: 'extra' as const },
  }));
  return [...own, ...extra];
}
