import { type BudgetReached, type BudgetTerms, limitOf, MICRO, microsOf } from '../contract/budget.js';
import { batchOf, type DayRecord } from '../ledger/records.js';
import { amountText } from '../text/amount.js';
import { table } from '../text/table.js';

/** A limit and what the ledger says is spent of it; amounts in the report's currency. */
export interface BudgetSpent {
  readonly scope: BudgetReached['scope'];
  /** Tenant or batch; null for the day, and for what has no tenant. */
  readonly name: string | null;
  readonly limit: number;
  readonly spent: number;
  /** Never below 0: a limit that was lowered may be below what is spent. */
  readonly left: number;
}

/** The budgets beside what was spent; what is reserved for videos under way only `wan-video slots` knows. */
export interface CostBudgets {
  /** The report's last day (UTC), which the limits per day are told for. */
  readonly day: string;
  /** The day's, those of named tenants and batches, and those that something was spent of. */
  readonly limits: readonly BudgetSpent[];
}

/** Whose money it is, for people: `day`, `tenant film, per day`, `batch spring`. */
export function budgetName({ scope, name }: Pick<BudgetReached, 'scope' | 'name'>): string {
  if (scope === 'day') return 'day';
  if (scope === 'batch') return `batch ${name}`;
  return name === null ? 'no tenant, per day' : `tenant ${name}, per day`;
}

/** Adds up day records by budget. */
export class BudgetTally {
  readonly #terms: BudgetTerms;
  readonly #day: string;
  #spentToday = 0;
  /** By tenant (`""`: none), and by batch, in millionths of the currency. */
  readonly #tenants: Map<string, number>;
  readonly #batches: Map<string, number>;

  /** @param day - The day that limits per day are told for. */
  constructor(terms: BudgetTerms, day: string) {
    this.#terms = terms;
    this.#day = day;
    this.#tenants = named(terms.limits.tenants);
    this.#batches = named(terms.limits.batches);
  }

  /** Whether some batch has a limit, which holds for its whole life. */
  get hasBatches(): boolean {
    return Object.keys(this.#terms.limits.batches).length > 0;
  }

  /** Counts a record of the report's period. */
  add(record: DayRecord, day: string): void {
    const micros = this.#microsOf(record);
    const batch = batchOf(record.memo);
    if (batch !== null) addTo(this.#batches, batch, micros);
    if (day !== this.#day) return;
    this.#spentToday += micros;
    addTo(this.#tenants, record.tenant ?? '', micros);
  }

  /** Counts a record from before the period, where it is of a batch that is in it. */
  addEarlier(record: DayRecord): void {
    const batch = batchOf(record.memo);
    if (batch !== null && this.#batches.has(batch)) addTo(this.#batches, batch, this.#microsOf(record));
  }

  /** Every budget with its limit, in a fixed order. */
  result(): CostBudgets {
    const { day, tenants, batches } = this.#terms.limits;
    const entries = (spent: Map<string, number>) => [...spent].sort(([a], [b]) => (a < b ? -1 : 1));
    const one = (scope: BudgetReached['scope'], name: string | null, limit: number | null, spent: number) =>
      limit === null
        ? []
        : [{ scope, name, limit: limit / MICRO, spent: spent / MICRO, left: Math.max(0, limit - spent) / MICRO }];
    return {
      day: this.#day,
      limits: [
        ...one('day', null, day, this.#spentToday),
        ...entries(this.#tenants).flatMap(([name, spent]) =>
          one('tenant', name === '' ? null : name, limitOf(tenants, name), spent),
        ),
        ...entries(this.#batches).flatMap(([name, spent]) => one('batch', name, limitOf(batches, name), spent)),
      ],
    };
  }

  #microsOf({ billed_seconds: seconds, resolution, audio }: DayRecord): number {
    return microsOf(this.#terms, { seconds, resolution, audio });
  }
}

/** For people, below the costs. */
export function budgetsTable({ day, limits }: CostBudgets, currency: string): string {
  const rows = limits.map((one) => [
    budgetName(one),
    ...[one.limit, one.spent, one.left].map(amountText),
    ...(one.left === 0 ? ['reached'] : []),
  ]);
  return [
    table([`BUDGET (${currency})`, 'LIMIT', 'SPENT', 'LEFT'], rows),
    `${day}, UTC; batches over their life. What is reserved for videos under way: wan-video slots`,
  ].join('\n');
}

/** Names that stand in the file for themselves, with nothing spent. */
const named = (limits: Readonly<Record<string, number | null>>): Map<string, number> =>
  new Map(Object.keys(limits).flatMap((name) => (name.endsWith('*') ? [] : [[name, 0]])));

const addTo = (sums: Map<string, number>, name: string, micros: number): void =>
  void sums.set(name, (sums.get(name) ?? 0) + micros);
