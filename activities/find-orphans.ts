import { mapParallel } from '../src/async/map-parallel.js';
import { salvageWorkflowId } from '../src/contract/names.js';
import type { Purchase } from '../src/contract/purchase.js';
import { type StepTimes, stepTimesOf } from '../src/contract/times.js';
import type { WebLinks } from '../src/contract/web-links.js';
import type { WebhookEvents } from '../src/contract/webhook.js';
import { boughtTask, openExtraTasks, type PurchaseView } from '../src/ledger/purchase-view.js';
import type { ActivityDeps } from './deps.js';
import { subscribedEvents } from './post-event.js';
import type { WatchedTask } from './purchase-step.js';
import { webLinksOf } from './web-links.js';
import { withSignal } from './with-signal.js';

/** An open purchase, or an open task next to its own one, that no run finishes. */
export interface OrphanedPurchase {
  readonly purchase: Purchase;
  /** Given for a task that was bought in addition to the purchase's own one. */
  readonly extraTask: WatchedTask | null;
  /** Workflow id of the run that bought it. */
  readonly workflowId: string;
}

/** What a sweep needs to start its salvages. */
export interface Orphans {
  readonly orphans: readonly OrphanedPurchase[];
  /** Ledger records that could not be read; each says what to do. */
  readonly damaged: readonly string[];
  /** Whether the namespace has the search attributes. */
  readonly attributes: boolean;
  readonly webhookEvents?: WebhookEvents;
  readonly webLinks?: WebLinks;
  readonly times: StepTimes;
}

/** Open purchases whose runs are looked up together; each is a request to Temporal, and one to the store. */
const PURCHASES_AT_ONCE = 16;
/** Damaged records that a sweep names; some 300 bytes each. */
const DAMAGED_MAX = 50;

/**
 * Lists the open purchases whose run is gone (terminated, lost, failed) and that no salvage finishes. Then it marks
 * those that are over and have no marker, digests hours that are over, and repeats new bills in statements, so that
 * none is listed or read by itself again.
 */
export function createFindOrphans(deps: ActivityDeps) {
  const { ledger, knowsAttributes } = deps;
  return (): Promise<Orphans> =>
    withSignal(async (signal) => {
      const listed = await ledger.listOpen(undefined, { signal });
      const { open, damaged } = listed;
      const found = mapParallel(open, PURCHASES_AT_ONCE, (view) => orphansOf(view, deps, signal));
      const orphans: OrphanedPurchase[] = [];
      for await (const one of found) orphans.push(...one);
      await ledger.markSettled(listed, { signal });
      const bills = await ledger.writeStatements({ signal });
      return {
        orphans,
        damaged: listSome([...damaged, ...bills].map(({ message }) => message)),
        attributes: await knowsAttributes(),
        times: stepTimesOf(deps.times),
        ...subscribedEvents(deps),
        ...webLinksOf(deps),
      };
    });
}

/** The first of many messages, and how many there are in addition: a report of the sweep has its limit. */
function listSome(messages: readonly string[]): readonly string[] {
  const more = messages.length - DAMAGED_MAX;
  return more <= 0 ? messages : [...messages.slice(0, DAMAGED_MAX), `${more} more records cannot be read`];
}

/** Finds the open parts of a purchase that neither its run nor a salvage finishes. */
export async function orphansOf(
  { purchase, intent }: PurchaseView,
  { ledger, isRunOpen }: Pick<ActivityDeps, 'ledger' | 'isRunOpen'>,
  signal: AbortSignal,
): Promise<OrphanedPurchase[]> {
  if (await isRunOpen(intent.workflow_id, intent.first_run_id)) return [];
  // Read again: its run may have ended, and closed it, since the list was read.
  const view = await ledger.findPurchase(purchase, { signal });
  const orphans: OrphanedPurchase[] = [];
  for (const orphan of view === undefined ? [] : openTasksOf(view)) {
    const { key, n } = purchase;
    if (!(await isRunOpen(salvageWorkflowId(key, n, orphan.extraTask?.taskId)))) orphans.push(orphan);
  }
  return orphans;
}

/** The parts of a purchase that have not ended: its own task, and each extra task. */
function openTasksOf(view: PurchaseView): OrphanedPurchase[] {
  const { purchase, intent, state } = view;
  const workflowId = intent.workflow_id;
  const isOpen = state.kind === 'unclaimed' || state.kind === 'claimed';
  return [
    ...(isOpen ? [{ purchase, workflowId, extraTask: null }] : []),
    ...openExtraTasks(view).map((task) => ({
      purchase,
      workflowId,
      extraTask: { ...boughtTask(purchase, intent, task), claim: 'extra' as const },
    })),
  ];
}
