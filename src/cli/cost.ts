import { mapParallel } from '../async/map-parallel.js';
import { amountOf, type Prices } from '../config/prices.js';
import {
  amountText,
  type BudgetReached,
  type BudgetTerms,
  estimatedText,
  limitOf,
  MICRO,
  microsOf,
} from '../contract/budget.js';
import type { Resolution } from '../contract/model.js';
import { DAY_MS, utcDay } from '../contract/utc.js';
import type { VideoError } from '../contract/video-error.js';
import type { Ledger } from '../ledger/ledger.js';
import { type BillFacts, batchOf } from '../ledger/records.js';
import { csvLine } from '../report/csv.js';
import { budgetName } from '../text/budget.js';
import { table } from '../text/table.js';

/** Videos of one tier, with or without sound. */
interface CostItem {
  readonly resolution: Resolution;
  readonly audio: boolean;
  readonly videos: number;
  readonly seconds: number;
  /** Those of `seconds` of which the provider did not say all that it bills; the request or the file decided. */
  readonly estimated_seconds: number;
  /** In the report's currency; null without a price list. */
  readonly amount: number | null;
}

/** One tenant, batch, label or day; `group` is null for what has none. */
interface CostRow {
  readonly group: string | null;
  readonly videos: number;
  readonly seconds: number;
  readonly estimated_seconds: number;
  readonly amount: number | null;
  readonly items: readonly CostItem[];
}

/** A limit and what the ledger says is spent of it; amounts in the report's currency. */
interface BudgetSpent {
  readonly scope: BudgetReached['scope'];
  /** Tenant or batch; null for the day, and for what has no tenant. */
  readonly name: string | null;
  readonly limit: number;
  readonly spent: number;
  /** Never below 0, also when a limit was lowered below what is spent. */
  readonly left: number;
}

/** The budgets and what is spent of them; only the slots know what is reserved for unfinished videos. */
interface CostBudgets {
  /** The report's last day (UTC), for which the daily limits are shown. */
  readonly day: string;
  /** The day's, those of named tenants and batches, and those that something was spent of. */
  readonly limits: readonly BudgetSpent[];
}

/** Published as the result of `cost --json`. */
export interface Cost {
  /** First and last day, UTC. */
  readonly since: string;
  readonly until: string;
  readonly by: 'tenant' | 'batch' | 'label' | 'day' | null;
  readonly currency: string | null;
  /** In the order of their groups. A video with several labels is counted in the row of each. */
  readonly rows: readonly CostRow[];
  /** Each video once. */
  readonly total: Omit<CostRow, 'group'>;
  /** Null without budgets. */
  readonly budgets: CostBudgets | null;
  /** Bills that cannot be read, each with its key; what was requested is counted for them. Absent: none. */
  readonly damaged?: readonly string[];
}

interface CostOptions {
  readonly by?: Cost['by'] | undefined;
  readonly prices?: Prices | undefined;
  readonly budgets?: BudgetTerms | undefined;
}

/** Days of a default report. */
const DAYS = 30;
/** Days that are listed together. */
const DAYS_AT_ONCE = 8;
/** Two listings each; a leap year. */
const DAYS_MAX = 366;

/**
 * The days from `first` (default: 30 days in all) to `last`, both included, in order.
 * @returns nothing when `first` is after `last` or more than a year before it.
 */
export function daysUntil(last: string, first?: string): string[] {
  const lastMs = Date.parse(`${last}T00:00:00Z`);
  const firstMs = first === undefined ? lastMs - (DAYS - 1) * DAY_MS : Date.parse(`${first}T00:00:00Z`);
  const count = (lastMs - firstMs) / DAY_MS + 1;
  if (!(count >= 1 && count <= DAYS_MAX)) return [];
  return Array.from({ length: count }, (_, index) => utcDay(firstMs + index * DAY_MS));
}

/**
 * Adds up the day records.
 * @param days - UTC days in order, at least one.
 * @throws VideoError as the ledger does. A damaged bill is named, and counts as what was requested.
 */
export async function costBetween(
  ledger: Pick<Ledger, 'listBills'>,
  days: readonly string[],
  { by, prices, budgets }: CostOptions,
): Promise<Cost> {
  const groups = new Map<string | null, SpendingTotals>();
  const total = new SpendingTotals();
  const last = days.at(-1) ?? '';
  const tally = budgets === undefined ? undefined : new BudgetTally(budgets, last);
  const damaged: VideoError[] = [];
  const added = mapParallel(days, DAYS_AT_ONCE, async (day) => {
    for await (const record of ledger.listBills(day, { damaged })) {
      total.add(record);
      tally?.add(record, day);
      for (const group of groupsOf(record, by ?? null, day)) {
        const totals = groups.get(group) ?? new SpendingTotals();
        totals.add(record);
        groups.set(group, totals);
      }
    }
  });
  for await (const _ of added);
  // A batch's budget applies to its whole life, which may have begun before the first day.
  const before = tally?.hasBatches ? daysUntil(last).filter((one) => one < (days[0] ?? '')) : [];
  const addedBefore = mapParallel(before, DAYS_AT_ONCE, async (day) => {
    for await (const record of ledger.listBills(day, { damaged })) tally?.addEarlier(record);
  });
  for await (const _ of addedBefore);
  const rows = [...groups]
    // Records without a group come last.
    .sort(([a], [b]) => (a === null ? 1 : b === null ? -1 : a < b ? -1 : 1))
    .map(([group, totals]) => ({ group, ...totals.row(prices) }));
  return {
    since: days[0] ?? '',
    until: last,
    by: by ?? null,
    currency: prices?.currency ?? null,
    rows: by == null ? [] : rows,
    total: total.row(prices),
    budgets: tally?.result() ?? null,
    ...(damaged.length > 0 && { damaged: damaged.map(({ message }) => message).sort() }),
  };
}

function groupsOf({ tenant, memo }: BillFacts, by: Cost['by'], day: string): readonly (string | null)[] {
  if (by === 'day') return [day];
  if (by === 'tenant') return [tenant];
  if (by === 'batch') return [batchOf(memo)];
  // The record keeps what the buyer's run wrote, which may have no labels.
  const { labels } = memo;
  const names = typeof labels === 'object' && labels !== null ? Object.entries(labels) : [];
  return names.length === 0 ? [null] : names.map(([name, value]) => `${name}=${String(value)}`);
}

/** Videos and seconds by tier and sound. */
class SpendingTotals {
  readonly #items = new Map<string, { -readonly [name in keyof Omit<CostItem, 'amount'>]: CostItem[name] }>();

  add({ resolution, audio, billed_seconds, estimated }: BillFacts): void {
    const kind = `${resolution} ${audio}`;
    const item = this.#items.get(kind) ?? { resolution, audio, videos: 0, seconds: 0, estimated_seconds: 0 };
    item.videos += 1;
    item.seconds += billed_seconds;
    if (estimated === true) item.estimated_seconds += billed_seconds;
    this.#items.set(kind, item);
  }

  row(prices: Prices | undefined): Omit<CostRow, 'group'> {
    const items = [...this.#items.values()]
      .sort((a, b) =>
        a.resolution === b.resolution ? Number(a.audio) - Number(b.audio) : a.resolution < b.resolution ? 1 : -1,
      )
      .map((item) => ({
        ...item,
        amount: prices === undefined ? null : amountOf(prices, item.seconds, item.resolution, item.audio),
      }));
    const total = (value: (item: CostItem) => number): number => items.reduce((all, item) => all + value(item), 0);
    return {
      videos: total(({ videos }) => videos),
      seconds: total(({ seconds }) => seconds),
      estimated_seconds: total(({ estimated_seconds }) => estimated_seconds),
      amount: prices === undefined ? null : Math.round(total(({ amount }) => amount ?? 0) * 1e6) / 1e6,
      items,
    };
  }
}

/** Adds up day records by budget. */
class BudgetTally {
  readonly #terms: BudgetTerms;
  readonly #day: string;
  #spentOfDay = 0;
  /** By tenant (`""`: none), and by batch, in millionths of the currency. */
  readonly #tenants: Map<string, number>;
  readonly #batches: Map<string, number>;

  /** @param day - The day for which the daily limits are shown. */
  constructor(terms: BudgetTerms, day: string) {
    this.#terms = terms;
    this.#day = day;
    this.#tenants = namesOf(terms.limits.tenants);
    this.#batches = namesOf(terms.limits.batches);
  }

  /** Whether a batch has a limit, which applies to its whole life. */
  get hasBatches(): boolean {
    return Object.keys(this.#terms.limits.batches).length > 0;
  }

  /** Counts a record of the report's period. */
  add(record: BillFacts, day: string): void {
    const micros = this.#microsOf(record);
    const batch = batchOf(record.memo);
    if (batch !== null) addTo(this.#batches, batch, micros);
    if (day !== this.#day) return;
    this.#spentOfDay += micros;
    addTo(this.#tenants, record.tenant ?? '', micros);
  }

  /** Counts a record from before the period if its batch is in the period. */
  addEarlier(record: BillFacts): void {
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
        ...one('day', null, day, this.#spentOfDay),
        ...entries(this.#tenants).flatMap(([name, spent]) =>
          one('tenant', name === '' ? null : name, limitOf(tenants, name), spent),
        ),
        ...entries(this.#batches).flatMap(([name, spent]) => one('batch', name, limitOf(batches, name), spent)),
      ],
    };
  }

  #microsOf({ billed_seconds: seconds, resolution, audio }: BillFacts): number {
    return microsOf(this.#terms, { seconds, resolution, audio });
  }
}

/** The names of a budget file that are no pattern, with nothing spent. */
const namesOf = (limits: Readonly<Record<string, number | null>>): Map<string, number> =>
  new Map(Object.keys(limits).flatMap((name) => (name.endsWith('*') ? [] : [[name, 0]])));

const addTo = (totals: Map<string, number>, name: string, micros: number): void =>
  void totals.set(name, (totals.get(name) ?? 0) + micros);

/** For people: a line for each group, tier and sound, and the total below. */
export function costTable(cost: Cost): string {
  const { by, currency, rows, total } = cost;
  const head = [...(by === null ? [] : [by.toUpperCase()]), 'TIER', 'SOUND', 'VIDEOS', 'SECONDS'];
  if (currency !== null) head.push(currency);
  const line = (group: string, tier: string, sound: string, of: Pick<CostItem, 'videos' | 'seconds' | 'amount'>) => [
    ...(by === null ? [] : [group]),
    ...[tier, sound, String(of.videos), String(of.seconds)],
    ...(of.amount === null ? [] : [amountText(of.amount)]),
  ];
  const listed = by === null ? [{ group: '', ...total }] : rows;
  const lines = listed.flatMap(({ group, items }) =>
    items.map((item) => line(group ?? '-', item.resolution, item.audio ? 'yes' : 'no', item)),
  );
  const period = `${cost.since} to ${cost.until}, UTC`;
  const spent =
    total.videos === 0
      ? [`Nothing was billed, ${period}.`]
      : [
          table(head, [...lines, line('total', by === null ? 'total' : '', '', total)]),
          ...(total.estimated_seconds === 0 ? [] : [`estimated ${estimatedText(total.estimated_seconds)}`]),
          period,
        ];
  const { budgets } = cost;
  return [...spent, ...(budgets === null ? [] : ['', budgetsTable(budgets, currency ?? '')])].join('\n');
}

function budgetsTable({ day, limits }: CostBudgets, currency: string): string {
  const rows = limits.map((one) => [
    budgetName(one),
    ...[one.limit, one.spent, one.left].map(amountText),
    ...(one.left === 0 ? ['reached'] : []),
  ]);
  return [
    table([`BUDGET (${currency})`, 'LIMIT', 'SPENT', 'LEFT'], rows),
    `${day}, UTC; batches over their whole life. "wan-video slots" shows what is reserved for unfinished videos.`,
  ].join('\n');
}

/** For spreadsheets (RFC 4180): a line for each group, tier and sound; no total. */
export function costCsv({ by, currency, rows, total }: Cost): string {
  const listed = by === null ? [{ group: null, ...total }] : rows;
  const lines = listed.flatMap(({ group, items }) =>
    items.map(({ resolution, audio, videos, seconds, amount, estimated_seconds }) => [
      group ?? '',
      resolution,
      audio ? 'sound' : 'silent',
      videos,
      seconds,
      amount ?? '',
      currency ?? '',
      estimated_seconds,
    ]),
  );
  const head = [by ?? 'group', 'resolution', 'audio', 'videos', 'seconds', 'amount', 'currency', 'estimated_seconds'];
  return [head, ...lines].map(csvLine).join('\r\n');
}
