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
} from '../../src/contract/budget.js';
import { utcDay } from '../../src/contract/utc.js';

/** What was billed, from the ledger's day records and from what was settled since they were read; plain JSON. */
export interface Spending {
  /** By UTC day and tenant (`""`: none). A day that is not here began after the ledger was read. */
  readonly days: Readonly<Record<string, Readonly<Record<string, SecondsByKind>>>>;
  /** By batch, over its life; only of batches that were asked about. */
  readonly batches: Readonly<Record<string, SecondsByKind>>;
}

/** What stands reserved: the most that a purchase under way can cost, and whose money it may be. */
export interface Reservation {
  readonly cost: Billable;
  readonly payers: readonly Payer[];
}

/**
 * Whether a budget has room: `fits`; `waits`, when it would with what is reserved now settled lower; `unknown`, when the ledger has to
 * be read first; or the budget that is reached.
 */
export type Room = 'fits' | 'waits' | 'unknown' | BudgetReached;

type Scope = BudgetReached['scope'];

/** Days whose spending is kept: today, and the one before or after it where clocks differ. */
const DAYS_KEPT = 2;

/** Adds what was billed; of batches only to those that are known. */
export function addBill(spending: Spending, paid: Bill): Spending {
  const { day, tenant, batch } = paid;
  const days = { ...spending.days, [day]: addTo(own(spending.days, day) ?? {}, tenant ?? '', paid) };
  const kept = Object.entries(days)
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .slice(0, DAYS_KEPT);
  const isKnown = batch !== null && own(spending.batches, batch) !== undefined;
  return {
    days: Object.fromEntries(kept),
    batches: isKnown ? addTo(spending.batches, batch, paid) : spending.batches,
  };
}

/** Adds to the seconds of one name. */
export function addTo(
  seconds: Readonly<Record<string, SecondsByKind>>,
  name: string,
  billed: Billable,
): Readonly<Record<string, SecondsByKind>> {
  const before = own(seconds, name) ?? {};
  const kind = kindOf(billed);
  return { ...seconds, [name]: { ...before, [kind]: (own(before, kind) ?? 0) + billed.seconds } };
}

/** Batches that have a limit and whose spending is not known. */
export function unknownBatches(terms: BudgetTerms, spending: Spending | null, payers: Iterable<Payer>): string[] {
  const unknown = new Set<string>();
  for (const { batch } of payers) {
    if (batch === null || limitOf(terms.limits.batches, batch) === null) continue;
    if (spending === null || own(spending.batches, batch) === undefined) unknown.add(batch);
  }
  return [...unknown];
}

/**
 * What is spent and reserved at one moment. A reservation counts on whatever day it is until it is settled: its task may end today,
 * whenever it was begun.
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
    const names = new Set(payers.flatMap((payer) => this.#limitsOf(payer).map(({ scope, name }) => idOf(scope, name))));
    for (const id of names) this.#reserved.set(id, (this.#reserved.get(id) ?? 0) + micros);
  }

  /** Whether there is room for a purchase of one payer. */
  room(payer: Payer, cost: Billable): Room {
    const price = microsOf(this.#terms, cost);
    let room: Room = 'fits';
    for (const { scope, name, limit } of this.#limitsOf(payer)) {
      const already = this.#spentIn(scope, name);
      if (already === undefined) room = 'unknown';
      else if (already + price > limit) return this.#reached(scope, name, limit, already, price);
      else if (room === 'fits' && already + price + this.#reservedIn(scope, name) > limit) room = 'waits';
    }
    return room;
  }

  /** The budget that has room only once what is reserved has settled lower; undefined when none stands in the way for now. */
  blockingBudget(payer: Payer, cost: Billable): Scope | undefined {
    const price = microsOf(this.#terms, cost);
    return this.#limitsOf(payer).find(({ scope, name, limit }) => {
      const already = this.#spentIn(scope, name);
      return already !== undefined && already + price + this.#reservedIn(scope, name) > limit;
    })?.scope;
  }

  /** The day's budget, and those of the tenants and batches that are given. */
  views(payers: Iterable<Payer>): BudgetView[] {
    const views = new Map<string, BudgetView>();
    const all = [{ tenant: null, batch: null }, ...payers].flatMap((payer) => this.#limitsOf(payer));
    for (const { scope, name, limit } of all) {
      const already = this.#spentIn(scope, name);
      views.set(idOf(scope, name), {
        ...{ scope, name, limit: limit / MICRO, spent: already === undefined ? null : already / MICRO },
        reserved: this.#reservedIn(scope, name) / MICRO,
      });
    }
    return [...views.values()];
  }

  #reached(scope: Scope, name: string | null, limit: number, already: number, price: number): BudgetReached {
    const { currency } = this.#terms;
    return { scope, name, currency, limit: limit / MICRO, spent: already / MICRO, price: price / MICRO };
  }

  #reservedIn(scope: Scope, name: string | null): number {
    return this.#reserved.get(idOf(scope, name)) ?? 0;
  }

  /** Millionths of the currency; undefined while the ledger is not read. */
  #spentIn(scope: Scope, name: string | null): number | undefined {
    const id = idOf(scope, name);
    if (!this.#spent.has(id)) this.#spent.set(id, this.#sumIn(scope, name));
    return this.#spent.get(id);
  }

  #sumIn(scope: Scope, name: string | null): number | undefined {
    if (this.#spending === null) return undefined;
    const { days, batches } = this.#spending;
    if (scope === 'batch') {
      const seconds = own(batches, name ?? '');
      return seconds === undefined ? undefined : this.#sum([seconds]);
    }
    const tenants = own(days, this.#day) ?? {};
    return this.#sum(scope === 'day' ? Object.values(tenants) : [own(tenants, name ?? '') ?? {}]);
  }

  #sum(all: readonly SecondsByKind[]): number {
    let micros = 0;
    for (const seconds of all)
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

const idOf = (scope: Scope, name: string | null): string => JSON.stringify([scope, name]);

/** A name may be any text, also one that every object has. */
const own = <Value>(record: Readonly<Record<string, Value>>, name: string): Value | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;
