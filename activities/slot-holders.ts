import { mapParallel } from '../src/async/map-parallel.js';
import type { Billable } from '../src/contract/budget.js';
import { FailureType } from '../src/contract/failure-type.js';
import type { Purchase } from '../src/contract/purchase.js';
import type {
  DeadSlot,
  HeldSlot,
  OpenSlot,
  SlotAnswer,
  SlotReleaseMessage,
  SlotRequestMessage,
  SlotsHealth,
} from '../src/contract/slots.js';
import { VideoError } from '../src/contract/video-error.js';
import { openExtraTasks, type PurchaseView } from '../src/ledger/purchase-view.js';
import { batchOf, type Ending } from '../src/ledger/records.js';
import type { ActivityDeps } from './deps.js';
import { type OrphanedPurchase, type Orphans, orphansOf } from './find-orphans.js';
import { subscribedEvents } from './post-event.js';
import { webLinksOf } from './web-links.js';
import { withSignal } from './with-signal.js';

/**
 * Milliseconds for which a purchase without a claim counts as one that may render: longer than a submit, its
 * reconciliation and most renders. After that it waits for a person, perhaps for days, and must not keep a slot.
 */
const UNCLAIMED_MS = 900_000;
/** A submit that was under way when its run ended has written its intent by then: twice the submit's longest time. */
const UNBOUGHT_MS = 60_000;
/** Holders that are audited together; each is some four reads and two requests to Temporal. */
const HOLDERS_AT_ONCE = 16;

/** Repeats the request of a run that waits; starts the account's slots again if they are gone. */
export function createRequestSlot({ slots }: ActivityDeps) {
  return async (request: Omit<SlotRequestMessage, 'limit' | 'budget'>): Promise<SlotAnswer | null> =>
    (await slots.requestSlot(request)) ?? null;
}

/**
 * Makes the runs that wait request their slots again, because slots that start again know of none. Does nothing for
 * slots that never ran before.
 */
export function createWakeWaitingRuns({ slots }: ActivityDeps) {
  return (): Promise<{ woken: number }> =>
    withSignal(async (signal) => ({ woken: await slots.wakeWaitingRuns(signal) }));
}

/** Finds out why the slots have not answered a request. */
export function createAssessSlots({ slots }: ActivityDeps) {
  return (): Promise<SlotsHealth> => slots.assess();
}

/**
 * Releases the slot of a purchase that has ended, was not created, or waits for a person. Never rejects: the audit of
 * holders finds a release that was lost.
 * @param settled - What the purchase cost; undefined while that is not known.
 */
export async function releaseSlot(
  { slots }: ActivityDeps,
  { key, n }: Purchase,
  settled?: SlotReleaseMessage['settled'],
): Promise<void> {
  await slots.releaseSlot({ key, n, ...(settled !== undefined && { settled }) }).catch(() => undefined);
}

/** Says of a purchase that nothing was billed for it, and nothing will be. */
export const NOTHING_BILLED: SlotReleaseMessage['settled'] = { billed: null };

/** The most that a request can be billed. */
export function costOf(request: Omit<Billable, 'seconds'> & { readonly duration: number }): Billable {
  const { duration, resolution, audio } = request;
  return { seconds: duration, resolution, audio };
}

/** Describes an open purchase to the account's slots. */
export function openSlot({ purchase: { key, n }, intent }: PurchaseView): OpenSlot {
  const { workflow_id: workflowId, tenant, memo, expects } = intent;
  return { key, n, workflowId, tenant, batch: batchOf(memo), cost: costOf(expects) };
}

/** Finds the account's purchases that may have a task at the provider: new slots count them as held. */
export function createFindOpenSlots({ ledger, clock, times }: ActivityDeps) {
  return (): Promise<{ open: OpenSlot[] }> =>
    withSignal(async (signal) => {
      const { open } = await ledger.listOpen(undefined, { signal });
      return { open: open.filter((view) => mayRender(view, clock.now(), times.ledger.resultLifeMs)).map(openSlot) };
    });
}

/** What an audit of the holders finds. */
export interface HoldersAudit {
  readonly dead: readonly DeadSlot[];
  /** Open purchases of holders that no run finishes: until a salvage does, they keep their slot and their money. */
  readonly orphans: readonly OrphanedPurchase[];
  /** What starting their salvages needs; present when there are any. */
  readonly salvage?: Pick<Orphans, 'attributes' | 'webhookEvents' | 'webLinks'>;
}

/**
 * Finds the slots whose purchase has ended, waits for a person, or was never made by a run that is gone; and of the
 * money that is reserved without a slot, what is settled or was never spent. Of the others it finds those whose
 * purchase no run finishes.
 */
export function createFindDeadSlots(deps: ActivityDeps) {
  return ({ holders }: { readonly holders: readonly HeldSlot[] }): Promise<HoldersAudit> =>
    withSignal(async (signal) => {
      const dead: DeadSlot[] = [];
      const orphans: OrphanedPurchase[] = [];
      const audited = mapParallel(holders, HOLDERS_AT_ONCE, async (holder) => {
        const newest = await newestOf(holder, deps, signal);
        const end = await findEnd(holder, newest, deps);
        const isReadable = newest !== undefined && newest !== 'damaged';
        return { holder, end, orphans: isReadable ? await orphansOf(newest, deps, signal) : [] };
      });
      for await (const { holder, end, orphans: found } of audited) {
        orphans.push(...found);
        const { key, afterPurchase, sinceMs, slotIsFree = false } = holder;
        if (end === 'alive' || (end === 'unsettled' && slotIsFree)) continue;
        dead.push({ key, afterPurchase, sinceMs, settled: end !== 'unsettled', paid: end === 'paid' });
      }
      if (orphans.length === 0) return { dead, orphans };
      const salvage = { attributes: await deps.knowsAttributes(), ...subscribedEvents(deps), ...webLinksOf(deps) };
      return { dead, orphans, salvage };
    });
}

/** The newest purchase that may have been made with a slot; undefined: none. */
async function newestOf(
  { key, afterPurchase }: HeldSlot,
  { ledger }: ActivityDeps,
  signal: AbortSignal,
): Promise<PurchaseView | 'damaged' | undefined> {
  const newest = await ledger.findNewest(key, { signal }).catch((error: unknown) => {
    if (error instanceof VideoError && error.type === FailureType.RecordDamaged) return 'damaged' as const;
    throw error;
  });
  if (newest === 'damaged') return newest;
  return newest !== undefined && newest.purchase.n > afterPurchase ? newest : undefined;
}

/**
 * How a slot ended. `unsettled`: it is free, and a bill may still come; `paid`: there may be a bill, and then the
 * ledger has it; `nothing`: there is no bill, and there will be none.
 */
type SlotEnd = 'alive' | 'unsettled' | 'paid' | 'nothing';

async function findEnd(
  { requesters, sinceMs, slotIsFree = false }: HeldSlot,
  newest: PurchaseView | 'damaged' | undefined,
  { clock, times, isRunOpen }: ActivityDeps,
): Promise<SlotEnd> {
  if (newest !== undefined && newest !== 'damaged') {
    const { state } = newest;
    if (!slotIsFree && mayRender(newest, clock.now(), times.ledger.resultLifeMs)) return 'alive';
    if (state.kind === 'closed') return isPaid(state.ending) ? 'paid' : 'nothing';
    if (state.kind !== 'not_created' || openExtraTasks(newest).length > 0) return 'unsettled';
  }
  // Nothing was bought yet: a requester that is still open may be about to.
  if ((await Promise.all(requesters.map((id) => isRunOpen(id)))).includes(true)) return 'alive';
  // What cannot be read may have been paid.
  if (newest === 'damaged') return 'unsettled';
  // The submit of a requester that is gone may still be on its way.
  return slotIsFree && clock.now() - sinceMs >= UNBOUGHT_MS ? 'nothing' : 'unsettled';
}

/** Whether a task that ended in this way may be billed. */
function isPaid(ending: Ending): boolean {
  return ending.how === 'failed' ? ending.failure.billed !== false : ending.how !== 'cancelled';
}

function mayRender(view: PurchaseView, nowMs: number, resultLifeMs: number): boolean {
  const { state, intent } = view;
  const ageMs = nowMs - intent.written_at_ms;
  if (openExtraTasks(view).length > 0) return ageMs < resultLifeMs;
  if (state.kind === 'claimed') return ageMs < resultLifeMs;
  return state.kind === 'unclaimed' && ageMs < UNCLAIMED_MS;
}
