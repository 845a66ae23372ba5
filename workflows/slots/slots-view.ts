import { bytesOf } from '../../src/contract/bounds.js';
import type { BudgetView } from '../../src/contract/budget.js';
import { markdownCode, markdownText } from '../../src/contract/markdown.js';
import type { AccountSlotsView, SlotPlace, SlotsPage, SlotView } from '../../src/contract/slots.js';
import { utcDay } from '../../src/contract/utc.js';
import type { SlotEntry } from './slot-entry.js';
import { budgetsOf, payersIn, type SlotState } from './slot-state.js';

/** Rows of each kind that the Web UI shows; the query `slots` has more of them. */
const ROWS_MAX = 20;
/** Requests on a page of the query `slots`, unless it says how many. */
const PAGE_ROWS = 100;
const PAGE_ROWS_MAX = 1_000;
/** Bytes of each list of the query `slots`: all three stay below Temporal's 2 MB for an answer. */
const LIST_BYTES_MAX = 500_000;
/** Runs of one request that are shown; the others only count. */
const RUNS_SHOWN_MAX = 20;
const BUDGETS_SHOWN_MAX = 1_000;
/** Payers of requests whose budgets are shown. */
const PAYERS_SHOWN_MAX = 1_000;

/** Requests that wait before another one. */
interface Ahead {
  readonly interactive: number;
  readonly batch: number;
}

/** @param interactive - How many of them are interactive. */
export const aheadOf = (all: number, interactive = all): Ahead => ({ interactive, batch: all - interactive });

/** The answer of the query `slots`: counts, and a page of what they count. */
export function toSlotsView(state: SlotState, page: SlotsPage, nowMs: number): AccountSlotsView {
  const { limit, holders, queue, budget } = state;
  const offset = page.offset ?? 0;
  const count = Math.min(page.count ?? PAGE_ROWS, PAGE_ROWS_MAX);
  const view = {
    limit,
    holders_count: holders.length,
    holders: fittingRows(holders.slice(0, PAGE_ROWS_MAX).map(toSlotView)),
    waiting_count: queue.size,
    waiting_offset: offset,
    waiting: fittingRows(
      queue
        .first(offset + count)
        .slice(offset)
        .map(toSlotView),
    ),
  };
  if (budget === null) return view;
  return { ...view, currency: budget.currency, budgets: fittingRows(budgetViews(state, BUDGETS_SHOWN_MAX, nowMs)) };
}

/** The first rows of a list whose bytes fit into an answer. */
function fittingRows<Row>(rows: readonly Row[]): Row[] {
  let bytes = 0;
  const end = rows.findIndex((row) => {
    bytes += bytesOf(JSON.stringify(row));
    return bytes > LIST_BYTES_MAX;
  });
  return end < 0 ? [...rows] : rows.slice(0, end);
}

/** One entry of the query `slots`. */
export const toSlotView = ({ key, requesters, sinceMs, tenant, batch, priority }: SlotEntry): SlotView => ({
  purchase_key: key,
  runs: requesters.slice(0, RUNS_SHOWN_MAX),
  runs_count: requesters.length,
  tenant,
  batch,
  priority,
  since_ms: sinceMs,
});

/** The place that a requester is sent. */
export function toPlace(
  { holders, limit }: SlotState,
  { interactive, batch }: Ahead,
  nowMs: number,
  budget?: SlotPlace['budget'],
): SlotPlace {
  return {
    position: interactive + batch + 1,
    ahead_interactive: interactive,
    ahead_batch: batch,
    running: holders.length,
    limit,
    as_of_ms: nowMs,
    ...(budget !== undefined && { budget }),
  };
}

/**
 * The workflow's details in the Web UI, as Markdown: which runs hold a slot and which wait, and the budgets.
 * @param ignoredSignals - How many malformed signals were ignored.
 * @param linkTo - Makes the link to a run.
 */
export function toDetails(state: SlotState, ignoredSignals: number, nowMs: number, linkTo = markdownCode): string {
  const { holders, limit, queue } = state;
  const rows = [
    ...holders.slice(0, ROWS_MAX).map((entry) => row('holds', entry, linkTo)),
    ...queue.first(ROWS_MAX).map((entry, at) => row(`waits, ${at + 1}`, entry, linkTo)),
  ];
  const head = ['| slot | run | tenant | batch | since (UTC) |', '| --- | --- | --- | --- | --- |'];
  return [
    `**${holders.length} of ${limit} slots are held, ${queue.size} wait**`,
    ...(rows.length === 0 ? [''] : ['', ...head, ...rows]),
    ...(state.budget === null ? [] : ['', ...budgetLines(state, state.budget.currency, nowMs)]),
    ...(ignoredSignals === 0 ? [] : ['', `Malformed signals ignored: ${ignoredSignals}. The worker's log names them.`]),
  ].join('\n');
}

function row(what: string, { requesters, tenant, batch, sinceMs }: SlotEntry, linkTo: (run: string) => string): string {
  const [first = '', ...others] = requesters;
  const runs = others.length === 0 ? linkTo(first) : `${linkTo(first)} and ${others.length} more`;
  const payer = [tenant, batch].map((name) => markdownText(name ?? ''));
  return `| ${[what, runs, ...payer, new Date(sinceMs).toISOString().slice(0, 19)].join(' | ')} |`;
}

function budgetLines(state: SlotState, currency: string, nowMs: number): string[] {
  return [
    `| budget (${currency}) | of | limit | spent | reserved |`,
    '| --- | --- | --- | --- | --- |',
    ...budgetViews(state, ROWS_MAX, nowMs).map(
      ({ scope, name, limit, spent, reserved }) =>
        `| ${scope} | ${markdownText(name ?? '')} | ${limit} | ${spent ?? '?'} | ${reserved} |`,
    ),
  ];
}

/** The day's budget, those with reservations or requests, those configured by name, and those with spending. */
function budgetViews(state: SlotState, max: number, nowMs: number): BudgetView[] {
  return budgetsOf(state, nowMs)?.views(payersToShow(state, nowMs), max) ?? [];
}

function* payersToShow(state: SlotState, nowMs: number) {
  let shown = 0;
  for (const payer of payersIn(state)) {
    yield payer;
    shown += 1;
    if (shown === PAYERS_SHOWN_MAX) break; // with 50,000 tenants, most of them without a limit
  }
  const { days = {}, batches = {} } = state.spending ?? {};
  const configured = Object.keys(state.budget?.limits.tenants ?? {}).filter((tenant) => !tenant.endsWith('*'));
  for (const tenant of configured) yield { tenant: tenant || null, batch: null };
  for (const tenant of Object.keys(days[utcDay(nowMs)] ?? {})) yield { tenant: tenant || null, batch: null };
  for (const batch of Object.keys(batches)) yield { tenant: null, batch };
}
