import { type Command, InvalidArgumentError, Option } from 'commander';
import { utcDay } from '../../contract/utc.js';
import { invalidRequest } from '../../contract/validate.js';
import { CSV_START } from '../../report/csv.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { type Cost, costBetween, costCsv, costTable, daysUntil } from '../cost.js';
import { JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';

interface CostFlags {
  readonly since?: string;
  readonly until?: string;
  readonly by?: NonNullable<Cost['by']>;
  readonly format?: 'table' | 'csv' | 'json';
}

/** `wan-video cost`: what was paid, from the ledger. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Adds up the billed seconds of the configured account by tier and sound, from the ledger in the store, and ' +
        'the amounts when WAN_VIDEO_PRICES names a price list. Days are UTC, both ends are included, and a video ' +
        'counts on the day of its end. With WAN_VIDEO_BUDGETS, each limit is listed below with what is spent and ' +
        'left.',
    )
    .option('--since <day>', 'first day, YYYY-MM-DD (default: 29 days before the last)', day)
    .option('--until <day>', 'last day (default: today)', day)
    .addOption(new Option('--by <what>', 'a line for each of them').choices(['tenant', 'batch', 'label', 'day']))
    .addOption(new Option('--format <format>', 'as a table (default), CSV or JSON').choices(['table', 'csv', 'json']))
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  wan-video cost --since 2026-03-01 --until 2026-03-31 --by tenant --format csv')
    .action(context.action((flags: CostFlags) => showCost(flags, context)));
}

async function showCost({ since, until, by, format }: CostFlags, context: CommandContext): Promise<number> {
  const last = until ?? utcDay(Date.now());
  const days = daysUntil(last, since);
  if (days.length === 0) {
    throw invalidRequest([{ path: '--since', message: `${since} is not a day of the year that ends ${last}` }]);
  }
  const settings = new Settings(context.io);
  const { prices, budgets } = await settings.pricesAndBudgets(); // their faults come before the ledger is read
  const cost = await costBetween(settings.ledger(), days, { by, prices, budgets });
  if (format === 'json') context.printJson(cost);
  else if (format === 'csv' && !context.json) context.io.stdout.write(`${CSV_START}${costCsv(cost)}\r\n`);
  else context.result(cost, costTable(cost));
  for (const message of cost.damaged ?? []) context.io.stderr.write(`Estimated by its request: ${message}\n`);
  return cost.damaged === undefined ? ExitCode.done : ExitCode.failed;
}

function day(text: string): string {
  // A day that does not exist does not print back to the same text.
  const atMs = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(atMs) || utcDay(atMs) !== text) {
    throw new InvalidArgumentError('It must be a day such as 2026-03-31.');
  }
  return text;
}
