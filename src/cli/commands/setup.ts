import type { Command } from 'commander';
import type { CommandContext } from '../context.js';
import { ExitCode } from '../exit-code.js';

/** `wan-video setup`: prepares the configured namespace. */
export function addSetup(program: Command, context: CommandContext): void {
  program
    .command('setup')
    .summary('register the search attributes in the configured namespace')
    .description(
      'Registers the search attributes in the configured namespace; repeating it changes nothing. Where that is not allowed it ' +
        'prints the lines for the administrator; runs work without them.',
    )
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  TEMPORAL_ADDRESS=127.0.0.1:7233 wan-video setup')
    .action(
      context.action(async () => {
        const { registerSearchAttributes } = await import('../../client/setup.js');
        const registered = await context.temporal(({ client }) => registerSearchAttributes(client));
        const text =
          registered.length === 0
            ? 'Nothing to do: the search attributes are registered.'
            : `Registered ${registered.join(', ')}.`;
        context.result({ registered }, text);
        return ExitCode.done;
      }),
    );
}
