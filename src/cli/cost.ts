import { amountOf, type Prices } from '../config/prices.js';
import type { BudgetTerms } from '../contract/budget.js';
import type { Resolution } from '../contract/model.js';
import type { Ledger } from '../ledger/ledger.js';
import { batchOf, type DayRecord } from '../ledger/records.js';
import { amountText } from '../text/amount.js';
import { csvLine } from '../text/csv.js';
import { table } from '../text/table.js';
import { BudgetTally, budgetsTable, type CostBudgets } from './cost-budgets.js';
import { daysUntil } from './days.js';

/** Videos of one tier, with or without sound. */
export interface CostItem {
  readonly resolution: Resolution;
  readonly audio: boolean;
  readonly videos: number;
  readonly seconds: number;
  /** In the report's currency; null without a price list. */
  readonly amount: number | null;
}

/** One tenant, batch, label or day; `group` is null for what has none. */
export interface CostRow {
  readonly group: string | null;
  readonly videos: number;
  readonly seconds: number;
  readonly amount: number | null;
  readonly items: readonly CostItem[];
}

/** Published as the result of `cost --json`. */
export interface Cost {
  /** First and last day, UTC. */
  readonly since: string;
  readonly until: string;
  readonly by: 'tenant' | 'batch' | 'label' | 'day' | null;
  readonly currency: string | null;
  /** In the order of their groups. A video with several labels stands in each of their rows. */
  readonly rows: readonly CostRow[];
  /** Each video once. */
  readonly total: Omit<CostRow, 'group'>;
  /** Null without budgets. */
  readonly budgets: CostBudgets | null;
}

/** How costs are told. */
export interface CostOptions {
  readonly by?: Cost['by'] | undefined;
  readonly prices?: Prices | undefined;
  readonly budgets?: BudgetTerms | undefined;
}

/**
 * Adds up the day records.
 * @param days - UTC days in order, at least one.
 * @throws VideoError as the ledger does; a damaged record is named instead of left out.
 */
export async function costBetween(
  ledger: Pick<Ledger, 'days'>,
  days: readonly string[],
  { by, prices, budgets }: CostOptions,
): Promise<Cost> {
  const groups = new Map<string | null, Sum>();
  const total = new Sum();
  const last = days.at(-1) ?? '';
  const tally = budgets === undefined ? undefined : new BudgetTally(budgets, last);
  for (const day of days) {
    for await (const record of ledger.days(day)) {
      total.add(record);
      tally?.add(record, day);
      for (const group of groupsOf(record, by ?? null, day)) {
        const sum = groups.get(group) ?? new Sum();
        sum.add(record);
        groups.set(group, sum);
      }
    }
  }
  // A batch's budget holds for its whole life, which may have begun before the first day.
  for (const day of tally?.hasBatches ? daysUntil(last).filter((one) => one < (days[0] ?? '')) : []) {
    for await (const record of ledger.days(day)) tally?.addEarlier(record);
  }
  const rows = [...groups]
    // Those without a group last.
    .sort(([a], [b]) => (a === null ? 1 : b === null ? -1 : a < b ? -1 : 1))
    .map(([group, sum]) => ({ group, ...sum.row(prices) }));
  return {
    since: days[0] ?? '',
    until: last,
    by: by ?? null,
    currency: prices?.currency ?? null,
    rows: by == null ? [] : rows,
    total: total.row(prices),
    budgets: tally?.result() ?? null,
  };
}

function groupsOf({ tenant, memo }: DayRecord, by: Cost['by'], day: string): readonly (string | null)[] {
  if (by === 'day') return [day];
  if (by === 'tenant') return [tenant];
  if (by === 'batch') return [batchOf(memo)];
  // The memo is what the buyer's run kept; whatever else stands there has no label.
  const { labels } = memo;
  const names = typeof labels === 'object' && labels !== null ? Object.entries(labels) : [];
  return names.length === 0 ? [null] : names.map(([name, value]) => `${name}=${String(value)}`);
}

/** Seconds and videos by tier and sound. */
class Sum {
  readonly #items = new Map<string, { resolution: Resolution; audio: boolean; videos: number; seconds: number }>();

  add({ resolution, audio, billed_seconds }: DayRecord): void {
    const kind = `${resolution} ${audio}`;
    const item = this.#items.get(kind) ?? { resolution, audio, videos: 0, seconds: 0 };
    item.videos += 1;
    item.seconds += billed_seconds;
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
    const sum = (value: (item: CostItem) => number): number => items.reduce((all, item) => all + value(item), 0);
    return {
      videos: sum(({ videos }) => videos),
      seconds: sum(({ seconds }) => seconds),
      amount: prices === undefined ? null : Math.round(sum(({ amount }) => amount ?? 0) * 1e6) / 1e6,
      items,
    };
  }
}

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
      : [table(head, [...lines, line('total', by === null ? 'total' : '', '', total)]), period];
  const { budgets } = cost;
  return [...spent, ...(budgets === null ? [] : ['', budgetsTable(budgets, currency ?? '')])].join('\n');
}

/** For spreadsheets (RFC 4180): a line for each group, tier and sound; no total. */
export function costCsv({ by, currency, rows, total }: Cost): string {
  const listed = by === null ? [{ group: null, ...total }] : rows;
  const lines = listed.flatMap(({ group, items }) =>
    items.map(({ resolution, audio, videos, seconds, amount }) => [
      group ?? '',
      resolution,
      audio ? 'sound' : 'silent',
      videos,
      seconds,
      amount ?? '',
      currency ?? '',
    ]),
  );
  const head = [by ?? 'group', 'resolution', 'audio', 'videos', 'seconds', 'amount', 'currency'];
  return [head, ...lines].map(csvLine).join('\r\n');
}
