import type { Command } from 'commander';
import { type BudgetView, MICRO } from '../../contract/budget.js';
import type { AccountSlotsView, SlotView } from '../../contract/slots.js';
import { amountText } from '../../text/amount.js';
import { ExitCode } from '../../text/exit-code.js';
import { table } from '../../text/table.js';
import type { CommandContext } from '../context.js';
import { budgetName } from '../cost-budgets.js';

/** `wan-video slots`: who may submit on the configured account, and who waits. */
export function addSlots(program: Command, context: CommandContext): void {
  program
    .command('slots')
    .summary('show who holds the slots of the account, and who waits')
    .description(
      'Shows the slots of the configured provider account (WAN_VIDEO_ACCOUNT): which runs have a task at the provider, which ones wait, in ' +
        'the order in which they will be granted, and how long.',
    )
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  wan-video slots')
    .action(
      context.action(async () => {
        const { readAccountSlots } = await import('../../client/account-slots.js');
        const { provider, rates, budgetsFile } = await context.config();
        const slots = await context.temporal(({ client }) =>
          readAccountSlots(client, provider.providerId, provider.account),
        );
        if (slots === undefined && budgetsFile !== undefined) {
          context.say('No run has asked for a slot yet; what is spent of the budgets shows "wan-video cost".');
        }
        const shown: AccountSlotsView = slots ?? { limit: rates.maxRunning, holders: [], waiting: [] };
        context.result(shown, slotsText(shown, Date.now()));
        return ExitCode.done;
      }),
    );
}

const HEAD = ['SLOT', 'RUN', 'TENANT', 'BATCH', 'FOR'];

/** For people: who holds and who waits, and the budgets. */
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
