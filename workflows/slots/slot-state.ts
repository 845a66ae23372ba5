import type { BudgetTerms, Payer } from '../../src/contract/budget.js';
import { BudgetChecks } from './budget-checks.js';
import { Budgets, type Spending } from './budgets.js';
import { payersOf, type SlotEntry } from './slot-entry.js';
import { WaitingQueue } from './waiting-queue.js';

/**
 * Everything that `accountSlots` has to remember. What is held or reserved is little, and each step replaces it; the
 * queue can be long, and each step changes it.
 */
export interface SlotState {
  readonly limit: number;
  readonly holders: readonly SlotEntry[];
  readonly queue: WaitingQueue;
  /** Which requests of the queue have to be compared with the budgets again. */
  readonly checks: BudgetChecks;
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
  queue: new WaitingQueue(),
  checks: new BudgetChecks(),
  budget,
  spending: null,
  unsettled: [],
});

/** All entries that have a slot, or money reserved. */
export const heldEntries = ({ holders, unsettled }: SlotState): readonly SlotEntry[] => [...holders, ...unsettled];

/** All payers of a state, those of requests that wait included; each at least once. */
export function* payersIn(state: SlotState): Iterable<Payer> {
  for (const entry of heldEntries(state)) yield* payersOf(entry);
  for (const { first } of state.queue.alike()) yield* payersOf(first);
}

/** The budgets of a state at one moment; undefined when there are none. */
export function budgetsOf(state: SlotState, nowMs: number): Budgets | undefined {
  if (state.budget === null) return undefined;
  const reservations = heldEntries(state).flatMap((entry) =>
    entry.cost == null ? [] : [{ cost: entry.cost, payers: payersOf(entry) }],
  );
  return new Budgets(state.budget, state.spending, reservations, nowMs);
}
