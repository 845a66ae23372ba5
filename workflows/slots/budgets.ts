import {
  type Bill,
  type Billable,
  type BudgetReached,
  type BudgetTerms,
  type BudgetView,
  billableOf,
  kindOf,
  limitOf,
  MICRO,
  microsOf,
  type Payer,
  type SecondsByKind,
  type SecondsByName,
} from '../../src/contract/budget.js';
import { utcDay } from '../../src/contract/utc.js';

/** What was billed, by the ledger's day records and by what was settled since they were read. It is plain JSON. */
export interface Spending {
  /** By UTC day, then by tenant (`""`: none). A day that is absent began after the ledger was read. */
  readonly days: Readonly<Record<string, SecondsByName>>;
  /** By batch, over its whole life; only of batches whose bills were read. */
  readonly batches: SecondsByName;
}

/** Money that is reserved: the most that a purchase under way can cost, and the payers that it may have. */
interface Reservation {
  readonly cost: Billable;
  readonly payers: readonly Payer[];
}

/**
 * Whether a budget has room: `fits`; `waits` if it has room only once reserved money is settled lower; `unknown` until
 * the ledger has been read; or the budget that is reached.
 */
export type Room = 'fits' | 'waits' | 'unknown' | BudgetReached;

type Scope = BudgetReached['scope'];

/** Days whose spending is kept: today, and the one before or after it because clocks differ. */
const DAYS_KEPT = 2;

/** Adds a bill; to its batch only if the spending of that batch is known. */
export function addBill(spending: Spending, bill: Bill): Spending {
  const { day, tenant, batch } = bill;
  const days = { ...spending.days, [day]: addSeconds(ownValue(spending.days, day) ?? {}, tenant ?? '', bill) };
  const kept = Object.entries(days)
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .slice(0, DAYS_KEPT);
  const isKnown = batch !== null && ownValue(spending.batches, batch) !== undefined;
  return {
    days: Object.fromEntries(kept),
    batches: isKnown ? addSeconds(spending.batches, batch, bill) : spending.batches,
  };
}

function addSeconds(seconds: SecondsByName, name: string, billed: Billable): SecondsByName {
  const before = ownValue(seconds, name) ?? {};
  const kind = kindOf(billed);
  return { ...seconds, [name]: { ...before, [kind]: (ownValue(before, kind) ?? 0) + billed.seconds } };
}

/** Lists the batches that have a limit and whose spending is not known. */
export function unknownBatches(terms: BudgetTerms, spending: Spending | null, payers: Iterable<Payer>): string[] {
  const unknown = limitedBatches(terms, payers);
  return unknown.filter((batch) => spending === null || ownValue(spending.batches, batch) === undefined);
}

/** Lists the batches of some payers that have a limit. */
export function limitedBatches({ limits }: BudgetTerms, payers: Iterable<Payer>): string[] {
  const batches = new Set<string>();
  for (const { batch } of payers) if (batch !== null) batches.add(batch);
  return [...batches].filter((batch) => limitOf(limits.batches, batch) !== null);
}

/**
 * What is spent and reserved at one moment. Until it is settled, a reservation counts on every day: its task may end
 * today, no matter when it began.
 */
export class Budgets {
  readonly #terms: BudgetTerms;
  readonly #spending: Spending | null;
  readonly #day: string;
  readonly #reserved = new Map<string, number>();
  readonly #spent = new Map<string, number | undefined>();

  constructor(terms: BudgetTerms, spending: Spending | null, reservations: Iterable<Reservation>, nowMs: number) {
    this.#terms = terms;
    this.#spending = spending;
    this.#day = utcDay(nowMs);
    for (const reservation of reservations) this.reserve(reservation);
  }

  /** Counts a reservation once in each budget that may have to pay it. */
  reserve({ cost, payers }: Reservation): void {
    const micros = microsOf(this.#terms, cost);
    const ids = new Set(payers.flatMap((payer) => this.#limitsOf(payer).map(({ scope, name }) => idOf(scope, name))));
    for (const id of ids) this.#reserved.set(id, (this.#reserved.get(id) ?? 0) + micros);
  }

  /** Whether there is room for a purchase of one payer. */
  room(payer: Payer, cost: Billable): Room {
    const price = microsOf(this.#terms, cost);
    let room: Room = 'fits';
    for (const { scope, name, limit } of this.#limitsOf(payer)) {
      const spent = this.#spentIn(scope, name);
      if (spent === undefined) room = 'unknown';
      else if (spent + price > limit) return this.#reached(scope, name, limit, spent, price);
      else if (room === 'fits' && spent + price + this.#reservedIn(scope, name) > limit) room = 'waits';
    }
    return room;
  }

  /** Whether the budget of the day has room for nothing that costs as much, now or ever. */
  isDayUsedUp(cost: Billable): { readonly now: boolean; readonly forGood: boolean } {
    const { day } = this.#terms.limits;
    const spent = this.#spentIn('day', null);
    if (day === null || spent === undefined) return { now: false, forGood: false };
    const needed = spent + microsOf(this.#terms, cost);
    return { now: needed + this.#reservedIn('day', null) > day, forGood: needed > day };
  }

  /**
   * Names the first budget that has room only once reserved money is settled lower; undefined when all have room now.
   */
  blockingBudget(payer: Payer, cost: Billable): Scope | undefined {
    const price = microsOf(this.#terms, cost);
    return this.#limitsOf(payer).find(({ scope, name, limit }) => {
      const spent = this.#spentIn(scope, name);
      return spent !== undefined && spent + price + this.#reservedIn(scope, name) > limit;
    })?.scope;
  }

  /** Shows the day's budget, and those of the given tenants and batches, up to a number of them. */
  views(payers: Iterable<Payer>, max: number): BudgetView[] {
    const views = new Map<string, BudgetView>();
    const add = (payer: Payer): void => {
      for (const { scope, name, limit } of this.#limitsOf(payer)) {
        const spent = this.#spentIn(scope, name);
        views.set(idOf(scope, name), {
          scope,
          name,
          limit: limit / MICRO,
          spent: spent === undefined ? null : spent / MICRO,
          reserved: this.#reservedIn(scope, name) / MICRO,
        });
      }
    };
    add({ tenant: null, batch: null });
    for (const payer of payers) {
      if (views.size >= max) break;
      add(payer);
    }
    return [...views.values()].slice(0, max);
  }

  #reached(scope: Scope, name: string | null, limit: number, spent: number, price: number): BudgetReached {
    const { currency } = this.#terms;
    return { scope, name, currency, limit: limit / MICRO, spent: spent / MICRO, price: price / MICRO };
  }

  #reservedIn(scope: Scope, name: string | null): number {
    return this.#reserved.get(idOf(scope, name)) ?? 0;
  }

  /** Millionths of the currency; undefined until the ledger has been read. */
  #spentIn(scope: Scope, name: string | null): number | undefined {
    const id = idOf(scope, name);
    if (!this.#spent.has(id)) this.#spent.set(id, this.#totalIn(scope, name));
    return this.#spent.get(id);
  }

  #totalIn(scope: Scope, name: string | null): number | undefined {
    if (this.#spending === null) return undefined;
    const { days, batches } = this.#spending;
    if (scope === 'batch') {
      const seconds = ownValue(batches, name ?? '');
      return seconds === undefined ? undefined : this.#price(seconds);
    }
    const tenants = ownValue(days, this.#day) ?? {};
    return scope === 'day' ? this.#totalOf(tenants) : this.#price(ownValue(tenants, name ?? '') ?? {});
  }

  /** The sum of all tenants: it is needed at every grant, and changes with every bill only. */
  #totalOf(tenants: SecondsByName): number {
    const known = totals.get(tenants);
    if (known?.terms === this.#terms) return known.micros;
    const micros = Object.values(tenants).reduce((sum, seconds) => sum + this.#price(seconds), 0);
    totals.set(tenants, { terms: this.#terms, micros });
    return micros;
  }

  #price(seconds: SecondsByKind): number {
    let micros = 0;
    for (const [kind, billed] of Object.entries(seconds)) micros += microsOf(this.#terms, billableOf(kind, billed));
    return micros;
  }

  #limitsOf({ tenant, batch }: Payer): { scope: Scope; name: string | null; limit: number }[] {
    const { day, tenants, batches } = this.#terms.limits;
    const all = [
      { scope: 'day' as const, name: null, limit: day },
      { scope: 'tenant' as const, name: tenant, limit: limitOf(tenants, tenant ?? '') },
      { scope: 'batch' as const, name: batch, limit: batch === null ? null : limitOf(batches, batch) },
    ];
    return all.flatMap(({ scope, name, limit }) => (limit === null ? [] : [{ scope, name, limit }]));
  }
}

/** Totals of a day's spending, by what they are the total of. */
const totals = new WeakMap<SecondsByName, { readonly terms: BudgetTerms; readonly micros: number }>();

const idOf = (scope: Scope, name: string | null): string => JSON.stringify([scope, name]);

/** Reads a record by a name that may be any text, also one that every object has. */
export const ownValue = <Value>(record: Readonly<Record<string, Value>>, name: string): Value | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;
