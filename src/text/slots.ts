import { amountText, type BudgetView, MICRO } from '../contract/budget.js';
import type { AccountSlotsView, SlotView } from '../contract/slots.js';
import { budgetName } from './budget.js';
import { table } from './table.js';

const HEAD = ['SLOT', 'RUN', 'TENANT', 'BATCH', 'FOR'];

/** The slots of an account for people: holders, waiting runs and budgets. */
export function slotsText(
  { limit, holders, waiting, currency = '', budgets = [] }: AccountSlotsView,
  nowMs: number,
): string {
  const rows = [
    ...holders.map((held) => row('holds', held, nowMs)),
    ...waiting.map((waiter, at) => row(`waits, ${at + 1}`, waiter, nowMs)),
  ];
  return [
    `${holders.length} of ${limit} slots are held, ${waiting.length} wait.`,
    ...(rows.length === 0 ? [] : ['', table(HEAD, rows)]),
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

function row(what: string, { runs, tenant, batch, since_ms }: SlotView, nowMs: number): string[] {
  const [first = '-', ...others] = runs;
  const whose = others.length === 0 ? first : `${first} and ${others.length} more`;
  return [what, whose, tenant ?? '-', batch ?? '-', `${Math.max(0, Math.round((nowMs - since_ms) / 1000))} s`];
}
