import type { Billable } from '../src/contract/budget.js';
import { FailureType } from '../src/contract/failure-type.js';
import type { SlotReleaseMessage } from '../src/contract/slots.js';
import { VideoError } from '../src/contract/video-error.js';
import type { PurchaseView } from '../src/ledger/ledger.js';
import type { Purchase } from '../src/ledger/purchase-key.js';
import { batchOf } from '../src/ledger/records.js';
import type { ActivityDeps } from './deps.js';
import type { DeadSlot, HeldSlot, OpenSlot, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/**
 * How long a purchase without a claim counts as one that may render: longer than a submit, its reconciliation and most renders. It may
 * also wait for a person, for days, and must not take a slot from the others meanwhile.
 */
const UNCLAIMED_MS = 900_000;
/** A submit that was under way when its run went away has announced its purchase by then: twice its longest time. */
const UNBOUGHT_MS = 60_000;

/** Asks the account's slots again for a run that waits; they are started anew when they are gone. */
export function createRequestSlot({ slots }: ActivityDeps): VideoActivities['requestSlot'] {
  return (ask) => slots.requestSlot(ask);
}

/**
 * Gives the slot of a purchase back that is over, was not created, or waits for a person. Never rejects: what gets lost here is found
 * when somebody needs the slot.
 * @param settled - What it came to; undefined while that is not known.
 */
export async function releaseSlot(
  { slots }: ActivityDeps,
  { key, n }: Purchase,
  settled?: SlotReleaseMessage['settled'],
): Promise<void> {
  await slots.releaseSlot({ key, n, ...(settled !== undefined && { settled }) }).catch(() => undefined);
}

/** Nothing was billed for it, and nothing will be. */
export const NOTHING_BILLED: SlotReleaseMessage['settled'] = { billed: null };

/** What a request can be billed at most. */
export const costOf = ({
  duration,
  resolution,
  audio,
}: Omit<Billable, 'seconds'> & { duration: number }): Billable => ({
  ...{ seconds: duration, resolution, audio },
});

/** An open purchase as the slots know it. */
export function openSlot({ purchase: { key, n }, intent }: PurchaseView): OpenSlot {
  const { workflow_id: workflowId, tenant, memo, expects } = intent;
  return { key, n, workflowId, tenant, batch: batchOf(memo), cost: costOf(expects) };
}

/** The purchases of the account that may have a task at the provider: what new slots take as held. */
export function createFindOpenSlots({ ledger, clock, times }: ActivityDeps): VideoActivities['findOpenSlots'] {
  return () =>
    withSignal(async (signal) => {
      const { open } = await ledger.listOpen(undefined, { signal });
      return { open: open.filter((view) => mayRender(view, clock.now(), times.resultLifeMs)).map(openSlot) };
    });
}

/**
 * Of the slots that are held, those whose purchase has ended, waits for a person, or was never made by a run that is gone; of the money
 * that is reserved without a slot, what is settled or was never spent.
 */
export function createFindDeadSlots(deps: ActivityDeps): VideoActivities['findDeadSlots'] {
  return ({ holders }) =>
    withSignal(async (signal) => {
      const dead: DeadSlot[] = [];
      for (const holder of holders) {
        const state = await endOf(holder, deps, signal);
        if (state !== 'alive' && (state !== 'unsettled' || holder.parked !== true))
          dead.push({ ...holder, over: state !== 'unsettled', paid: state === 'paid' });
      }
      return { dead };
    });
}

/**
 * `unsettled`: the slot is free, and a bill may still come; `paid`: there may be one, and the ledger has it if so; `nothing`: there is
 * none, and there will be none.
 */
type SlotEnd = 'alive' | 'unsettled' | 'paid' | 'nothing';

async function endOf(holder: HeldSlot, deps: ActivityDeps, signal: AbortSignal): Promise<SlotEnd> {
  const { key, afterPurchase, requesters, sinceMs, parked = false } = holder;
  const { ledger, clock, times, isRunOpen } = deps;
  const newest = await ledger.newest(key, { signal }).catch((error: unknown) => {
    if (error instanceof VideoError && error.type === FailureType.RecordDamaged) return undefined;
    throw error;
  });
  if (newest !== undefined && newest.purchase.n > afterPurchase) {
    const { state, extraTasks } = newest;
    if (!parked && mayRender(newest, clock.now(), times.resultLifeMs)) return 'alive';
    if (state.kind === 'closed') return ['archived', 'expired'].includes(state.ending.how) ? 'paid' : 'nothing';
    if (state.kind !== 'not_created' || extraTasks.some(({ ending }) => ending === undefined)) return 'unsettled';
  }
  // Nothing is bought: held for a run that is about to.
  if ((await Promise.all(requesters.map(isRunOpen))).includes(true)) return 'alive';
  // Its submit may be on its way all the same.
  return parked && clock.now() - sinceMs >= UNBOUGHT_MS ? 'nothing' : 'unsettled';
}

function mayRender({ state, intent, extraTasks }: PurchaseView, nowMs: number, resultLifeMs: number): boolean {
  const ageMs = nowMs - intent.written_at_ms;
  if (extraTasks.some(({ ending }) => ending === undefined)) return ageMs < resultLifeMs;
  if (state.kind === 'claimed') return ageMs < resultLifeMs;
  return state.kind === 'unclaimed' && ageMs < UNCLAIMED_MS;
}
