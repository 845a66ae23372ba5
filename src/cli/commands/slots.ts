import type { Command } from 'commander';
import { readAccountSlots } from '../../client/account-slots.js';
import type { AccountSlotsView } from '../../contract/slots.js';
import { ExitCode } from '../../text/exit-code.js';
import { slotsText } from '../../text/slots.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

/** `wan-video slots`: which runs may submit on the configured account, and which wait. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Shows the slots of the configured provider account (WAN_VIDEO_ACCOUNT): the runs that have a task at the ' +
        'provider, and the runs that wait, in the order in which they will be granted a slot.',
    )
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  wan-video slots')
    .action(context.action(() => showSlots(context)));
}

async function showSlots(context: CommandContext): Promise<number> {
  const settings = new Settings(context.io);
  const { provider, rates, budgetsFile } = settings.config();
  const slots = await withTemporal(await settings.target(), (client) =>
    readAccountSlots(client, provider.providerId, provider.account),
  );
  if (slots === undefined && budgetsFile !== undefined) {
    context.say('No run has requested a slot yet; "wan-video cost" shows what is spent of the budgets.');
  }
  const shown: AccountSlotsView = slots ?? { limit: rates.maxRunning, holders: [], waiting: [] };
  context.result(shown, slotsText(shown, Date.now()));
  return ExitCode.done;
}
