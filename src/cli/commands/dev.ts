import type { Command } from 'commander';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';

/** `wan-video dev`: everything on this machine. */
export function addDev(program: Command, context: CommandContext): void {
  program
    .command('dev')
    .summary('run Temporal, Web UI, emulator and worker until Ctrl-C')
    .description(
      'Runs a Temporal of its own with its Web UI, the provider emulator and a worker on this machine until Ctrl-C. Runs and ' +
        'tasks are kept in .wan-video/ for the next time. A configured Temporal or provider is not touched.',
    )
    .option('--live', 'use the configured provider, which costs money, instead of the emulator')
    .option('--json', 'one JSON document on stdout when it is ready, also for errors')
    .addHelpText('after', '\nExample:\n  wan-video dev')
    .action(
      context.action(async ({ live = false }: { live?: boolean }) => {
        if (live) await context.apiKey(); // no key at all is said at once, not by the first run
        const [{ runDev }, { installLogger }, { withInterrupts }] = await Promise.all([
          import('../../dev/run-dev.js'),
          import('../../worker/logger.js'),
          import('../interrupts.js'),
        ]);
        const { log, metrics } = await context.config();
        installLogger(log, { metrics: metrics !== undefined });
        await withInterrupts(context.io, ({ first }) =>
          runDev({
            ...{ live, signal: first, env: { ...context.io.env } },
            say: (line) => context.say(line),
            onReady: (addresses) => {
              if (context.json) context.result(addresses, '');
            },
          }),
        );
        return ExitCode.done;
      }),
    );
}
