import {
  type Billable,
  type BudgetTerms,
  type BudgetView,
  limitOf,
  MICRO,
  microsOf,
  type Payer,
} from '../contract/budget.js';

/** Money that was billed, and by whom it is paid. */
export type Spent = Billable & Payer;

/** What is left in the budgets of an account, line by line of a manifest, as the slots would grant it. */
export class BudgetRoom {
  readonly #terms: BudgetTerms;
  /** Limits and use of each budget that the slots have shown, by its id. */
  readonly #shown: ReadonlyMap<string, BudgetView>;
  /** Millionths of the currency, by the id of a budget. */
  readonly #used = new Map<string, number>();

  /** @param shown - Budgets as the slots show them, with what purchases under way have reserved. */
  constructor(terms: BudgetTerms, shown: readonly BudgetView[] = []) {
    this.#terms = terms;
    this.#shown = new Map(shown.map((view) => [idOf(view.scope, view.name), view]));
    for (const [id, { spent, reserved }] of this.#shown)
      this.#used.set(id, Math.round(((spent ?? 0) + reserved) * MICRO));
  }

  /** Adds what was billed to the budgets whose use the slots do not show. */
  addSpent(spent: Spent): void {
    for (const { id } of this.#budgetsOf(spent)) {
      if (this.#shown.get(id)?.spent == null) this.#add(id, spent);
    }
  }

  /** Takes the most that a purchase can cost out of each of its budgets; false, and nothing, when one has no room. */
  take(payer: Payer, cost: Billable): boolean {
    const price = microsOf(this.#terms, cost);
    const budgets = this.#budgetsOf(payer);
    if (budgets.some(({ id, limit }) => (this.#used.get(id) ?? 0) + price > limit)) return false;
    for (const { id } of budgets) this.#add(id, cost);
    return true;
  }

  #add(id: string, cost: Billable): void {
    this.#used.set(id, (this.#used.get(id) ?? 0) + microsOf(this.#terms, cost));
  }

  #budgetsOf({ tenant, batch }: Payer): { readonly id: string; readonly limit: number }[] {
    const { day, tenants, batches } = this.#terms.limits;
    const all = [
      { id: idOf('day', null), limit: day },
      { id: idOf('tenant', tenant), limit: limitOf(tenants, tenant ?? '') },
      { id: idOf('batch', batch), limit: batch === null ? null : limitOf(batches, batch) },
    ];
    return all.flatMap(({ id, limit: configured }) => {
      const shown = this.#shown.get(id);
      const limit = shown === undefined ? configured : Math.round(shown.limit * MICRO);
      return limit === null ? [] : [{ id, limit }];
    });
  }
}

const idOf = (scope: BudgetView['scope'], name: string | null): string => JSON.stringify([scope, name]);
