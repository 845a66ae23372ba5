import { amountText, type BudgetView, MICRO } from '../contract/budget.js';
import type { AccountSlotsView, SlotView } from '../contract/slots.js';
import { budgetName } from './budget.js';
import { table } from './table.js';

const HEAD = ['SLOT', 'RUN', 'TENANT', 'BATCH', 'FOR'];

/** The slots of an account for people: holders, a page of the runs that wait, and budgets. */
export function slotsText(view: AccountSlotsView, nowMs: number): string {
  const { limit, holders, waiting, waiting_offset: offset, currency = '', budgets = [] } = view;
  const rows = [
    ...holders.map((held) => row('holds', held, nowMs)),
    ...waiting.map((waiter, at) => row(`waits, ${offset + at + 1}`, waiter, nowMs)),
  ];
  const after = view.waiting_count - offset - waiting.length;
  return [
    `${view.holders_count} of ${limit} slots are held, ${view.waiting_count} wait.`,
    ...(rows.length === 0 ? [] : ['', table(HEAD, rows)]),
    ...(after <= 0 ? [] : ['', `${after} more wait; show them with --offset ${offset + waiting.length}.`]),
    ...(budgets.length === 0
      ? []
      : ['', table([`BUDGET (${currency})`, 'LIMIT', 'SPENT', 'RESERVED', 'LEFT'], budgets.map(budgetRow))]),
  ].join('\n');
}

function budgetRow({ scope, name, limit, spent, reserved }: BudgetView): string[] {
  const whose = budgetName({ scope, name });
  if (spent === null) return [whose, amountText(limit), 'being read', amountText(reserved), '-'];
  // In millionths, which add up exactly; below zero when a limit was lowered.
  const left = Math.max(0, Math.round((limit - spent - reserved) * MICRO)) / MICRO;
  return [whose, ...[limit, spent, reserved, left].map(amountText)];
}

function row(what: string, { runs, runs_count, tenant, batch, since_ms }: SlotView, nowMs: number): string[] {
  const [first = '-'] = runs;
  const whose = runs_count <= 1 ? first : `${first} and ${runs_count - 1} more`;
  return [what, whose, tenant ?? '-', batch ?? '-', `${Math.max(0, Math.round((nowMs - since_ms) / 1000))} s`];
}
