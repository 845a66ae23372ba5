import type { Billable, BudgetReached, BudgetTerms, Payer } from '../../src/contract/budget.js';
import type { QueueIdentity, SlotReleaseMessage, SlotRequestMessage, SlotView } from '../../src/contract/slots.js';
import { addBill, Budgets, type Reservation, type Room, type Spending } from './budgets.js';
import { FairOrder, groupsOf, type TurnCounts } from './fair-order.js';

/** One slot, held or wanted, and the runs that asked for it. */
export interface SlotEntry extends QueueIdentity {
  readonly key: string;
  readonly afterPurchase: number;
  /** Workflow ids. Runs of one purchase key share one slot: only one of them buys, and the others follow it. */
  readonly requesters: readonly string[];
  /** Milliseconds since the epoch: held, or waiting, since then. */
  readonly sinceMs: number;
  /** What it can cost at most; absent when whoever asked did not say, null once it is counted as spent. */
  readonly cost?: Billable | null;
  /** Whose money it is for runs that are not of the entry's own tenant and batch, by workflow id. */
  readonly payers?: Readonly<Record<string, Payer>>;
}

/** Who waits, in the order of asking. */
export interface Waiter extends SlotEntry {
  readonly seq: number;
}

/** Everything that `accountSlots` has to remember; plain JSON. */
export interface SlotState {
  readonly limit: number;
  readonly holders: readonly SlotEntry[];
  readonly waiters: readonly Waiter[];
  /** By priority for tenants, by priority and tenant for batches; only of groups that wait. */
  readonly rounds: Readonly<Record<string, TurnCounts>>;
  readonly nextSeq: number;
  /** Absent or null: no budgets. */
  readonly budget?: BudgetTerms | null;
  /** What was spent; absent or null while the ledger has to be read. */
  readonly spending?: Spending | null;
  /** Purchases whose slot is free and whose money is reserved: nobody knows yet what they come to. */
  readonly parked?: readonly SlotEntry[];
}

/** A purchase that stands open in the ledger. */
export interface OpenSlot {
  readonly key: string;
  readonly n: number;
  readonly workflowId: string;
  readonly tenant: string | null;
  readonly batch?: string | null;
  readonly cost?: Billable;
}

/** A run whose request a budget has no room for. */
export interface Refusal {
  readonly key: string;
  readonly afterPurchase: number;
  readonly requesterId: string;
  readonly reached: BudgetReached;
}

export const emptySlotState = (limit: number): SlotState => ({
  limit,
  holders: [],
  waiters: [],
  rounds: {},
  nextSeq: 1,
});

/**
 * Takes a request; one that is known already keeps its place, or its slot. One that would share a slot that is held, on a budget that has
 * no room, changes nothing: see {@link roomForAnotherPayer}.
 */
export function addRequest(state: SlotState, ask: SlotRequestMessage, nowMs: number): SlotState {
  const { key, afterPurchase, requesterId, tenant, batch, priority, cost } = ask;
  if (state.holders.some((held) => held.key === key)) {
    if (roomForAnotherPayer(state, ask, nowMs) !== 'fits') return state;
    return { ...state, holders: state.holders.map((held) => (held.key === key ? mergeRequest(held, ask) : held)) };
  }
  const waiting = state.waiters.find((waiter) => waiter.key === key);
  if (waiting !== undefined) {
    const now = mergeRequest(waiting, ask);
    return enqueue({ ...state, waiters: state.waiters.map((waiter) => (waiter === waiting ? now : waiter)) }, now);
  }
  const share = { tenant, batch, priority, ...(cost !== undefined && { cost }) };
  const waiter = { key, afterPurchase, requesters: [requesterId], ...share, sinceMs: nowMs, seq: state.nextSeq };
  return enqueue({ ...state, waiters: [...state.waiters, waiter], nextSeq: state.nextSeq + 1 }, waiter);
}

/** Whether a run may share the slot that its key holds: any of those who share one may be the one that buys. */
export function roomForAnotherPayer(
  state: SlotState,
  { key, tenant, batch, cost }: SlotRequestMessage,
  nowMs: number,
): Room {
  const held = state.holders.find((holder) => holder.key === key);
  if (state.budget == null || held?.cost == null || cost === undefined) return 'fits';
  if (payersOf(held).some((payer) => payer.tenant === tenant && payer.batch === batch)) return 'fits';
  // What is reserved already counts for the day, and for a tenant or batch that it shares.
  const others = { ...state, holders: state.holders.filter((holder) => holder !== held) };
  return budgetsOf(others, state.budget, nowMs).room({ tenant, batch }, cost);
}

/** Everybody whose money the purchase of an entry may be. */
export function payersOf({ tenant, batch, payers = {} }: SlotEntry): readonly Payer[] {
  return [{ tenant, batch }, ...Object.values(payers)];
}

/** The budgets of a state at one moment. */
export function budgetsOf(state: SlotState, terms: BudgetTerms, nowMs: number): Budgets {
  return new Budgets(terms, state.spending ?? null, reservationsOf(state), nowMs);
}

/** Whatever has a slot or money reserved. */
export const heldEntries = ({ holders, parked = [] }: SlotState): readonly SlotEntry[] => [...holders, ...parked];

function* reservationsOf(state: SlotState): Generator<Reservation> {
  for (const entry of heldEntries(state)) if (entry.cost != null) yield { cost: entry.cost, payers: payersOf(entry) };
}

/** Gives the groups of a waiter their turns, unless they have them. */
function enqueue(state: SlotState, waiter: Waiter): SlotState {
  const rounds = { ...state.rounds };
  for (const { round, group } of groupsOf(waiter)) {
    const turns = rounds[round] ?? {};
    rounds[round] = { ...turns, [group]: turns[group] ?? Math.max(0, ...Object.values(turns)) };
  }
  return { ...state, rounds };
}

function mergeRequest<Entry extends SlotEntry>(entry: Entry, ask: SlotRequestMessage): Entry {
  const { afterPurchase, requesterId, tenant, batch, priority, cost } = ask;
  const isNew = !entry.requesters.includes(requesterId);
  // Somebody waits now for what only a batch had wanted.
  const takesOver = priority === 'interactive' && entry.priority === 'batch';
  const isSame = entry.tenant === tenant && entry.batch === batch;
  const { tenant: tenantBefore, batch: batchBefore } = entry;
  const before = entry.requesters.map((one) => [one, { tenant: tenantBefore, batch: batchBefore }]);
  const payers = {
    ...(takesOver && !isSame && Object.fromEntries(before)),
    ...entry.payers,
    ...(isNew && !takesOver && !isSame && { [requesterId]: { tenant, batch } }),
  };
  return {
    ...entry,
    afterPurchase: Math.max(entry.afterPurchase, afterPurchase),
    requesters: isNew ? [...entry.requesters, requesterId] : entry.requesters,
    ...(takesOver && { tenant, batch, priority }),
    ...(entry.cost === undefined && cost !== undefined && { cost }),
    ...(Object.keys(payers).length > 0 && { payers }),
  };
}

/**
 * Frees the slot of a purchase that is over; a return of one that was over when the slot was asked for changes nothing. What was reserved
 * is settled when the return says what it came to, and stays reserved otherwise.
 */
export function releaseSlot(state: SlotState, { key, n, settled }: SlotReleaseMessage, nowMs: number): SlotState {
  const isMeant = (entry: SlotEntry): boolean => entry.key === key && n > entry.afterPurchase;
  const parked = state.parked ?? [];
  const ended = heldEntries(state).filter(isMeant);
  if (ended.length === 0) return state;
  const holders = state.holders.filter((held) => !isMeant(held));
  if (state.budget == null) return { ...state, holders };
  if (settled === undefined) return { ...state, holders, parked: [...parked, ...parkedOf(ended, parked, nowMs)] };
  // Null: the ledger was read meanwhile, and counts it.
  const isCounted = ended.some(({ cost }) => cost === null);
  const { spending } = state;
  return {
    ...state,
    ...{ holders, parked: parked.filter((entry) => !isMeant(entry)) },
    ...(settled.billed !== null && spending != null && !isCounted && { spending: addBill(spending, settled.billed) }),
  };
}

/** What becomes parked of entries, some of which may be already. */
const parkedOf = (entries: readonly SlotEntry[], parked: readonly SlotEntry[], nowMs: number): SlotEntry[] =>
  entries.filter((entry) => entry.cost != null && !parked.includes(entry)).map((entry) => entryOf(entry, nowMs));

/**
 * Takes a run out; what nobody else asked for is free.
 * @param nothingBought - It is certain that nothing was bought; otherwise the ledger has to show it before what is reserved is free, too.
 */
export function removeRequester(
  state: SlotState,
  key: string,
  requesterId: string,
  nothingBought: boolean,
  nowMs: number,
): SlotState {
  const without = <Entry extends SlotEntry>(entries: readonly Entry[]): Entry[] =>
    entries.map((entry) => (entry.key === key ? withoutRequester(entry, requesterId) : entry));
  const isEmpty = ({ requesters }: SlotEntry): boolean => requesters.length === 0;
  const holders = without(state.holders);
  const abandoned = nothingBought ? [] : state.holders.filter((_, at) => holders[at]?.requesters.length === 0);
  const parked = state.parked ?? [];
  return {
    ...state,
    holders: holders.filter((held) => !isEmpty(held)),
    waiters: without(state.waiters).filter((waiter) => !isEmpty(waiter)),
    ...(state.budget != null && { parked: [...parked, ...parkedOf(abandoned, parked, nowMs)] }),
  };
}

function withoutRequester<Entry extends SlotEntry>(entry: Entry, requesterId: string): Entry {
  const { payers, ...others } = entry;
  const left = Object.fromEntries(Object.entries(payers ?? {}).filter(([one]) => one !== requesterId));
  return {
    ...(others as Entry),
    requesters: entry.requesters.filter((one) => one !== requesterId),
    ...(Object.keys(left).length > 0 && { payers: left }),
  };
}

/** Counts purchases that stand open in the ledger as held, whatever the limit is: they are at the provider. */
export function adoptOpenPurchases(state: SlotState, open: readonly OpenSlot[], nowMs: number): SlotState {
  const holders = [...state.holders];
  for (const one of open) {
    const { key, n } = one;
    if (holders.some((held) => held.key === key)) continue;
    const waiting = state.waiters.find((waiter) => waiter.key === key);
    holders.push(entryOf({ ...(waiting ?? openEntry(one)), afterPurchase: n - 1 }, nowMs));
  }
  return { ...state, holders, waiters: state.waiters.filter(({ key }) => !holders.some((held) => held.key === key)) };
}

/** An open purchase as an entry of its buyer. */
export const openEntry = ({
  key,
  n,
  workflowId,
  tenant,
  batch = null,
  cost,
}: OpenSlot): Omit<SlotEntry, 'sinceMs'> => ({
  ...{ key, afterPurchase: n - 1, requesters: [workflowId], tenant, batch },
  priority: batch === null ? 'interactive' : 'batch',
  ...(cost !== undefined && { cost }),
});

/** How far the end of a holder shows: its slot is free, and nothing can be billed for it any more that the ledger does not have. */
export interface DeadSlot {
  readonly key: string;
  readonly afterPurchase: number;
  readonly sinceMs: number;
  readonly over: boolean;
}

/** Frees what is dead; what may still be billed stays reserved. */
export function releaseDeadHolders(state: SlotState, dead: readonly DeadSlot[], nowMs: number): SlotState {
  const verdict = (entry: SlotEntry): DeadSlot | undefined =>
    dead.find(
      ({ key, afterPurchase, sinceMs }) =>
        key === entry.key && afterPurchase === entry.afterPurchase && sinceMs === entry.sinceMs,
    );
  const parked = (state.parked ?? []).filter((entry) => verdict(entry)?.over !== true);
  const free = state.holders.filter((held) => verdict(held) !== undefined);
  const open = free.filter((held) => verdict(held)?.over === false);
  return {
    ...state,
    holders: state.holders.filter((held) => !free.includes(held)),
    ...(state.budget != null && { parked: [...parked, ...parkedOf(open, parked, nowMs)] }),
  };
}

/**
 * Grants what is free: interactive requests first, then tenants in turn, a tenant's batches in turn, and within one in the order
 * of asking. Who has no room in a budget for now is passed over and keeps its place; who cannot have any is refused.
 */
export function grantSlots(
  state: SlotState,
  nowMs: number,
): { readonly state: SlotState; readonly grants: SlotEntry[]; readonly refusals: readonly Refusal[] } {
  const budgets = state.budget == null ? undefined : budgetsOf(state, state.budget, nowMs);
  const { waiters: judged, refusals } =
    budgets === undefined ? { ...state, refusals: [] } : refuseRequests(state, budgets);
  const turns = new FairOrder({ ...state, waiters: judged });
  const fits = (waiter: Waiter): boolean =>
    budgets === undefined ||
    waiter.cost == null ||
    payersOf(waiter).every((payer) => budgets.room(payer, waiter.cost as Billable) === 'fits');
  const grants: SlotEntry[] = [];
  const gone = new Set<Waiter>();
  while (state.holders.length + grants.length < state.limit) {
    const waiter = turns.next(fits);
    if (waiter === undefined) break;
    gone.add(waiter);
    grants.push(entryOf(waiter, nowMs));
    if (waiter.cost != null) budgets?.reserve({ cost: waiter.cost, payers: payersOf(waiter) });
  }
  if (grants.length === 0 && refusals.length === 0) return { state, grants, refusals };
  const waiters = judged.filter((waiter) => !gone.has(waiter));
  // Asked for again under the same name: what was reserved under it is reserved anew.
  const isAgain = (entry: SlotEntry): boolean =>
    grants.some(({ key, afterPurchase }) => key === entry.key && afterPurchase === entry.afterPurchase);
  return {
    state: {
      ...{ ...state, holders: [...state.holders, ...grants], waiters, rounds: turns.rounds() },
      ...(state.parked !== undefined && { parked: state.parked.filter((entry) => !isAgain(entry)) }),
    },
    ...{ grants, refusals },
  };
}

/** Takes out the runs whose own budget has no room, whatever becomes of what is reserved. */
function refuseRequests(
  { waiters }: SlotState,
  budgets: Budgets,
): { readonly waiters: readonly Waiter[]; readonly refusals: readonly Refusal[] } {
  const refusals: Refusal[] = [];
  const left = waiters.flatMap((waiter) => {
    const { key, afterPurchase, tenant, batch, cost, payers = {} } = waiter;
    if (cost == null) return [waiter];
    let rest: Waiter = waiter;
    for (const requesterId of waiter.requesters) {
      const room = budgets.room(payers[requesterId] ?? { tenant, batch }, cost);
      if (typeof room === 'string') continue;
      refusals.push({ key, afterPurchase, requesterId, reached: room });
      rest = withoutRequester(rest, requesterId);
    }
    return rest.requesters.length === 0 ? [] : [ownPayer(rest)];
  });
  return { waiters: left, refusals };
}

/** A waiter whose own payer has gone is counted as one of those that are left. */
function ownPayer(waiter: Waiter): Waiter {
  const { payers, ...others } = waiter;
  const [first] = waiter.requesters;
  if (
    payers === undefined ||
    first === undefined ||
    !waiter.requesters.every((requesterId) => payers[requesterId] !== undefined)
  )
    return waiter;
  const { [first]: own, ...rest } = payers;
  return { ...others, ...own, ...(Object.keys(rest).length > 0 && { payers: rest }) };
}

/** Who waits, in the order in which the slots will be granted if nobody else asks. */
export function grantOrder(state: SlotState): Waiter[] {
  const turns = new FairOrder(state);
  const order: Waiter[] = [];
  for (let waiter = turns.next(); waiter !== undefined; waiter = turns.next()) order.push(waiter);
  return order;
}

/**
 * What of a state fits into so many bytes: all that is held and reserved, and of those who wait the ones whose turn comes first. Who is left
 * out asks again by itself, and keeps its group's turns.
 */
export function withinBytes(state: SlotState, bytesMax: number): SlotState {
  const bytesOf = (value: unknown): number => new TextEncoder().encode(JSON.stringify(value)).length;
  if (bytesOf(state) <= bytesMax) return state;
  let left = bytesMax - bytesOf({ ...state, waiters: [] });
  const kept = new Set<Waiter>();
  for (const waiter of grantOrder(state)) {
    left -= bytesOf(waiter) + 1; // and the comma
    if (left < 0) break;
    kept.add(waiter);
  }
  return { ...state, waiters: state.waiters.filter((waiter) => kept.has(waiter)) };
}

/** An entry as people and programs are shown it. */
export const slotView = ({ key, requesters, sinceMs, tenant, batch, priority }: SlotEntry): SlotView => ({
  ...{ purchase_key: key, runs: requesters, tenant, batch, priority, since_ms: sinceMs },
});

const entryOf = (
  { key, afterPurchase, requesters, tenant, batch, priority, cost, payers }: Omit<SlotEntry, 'sinceMs'>,
  nowMs: number,
): SlotEntry => ({
  ...{ key, afterPurchase, requesters, tenant, batch, priority, sinceMs: nowMs },
  ...(cost !== undefined && { cost }),
  ...(payers !== undefined && { payers }),
});
