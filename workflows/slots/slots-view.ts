import type { BudgetView } from '../../src/contract/budget.js';
import type { AccountSlotsView, SlotPlace, SlotView } from '../../src/contract/slots.js';
import { utcDay } from '../../src/contract/utc.js';
import { grantOrder } from './slot-queue.js';
import { budgetsOf, payersIn, type SlotEntry, type SlotState, type Waiter } from './slot-state.js';

/** Rows of each kind that the Web UI shows; the query `slots` has all of them. */
const ROWS_MAX = 20;

/** Requests that wait before another one. */
interface Ahead {
  readonly interactive: number;
  readonly batch: number;
}

/** The answer of the query `slots`. */
export function toSlotsView(state: SlotState, nowMs: number): AccountSlotsView {
  const { limit, holders, budget } = state;
  const view = { limit, holders: holders.map(toSlotView), waiting: grantOrder(state).map(toSlotView) };
  return budget === null ? view : { ...view, currency: budget.currency, budgets: budgetViews(state, nowMs) };
}

/** One entry of the query `slots`. */
export const toSlotView = ({ key, requesters, sinceMs, tenant, batch, priority }: SlotEntry): SlotView => ({
  purchase_key: key,
  runs: requesters,
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
 * @param order - The requests that wait, in the order of grants.
 * @param ignoredSignals - How many malformed signals were ignored.
 */
export function toDetails(state: SlotState, order: readonly Waiter[], ignoredSignals: number, nowMs: number): string {
  const { holders, limit } = state;
  const rows = [
    ...holders.slice(0, ROWS_MAX).map((entry) => row('holds', entry)),
    ...order.slice(0, ROWS_MAX).map((entry, at) => row(`waits, ${at + 1}`, entry)),
  ];
  const head = ['| slot | run | tenant | batch | since (UTC) |', '| --- | --- | --- | --- | --- |'];
  return [
    `**${holders.length} of ${limit} slots are held, ${order.length} wait**`,
    ...(rows.length === 0 ? [''] : ['', ...head, ...rows]),
    ...(state.budget === null ? [] : ['', ...budgetLines(state, state.budget.currency, nowMs)]),
    ...(ignoredSignals === 0 ? [] : ['', `Malformed signals ignored: ${ignoredSignals}. The worker's log names them.`]),
  ].join('\n');
}

function row(what: string, { requesters, tenant, batch, sinceMs }: SlotEntry): string {
  const [first = '', ...others] = requesters;
  const runs = others.length === 0 ? `\`${first}\`` : `\`${first}\` and ${others.length} more`;
  return `| ${[what, runs, tenant ?? '', batch ?? '', new Date(sinceMs).toISOString().slice(0, 19)].join(' | ')} |`;
}

function budgetLines(state: SlotState, currency: string, nowMs: number): string[] {
  const rows = budgetViews(state, nowMs).slice(0, ROWS_MAX);
  return [
    `| budget (${currency}) | of | limit | spent | reserved |`,
    '| --- | --- | --- | --- | --- |',
    ...rows.map(
      ({ scope, name, limit, spent, reserved }) =>
        `| ${scope} | ${name ?? ''} | ${limit} | ${spent ?? '?'} | ${reserved} |`,
    ),
  ];
}

/** The day's budget, those that are configured by name, and those with spending, reservations or requests. */
function budgetViews(state: SlotState, nowMs: number): BudgetView[] {
  const { days = {}, batches = {} } = state.spending ?? {};
  const configured = Object.keys(state.budget?.limits.tenants ?? {}).filter((tenant) => !tenant.endsWith('*'));
  const tenants = [...configured, ...Object.keys(days[utcDay(nowMs)] ?? {})];
  const payers = [
    ...payersIn(state),
    ...tenants.map((tenant) => ({ tenant: tenant || null, batch: null })),
    ...Object.keys(batches).map((batch) => ({ tenant: null, batch })),
  ];
  return budgetsOf(state, nowMs)?.views(payers) ?? [];
}
