import type { BudgetReached } from '../../src/contract/budget.js';
import type { DeadSlot, OpenSlot, SlotReleaseMessage, SlotRequestMessage } from '../../src/contract/slots.js';
import { addBill, type Budgets, type Room } from './budgets.js';
import { FairOrder, rotationsOf } from './fair-order.js';
import {
  budgetsOf,
  entryOfPurchase,
  heldEntries,
  heldSince,
  payerOf,
  payersOf,
  type SlotEntry,
  type SlotState,
  type TurnCounts,
  type Waiter,
  withoutRequester,
} from './slot-state.js';

// The decisions of the account's slots: pure functions from one state to the next.

/** A request that a budget has no room for. */
interface Refusal {
  readonly key: string;
  readonly afterPurchase: number;
  readonly requesterId: string;
  readonly reached: BudgetReached;
}

/** What {@link grantSlots} has decided. */
export interface GrantStep {
  readonly state: SlotState;
  readonly grants: readonly SlotEntry[];
  readonly refusals: readonly Refusal[];
  /** The requests that still wait, as {@link grantOrder} orders them. */
  readonly order: readonly Waiter[];
}

/**
 * Adds a request. A repeated one keeps its place, or its slot. One that would share a held slot on a budget without
 * room changes nothing: {@link roomForAnotherPayer} says so beforehand.
 */
export function addRequest(state: SlotState, request: SlotRequestMessage, nowMs: number): SlotState {
  const { key } = request;
  if (state.holders.some((held) => held.key === key)) {
    if (roomForAnotherPayer(state, request, nowMs) !== 'fits') return state;
    const holders = state.holders.map((held) => (held.key === key ? mergeRequest(held, request) : held));
    return { ...state, holders };
  }
  const waiting = state.waiters.find((waiter) => waiter.key === key);
  if (waiting !== undefined) {
    const merged = mergeRequest(waiting, request);
    const waiters = state.waiters.map((waiter) => (waiter === waiting ? merged : waiter));
    return { ...state, waiters, turnCounts: enterRotations(state, merged) };
  }
  return enqueue(state, request, nowMs);
}

function enqueue(state: SlotState, request: SlotRequestMessage, nowMs: number): SlotState {
  const { key, afterPurchase, requesterId, tenant, batch, priority, cost } = request;
  const waiter: Waiter = {
    key,
    afterPurchase,
    requesters: [requesterId],
    tenant,
    batch,
    priority,
    ...(cost !== undefined && { cost }),
    sinceMs: nowMs,
    seq: state.nextSeq,
  };
  return {
    ...state,
    waiters: [...state.waiters, waiter],
    nextSeq: state.nextSeq + 1,
    turnCounts: enterRotations(state, waiter),
  };
}

/**
 * Counts the groups of a request in their rotations. A group that comes new, or comes back, starts with as many turns
 * as the one that has had the most: it neither catches up on turns before its request nor gets ahead by staying away.
 */
function enterRotations({ turnCounts }: SlotState, waiter: Waiter): Readonly<Record<string, TurnCounts>> {
  const next = { ...turnCounts };
  for (const { rotation, group } of rotationsOf(waiter)) {
    const turns = next[rotation] ?? {};
    if (turns[group] === undefined) next[rotation] = { ...turns, [group]: Math.max(0, ...Object.values(turns)) };
  }
  return next;
}

function mergeRequest<Entry extends SlotEntry>(entry: Entry, request: SlotRequestMessage): Entry {
  const { afterPurchase, requesterId, tenant, batch, priority, cost } = request;
  const isNew = !entry.requesters.includes(requesterId);
  const isSamePayer = entry.tenant === tenant && entry.batch === batch;
  // An interactive request takes over the place that a batch has requested.
  const takesOver = priority === 'interactive' && entry.priority === 'batch';
  const payersBefore = entry.requesters.map((id) => [id, { tenant: entry.tenant, batch: entry.batch }]);
  const payers = {
    ...(takesOver && !isSamePayer && Object.fromEntries(payersBefore)),
    ...entry.payers,
    ...(isNew && !takesOver && !isSamePayer && { [requesterId]: { tenant, batch } }),
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
 * Whether a request may share the slot that its key holds. Any requester of a slot may be the one that buys, so the
 * budgets of each must have room. What is reserved already covers the budgets that the request shares with the others.
 */
export function roomForAnotherPayer(state: SlotState, request: SlotRequestMessage, nowMs: number): Room {
  const { key, tenant, batch, cost } = request;
  const held = state.holders.find((holder) => holder.key === key);
  if (held?.cost == null || cost === undefined) return 'fits';
  if (payersOf(held).some((payer) => payer.tenant === tenant && payer.batch === batch)) return 'fits';
  const others = { ...state, holders: state.holders.filter((holder) => holder !== held) };
  return budgetsOf(others, nowMs)?.room({ tenant, batch }, cost) ?? 'fits';
}

/**
 * Frees the slot of a purchase that has ended; a release of one that had ended before the slot was requested changes
 * nothing. Its reserved money is settled if the release says what it cost, and stays reserved otherwise.
 */
export function releaseSlot(state: SlotState, release: SlotReleaseMessage, nowMs: number): SlotState {
  const { key, n, settled } = release;
  const isReleased = (entry: SlotEntry): boolean => entry.key === key && n > entry.afterPurchase;
  const released = heldEntries(state).filter(isReleased);
  if (released.length === 0) return state;
  const withoutSlot = { ...state, holders: state.holders.filter((held) => !isReleased(held)) };
  if (state.budget === null) return withoutSlot;
  if (settled === undefined) return keepReserved(withoutSlot, released, nowMs);
  const unsettled = state.unsettled.filter((entry) => !isReleased(entry));
  const { spending } = state;
  // A cost of null: the ledger was read meanwhile, and its spending has the bill.
  const isCounted = released.some(({ cost }) => cost === null);
  if (settled.billed === null || spending === null || isCounted) return { ...withoutSlot, unsettled };
  return { ...withoutSlot, unsettled, spending: addBill(spending, settled.billed) };
}

/** Keeps the money of entries reserved whose slot is free. */
function keepReserved(state: SlotState, entries: readonly SlotEntry[], nowMs: number): SlotState {
  if (state.budget === null) return state;
  const added = entries
    .filter((entry) => entry.cost != null && !state.unsettled.includes(entry))
    .map((entry) => heldSince(entry, nowMs));
  return { ...state, unsettled: [...state.unsettled, ...added] };
}

/**
 * Takes a requester out of what it has requested. A slot without requesters is free.
 * @param nothingBought - Whether it is certain that the requester has bought nothing. Otherwise the reserved money
 * stays reserved until the ledger shows what became of it.
 */
export function removeRequester(
  state: SlotState,
  key: string,
  requesterId: string,
  nothingBought: boolean,
  nowMs: number,
): SlotState {
  const remove = <Entry extends SlotEntry>(entry: Entry): Entry =>
    entry.key === key ? withoutRequester(entry, requesterId) : entry;
  const hasRequesters = ({ requesters }: SlotEntry): boolean => requesters.length > 0;
  const abandoned = state.holders.filter((held) => !hasRequesters(remove(held)));
  const next = {
    ...state,
    holders: state.holders.map(remove).filter(hasRequesters),
    waiters: state.waiters.map(remove).filter(hasRequesters),
  };
  return nothingBought ? next : keepReserved(next, abandoned, nowMs);
}

/** Counts the open purchases of the ledger as held, in excess of the limit if need be: they are at the provider. */
export function adoptOpenPurchases(state: SlotState, open: readonly OpenSlot[], nowMs: number): SlotState {
  const holders = [...state.holders];
  for (const purchase of open) {
    const { key, n } = purchase;
    if (holders.some((held) => held.key === key)) continue;
    const waiting = state.waiters.find((waiter) => waiter.key === key);
    const held = waiting === undefined ? entryOfPurchase(purchase, nowMs) : heldSince(waiting, nowMs);
    holders.push({ ...held, afterPurchase: n - 1 });
  }
  const waiters = state.waiters.filter(({ key }) => !holders.some((held) => held.key === key));
  return { ...state, holders, waiters };
}

/** Frees the slots of dead holders. Money that may still be billed stays reserved. */
export function releaseDeadHolders(state: SlotState, dead: readonly DeadSlot[], nowMs: number): SlotState {
  const findDead = (entry: SlotEntry): DeadSlot | undefined =>
    dead.find(
      ({ key, afterPurchase, sinceMs }) =>
        key === entry.key && afterPurchase === entry.afterPurchase && sinceMs === entry.sinceMs,
    );
  const next = {
    ...state,
    holders: state.holders.filter((held) => findDead(held) === undefined),
    unsettled: state.unsettled.filter((entry) => findDead(entry)?.settled !== true),
  };
  const unsettled = state.holders.filter((held) => findDead(held)?.settled === false);
  return keepReserved(next, unsettled, nowMs);
}

/**
 * Grants the slots that are free, in the order of {@link grantOrder}. A request that a budget has no room for now is
 * passed over and keeps its place; one that a budget can never have room for is refused.
 */
export function grantSlots(state: SlotState, nowMs: number): GrantStep {
  const budgets = budgetsOf(state, nowMs);
  const { waiters, refusals } =
    budgets === undefined ? { waiters: state.waiters, refusals: [] } : refuseRequests(state.waiters, budgets);
  const fairOrder = new FairOrder(waiters, state.turnCounts);
  const hasRoom = (waiter: Waiter): boolean => {
    const { cost } = waiter;
    if (budgets === undefined || cost == null) return true;
    return payersOf(waiter).every((payer) => budgets.room(payer, cost) === 'fits');
  };
  const granted = new Set<Waiter>();
  while (state.holders.length + granted.size < state.limit) {
    const waiter = fairOrder.next(hasRoom);
    if (waiter === undefined) break;
    granted.add(waiter);
    if (waiter.cost != null) budgets?.reserve({ cost: waiter.cost, payers: payersOf(waiter) });
  }
  const turnCounts = fairOrder.turnCounts();
  const order = fairOrder.takeAll();
  if (granted.size === 0 && refusals.length === 0) return { state, grants: [], refusals, order };
  const grants = [...granted].map((waiter) => heldSince(waiter, nowMs));
  // A slot that is requested again under the same name reserves its money again.
  const isReservedAgain = (entry: SlotEntry): boolean =>
    grants.some(({ key, afterPurchase }) => key === entry.key && afterPurchase === entry.afterPurchase);
  return {
    state: {
      ...state,
      holders: [...state.holders, ...grants],
      waiters: waiters.filter((waiter) => !granted.has(waiter)),
      turnCounts,
      unsettled: state.unsettled.filter((entry) => !isReservedAgain(entry)),
    },
    grants,
    refusals,
    order,
  };
}

/** Takes out the requesters whose budgets have no room, even if everything that is reserved costs nothing. */
function refuseRequests(
  waiters: readonly Waiter[],
  budgets: Budgets,
): { readonly waiters: readonly Waiter[]; readonly refusals: readonly Refusal[] } {
  const refusals: Refusal[] = [];
  const remaining = waiters.flatMap((waiter) => {
    const { key, afterPurchase, requesters, cost } = waiter;
    if (cost == null) return [waiter];
    let rest: Waiter = waiter;
    for (const requesterId of requesters) {
      const room = budgets.room(payerOf(waiter, requesterId), cost);
      if (typeof room === 'string') continue;
      refusals.push({ key, afterPurchase, requesterId, reached: room });
      rest = withoutRequester(rest, requesterId);
    }
    return rest.requesters.length === 0 ? [] : [withOwnPayer(rest)];
  });
  return { waiters: remaining, refusals };
}

/** Gives a request whose own payer has left the payer of its first requester. */
function withOwnPayer(waiter: Waiter): Waiter {
  const { payers = {}, ...rest } = waiter;
  const [first] = waiter.requesters;
  if (first === undefined || !waiter.requesters.every((id) => Object.hasOwn(payers, id))) return waiter;
  const others = Object.entries(payers).filter(([id]) => id !== first);
  return {
    ...rest,
    ...payerOf(waiter, first),
    ...(others.length > 0 && { payers: Object.fromEntries(others) }),
  };
}

/**
 * The requests that wait, in the order in which slots are granted if no further request comes: interactive ones first,
 * then tenants in turn, a tenant's batches in turn, and within a batch in the order of requests.
 */
export const grantOrder = ({ waiters, turnCounts }: SlotState): Waiter[] =>
  new FairOrder(waiters, turnCounts).takeAll();
