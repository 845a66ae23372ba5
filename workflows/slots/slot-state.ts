import type { Billable, BudgetTerms, Payer } from '../../src/contract/budget.js';
import type { OpenSlot, QueueIdentity, SlotName } from '../../src/contract/slots.js';
import { Budgets, ownValue, type Spending } from './budgets.js';

/** A slot, held or requested, and the runs that requested it. */
export interface SlotEntry extends SlotName, QueueIdentity {
  /** Workflow ids. Runs of one purchase key share one slot, because one of them buys and the others follow it. */
  readonly requesters: readonly string[];
  /** Milliseconds since the epoch since when it is held, or waits. */
  readonly sinceMs: number;
  /** The most that it can cost; absent when no requester has said so, null once the ledger counts it as spent. */
  readonly cost?: Billable | null;
  /** By workflow id, the payers of those requesters that are not of the entry's own tenant and batch. */
  readonly payers?: Readonly<Record<string, Payer>>;
}

/** A request that waits. */
export interface Waiter extends SlotEntry {
  /** Its place in the order of requests. */
  readonly seq: number;
}

/** How many turns each group of a rotation has had. */
export type TurnCounts = Readonly<Record<string, number>>;

/** Everything that `accountSlots` has to remember. It is plain JSON, because it goes through continue-as-new. */
export interface SlotState {
  readonly limit: number;
  readonly holders: readonly SlotEntry[];
  /** In the order of requests. */
  readonly waiters: readonly Waiter[];
  /** By rotation; only of groups that wait. */
  readonly turnCounts: Readonly<Record<string, TurnCounts>>;
  readonly nextSeq: number;
  /** Null: there are no budgets. */
  readonly budget: BudgetTerms | null;
  /** Null until the ledger has been read. */
  readonly spending: Spending | null;
  /** Purchases whose slot is free and whose money is still reserved, because their bill is not known yet. */
  readonly unsettled: readonly SlotEntry[];
}

/** The state of slots of which none is held or requested. */
export const emptySlotState = (limit: number, budget: BudgetTerms | null = null): SlotState => ({
  limit,
  holders: [],
  waiters: [],
  turnCounts: {},
  nextSeq: 1,
  budget,
  spending: null,
  unsettled: [],
});

/** All entries that have a slot, or money reserved. */
export const heldEntries = ({ holders, unsettled }: SlotState): readonly SlotEntry[] => [...holders, ...unsettled];

/** All payers that the purchase of an entry may have. */
export const payersOf = ({ tenant, batch, payers = {} }: SlotEntry): readonly Payer[] => [
  { tenant, batch },
  ...Object.values(payers),
];

/** The payer of one requester of an entry. */
export const payerOf = ({ tenant, batch, payers = {} }: SlotEntry, requesterId: string): Payer =>
  ownValue(payers, requesterId) ?? { tenant, batch };

/** All payers of a state, those of requests that wait included. */
export const payersIn = (state: SlotState): readonly Payer[] =>
  [...heldEntries(state), ...state.waiters].flatMap(payersOf);

/** The budgets of a state at one moment; undefined when there are none. */
export function budgetsOf(state: SlotState, nowMs: number): Budgets | undefined {
  if (state.budget === null) return undefined;
  const reservations = heldEntries(state).flatMap((entry) =>
    entry.cost == null ? [] : [{ cost: entry.cost, payers: payersOf(entry) }],
  );
  return new Budgets(state.budget, state.spending, reservations, nowMs);
}

/** Takes one requester out of an entry. */
export function withoutRequester<Entry extends SlotEntry>(entry: Entry, requesterId: string): Entry {
  const { payers = {}, ...rest } = entry;
  const remaining = Object.entries(payers).filter(([id]) => id !== requesterId);
  return {
    ...(rest as Entry),
    requesters: entry.requesters.filter((id) => id !== requesterId),
    ...(remaining.length > 0 && { payers: Object.fromEntries(remaining) }),
  };
}

/** An entry that is held from now on. */
export function heldSince(entry: Omit<SlotEntry, 'sinceMs'>, nowMs: number): SlotEntry {
  const { key, afterPurchase, requesters, tenant, batch, priority, cost, payers } = entry;
  return {
    key,
    afterPurchase,
    requesters,
    tenant,
    batch,
    priority,
    sinceMs: nowMs,
    ...(cost !== undefined && { cost }),
    ...(payers !== undefined && { payers }),
  };
}

/** An open purchase of the ledger as an entry of the run that bought it. */
export const entryOfPurchase = ({ key, n, workflowId, tenant, batch, cost }: OpenSlot, nowMs: number): SlotEntry => ({
  key,
  afterPurchase: n - 1,
  requesters: [workflowId],
  tenant,
  batch,
  priority: batch === null ? 'interactive' : 'batch',
  sinceMs: nowMs,
  cost,
});
