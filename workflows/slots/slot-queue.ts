import type { BudgetReached } from '../../src/contract/budget.js';
import type { DeadSlot, OpenSlot, SlotReleaseMessage, SlotRequestMessage } from '../../src/contract/slots.js';
import { addBill, type Budgets, type Room } from './budgets.js';
import {
  entryOfPurchase,
  heldSince,
  type Notified,
  payerOf,
  payersOf,
  type SlotEntry,
  type Waiter,
  withoutRequester,
  withPayer,
} from './slot-entry.js';
import { budgetsOf, heldEntries, type SlotState } from './slot-state.js';

// The decisions of the account's slots: functions from one state to the next. The queue, which can be long, is changed
// in place.

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
  /** Whether more requests were to be refused than allowed; they wait until the next step. */
  readonly refusalsLeft: boolean;
}

/** Runs that may request one key: their ids are carried, audited and answered together. */
const REQUESTERS_MAX = 1_000;
/** Characters of the ids and payers of everything that is held, well below the 2 MB of the next run's input. */
const HELD_LENGTH_MAX = 300_000;

/**
 * Whether a request can be taken in: the queue has room for a new key, and a key for another run. A run beyond that
 * finds the video that the others have bought when it requests again.
 */
export function hasRoomForRequester(state: SlotState, { key, requesterId }: SlotRequestMessage): boolean {
  const held = state.holders.find((holder) => holder.key === key);
  const entry = held ?? state.queue.get(key);
  if (entry?.requesters.includes(requesterId)) return true;
  if (held === undefined && state.queue.isFull) return false;
  if (entry === undefined) return true;
  const payers = Object.entries(entry.payers ?? {});
  if (Math.max(entry.requesters.length, payers.length) >= REQUESTERS_MAX) return false;
  const names = [...entry.requesters, ...payers.flatMap(([id, { tenant, batch }]) => [id, tenant ?? '', batch ?? ''])];
  const length = names.reduce((sum, name) => sum + name.length, 0);
  // What waits may be held next, as many at a time as there are slots.
  return length * Math.max(state.limit, heldEntries(state).length) < HELD_LENGTH_MAX;
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
  const { queue, checks } = state;
  const waiting = queue.get(key);
  if (waiting === undefined) {
    const { afterPurchase, requesterId, tenant, batch, priority, cost } = request;
    const requesters = [requesterId];
    const price = cost !== undefined && { cost };
    queue.add({
      key,
      afterPurchase,
      requesters,
      tenant,
      batch,
      priority,
      ...price,
      sinceMs: nowMs,
      notified: notNotified(),
    });
  } else {
    const merged = mergeRequest(waiting, request);
    if (merged === waiting) return state;
    queue.replace(waiting, merged);
  }
  checks.addRequest(key);
  return state;
}

function mergeRequest<Entry extends SlotEntry>(entry: Entry, request: SlotRequestMessage): Entry {
  const { afterPurchase, requesterId, tenant, batch, priority, cost } = request;
  const isNew = !entry.requesters.includes(requesterId);
  const isRepeated = !isNew && afterPurchase <= entry.afterPurchase && (cost === undefined || entry.cost !== undefined);
  if (isRepeated && (priority === entry.priority || priority === 'batch')) return entry;
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
 *
 * A purchase may end whose request waits: a reset has undone its grant, or its run continued without a slot. The
 * request then waits for the next purchase.
 */
export function releaseSlot(state: SlotState, release: SlotReleaseMessage, nowMs: number): SlotState {
  const { key, n, settled } = release;
  const isReleased = (entry: SlotEntry): boolean => entry.key === key && n > entry.afterPurchase;
  const waiting = state.queue.get(key);
  const undone = waiting !== undefined && isReleased(waiting) ? [heldSince(waiting, nowMs)] : [];
  if (waiting !== undefined && undone.length > 0) state.queue.replace(waiting, { ...waiting, afterPurchase: n });
  const released = [...heldEntries(state).filter(isReleased), ...undone];
  if (released.length === 0) return state;
  const withoutSlot = { ...state, holders: state.holders.filter((held) => !isReleased(held)) };
  if (state.budget === null) return withoutSlot;
  if (settled === undefined) return keepReserved(withoutSlot, released, nowMs);
  const unsettled = state.unsettled.filter((entry) => !isReleased(entry));
  const { spending } = state;
  // A cost of null: the ledger was read meanwhile, and its spending has the bill.
  const isCounted = released.some(({ cost }) => cost === null);
  if (settled.billed === null || spending === null || isCounted) return { ...withoutSlot, unsettled };
  const charged = addBill(spending, settled.billed);
  state.checks.addBill(spending, settled.billed, charged);
  return { ...withoutSlot, unsettled, spending: charged };
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
  const remove = (held: SlotEntry): SlotEntry => {
    if (held.key !== key || !held.requesters.includes(requesterId)) return held;
    const rest = withoutRequester(held, requesterId);
    // It may be the one that has bought: its budgets pay then, although others keep the slot.
    return nothingBought ? rest : withPayer(rest, requesterId, payerOf(held, requesterId));
  };
  const hasRequesters = ({ requesters }: SlotEntry): boolean => requesters.length > 0;
  const waiter = state.queue.get(key);
  if (waiter?.requesters.includes(requesterId)) keepWaiting(state, waiter, withoutRequester(waiter, requesterId));
  if (!state.holders.some((held) => held.key === key)) return state;
  const abandoned = state.holders.filter((held) => !hasRequesters(remove(held)));
  const next = { ...state, holders: state.holders.map(remove).filter(hasRequesters) };
  return nothingBought ? next : keepReserved(next, abandoned, nowMs);
}

const notNotified = (): Notified => ({ isProvisional: false, isDue: false });

/**
 * Takes a requester out whose run is gone. The last one of a slot stays until the audit has found out whether its
 * purchase is under way.
 */
export function removeUnreachable(state: SlotState, key: string, requesterId: string, nowMs: number): SlotState {
  const held = state.holders.find((holder) => holder.key === key);
  if (held === undefined) return removeRequester(state, key, requesterId, true, nowMs);
  const isLast = held.requesters.every((id) => id === requesterId);
  return isLast ? state : removeRequester(state, key, requesterId, false, nowMs);
}

/** Keeps a request for the requesters that are left; without any it is gone. */
function keepWaiting({ queue, checks }: SlotState, before: Waiter, waiter: Waiter): void {
  if (waiter.requesters.length === 0) {
    queue.remove(before);
    return;
  }
  queue.replace(before, waiter);
  checks.addRequest(waiter.key);
}

/** Counts the open purchases of the ledger as held, in excess of the limit if need be: they are at the provider. */
export function adoptOpenPurchases(state: SlotState, open: readonly OpenSlot[], nowMs: number): SlotState {
  const holders = [...state.holders];
  for (const purchase of open) {
    const { key, n } = purchase;
    if (holders.some((held) => held.key === key)) continue;
    const waiting = state.queue.get(key);
    const held = waiting === undefined ? entryOfPurchase(purchase, nowMs) : heldSince(waiting, nowMs);
    if (waiting !== undefined) state.queue.remove(waiting);
    holders.push({ ...held, afterPurchase: n - 1 });
  }
  return { ...state, holders };
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
 * Grants the slots that are free, in the order of the queue. A request that a budget has no room for now is passed over
 * and keeps its place; one that a budget can never have room for is refused.
 * @param refusalsMax - How many refusals can be sent now.
 */
export function grantSlots(state: SlotState, nowMs: number, refusalsMax = Number.POSITIVE_INFINITY): GrantStep {
  const { queue, checks } = state;
  const budgets = budgetsOf(state, nowMs);
  const refusals = budgets === undefined ? [] : refuseRequests(state, budgets, nowMs, refusalsMax);
  const refusalsLeft = refusals.length > 0 && refusals.length >= refusalsMax;
  if (refusalsLeft || refusalsMax === 0) checks.compareAll();
  const grants: SlotEntry[] = [];
  while (state.holders.length + grants.length < state.limit) {
    const waiter = budgets === undefined ? queue.next() : nextWithRoom(state, budgets);
    if (waiter === undefined) break;
    queue.grant(waiter);
    grants.push(heldSince(waiter, nowMs));
    if (waiter.cost != null) budgets?.reserve({ cost: waiter.cost, payers: payersOf(waiter) });
  }
  if (grants.length === 0 && refusals.length === 0) return { state, grants, refusals, refusalsLeft };
  queue.forgetEmptyGroups();
  // A slot that is requested again under the same name reserves its money again.
  const isReservedAgain = (entry: SlotEntry): boolean =>
    grants.some(({ key, afterPurchase }) => key === entry.key && afterPurchase === entry.afterPurchase);
  const unsettled = state.unsettled.filter((entry) => !isReservedAgain(entry));
  return { state: { ...state, holders: [...state.holders, ...grants], unsettled }, grants, refusals, refusalsLeft };
}

function nextWithRoom({ queue }: SlotState, budgets: Budgets): Waiter | undefined {
  // Without this, each step would ask for every request in vain while the day's budget is reserved.
  if (queue.everyPrice((cost) => budgets.isDayUsedUp(cost).now)) return undefined;
  return queue.next((waiter) => {
    const { cost } = waiter;
    return cost == null || payersOf(waiter).every((payer) => budgets.room(payer, cost) === 'fits');
  });
}

/** Takes out the requesters whose budgets have no room, even if everything that is reserved costs nothing. */
function refuseRequests(state: SlotState, budgets: Budgets, nowMs: number, max: number): readonly Refusal[] {
  const refusals: Refusal[] = [];
  for (const { first, all } of state.checks.takeDue(state.queue, state, budgets, nowMs)) {
    const { cost } = first;
    if (cost == null || payersOf(first).every((payer) => typeof budgets.room(payer, cost) === 'string')) continue;
    for (const waiter of all()) {
      if (refusals.length >= max) return refusals;
      refuseRequest(state, waiter, budgets, refusals);
    }
  }
  return refusals;
}

function refuseRequest(state: SlotState, waiter: Waiter, budgets: Budgets, refusals: Refusal[]): void {
  const { key, afterPurchase, requesters, cost } = waiter;
  if (cost == null) return;
  let rest: Waiter = waiter;
  for (const requesterId of requesters) {
    const room = budgets.room(payerOf(waiter, requesterId), cost);
    if (typeof room === 'string') continue;
    refusals.push({ key, afterPurchase, requesterId, reached: room });
    rest = withoutRequester(rest, requesterId);
  }
  if (rest !== waiter) keepWaiting(state, waiter, rest.requesters.length === 0 ? rest : withOwnPayer(rest));
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
