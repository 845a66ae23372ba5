import type { Command } from 'commander';
import { readAccountSlots } from '../../client/account-slots.js';
import type { AccountSlotsView, SlotsPage } from '../../contract/slots.js';
import { ExitCode } from '../../text/exit-code.js';
import { slotsText } from '../../text/slots.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG, wholeNumber } from '../flags.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

/** `wan-video slots`: which runs may submit on the configured account, and which wait. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Shows the slots of the configured provider account (WAN_VIDEO_ACCOUNT): the runs that have a task at the ' +
        'provider, and the runs that wait, in the order in which they will be granted a slot.',
    )
    .option('--offset <n>', 'leave out the first of those that wait', wholeNumber(0, 999_999), 0)
    .option('--count <n>', 'how many of those that wait to show', wholeNumber(1, 1_000), 100)
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExamples:\n  wan-video slots\n  wan-video slots --offset 100')
    .action(context.action((page: SlotsPage) => showSlots(context, page)));
}

async function showSlots(context: CommandContext, { offset = 0, count }: SlotsPage): Promise<number> {
  const settings = new Settings(context.io);
  const { provider, rates, budgetsFile } = settings.config();
  const slots = await withTemporal(await settings.target(), (client) =>
    readAccountSlots(client, provider.providerId, provider.account, { offset, ...(count !== undefined && { count }) }),
  );
  if (slots === undefined && budgetsFile !== undefined) {
    context.say('No run has requested a slot yet; "wan-video cost" shows what is spent of the budgets.');
  }
  const shown: AccountSlotsView = slots ?? noSlots(rates.maxRunning, offset);
  context.result(shown, slotsText(shown, Date.now()));
  return ExitCode.done;
}

const noSlots = (limit: number, offset: number): AccountSlotsView => ({
  limit,
  holders_count: 0,
  holders: [],
  waiting_count: 0,
  waiting_offset: offset,
  waiting: [],
});
