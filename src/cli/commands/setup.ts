import type { Command } from 'commander';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';

/** `wan-video setup`: prepares the configured namespace. */
export function addSetup(program: Command, context: CommandContext): void {
  program
    .command('setup')
    .summary("register the search attributes and the sweep's schedule in the configured namespace")
    .description(
      'Registers the search attributes in the configured namespace, and the hourly schedule that looks for purchases whose run is ' +
        'gone; repeating it changes nothing. Where attributes may not be registered it prints the lines for the administrator; ' +
        'runs work without them.',
    )
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  TEMPORAL_ADDRESS=127.0.0.1:7233 wan-video setup')
    .action(
      context.action(async () => {
        const { registerSearchAttributes } = await import('../../client/setup.js');
        const { ensureSweepSchedule } = await import('../../client/sweep-schedule.js');
        const { taskQueues } = await context.config();
        const done = await context.temporal(async ({ client }) => ({
          // First, because it works where attributes may not be registered.
          sweep_schedule: await ensureSweepSchedule(client, taskQueues.generate),
          registered: await registerSearchAttributes(client),
        }));
        const attributes =
          done.registered.length === 0
            ? 'The search attributes were registered before.'
            : `Registered ${done.registered.join(', ')}.`;
        const sweep =
          done.sweep_schedule === 'created'
            ? 'The schedule of the hourly sweep was created.'
            : 'The schedule of the hourly sweep was there; it is as this version makes it.';
        context.result(done, `${attributes}\n${sweep}`);
        return ExitCode.done;
      }),
    );
}
