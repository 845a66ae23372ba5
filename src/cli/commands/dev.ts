import type { Command } from 'commander';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG, wholeNumber } from '../flags.js';
import { importPart } from '../import-part.js';
import { withInterrupts } from '../interrupts.js';
import { Settings } from '../settings.js';

interface DevFlags {
  readonly live?: boolean;
  readonly port?: number;
}

/** `wan-video dev`: everything on this machine. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Runs a private Temporal with Web UI, the provider emulator and a worker on this machine until Ctrl-C. ' +
        'Runs and tasks are kept in .wan-video/ for the next time, and commands in the same ' +
        'folder find it. A configured Temporal or provider is not used.',
    )
    .option(
      '--port <n>',
      'TCP port of Temporal; its Web UI has the one 1000 above, the emulator 2000 above (default: 7233, 8233 and ' +
        '8090, each if it is free)',
      wholeNumber(1_024, 63_000),
    )
    .option('--live', 'use the configured provider, which costs money, instead of the emulator')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  wan-video dev')
    .action(context.action((flags: DevFlags) => develop(flags, context)));
}

async function develop({ live = false, port }: DevFlags, context: CommandContext): Promise<number> {
  const settings = new Settings(context.io);
  if (live) await settings.apiKey(); // a missing key is reported now, not by the first run
  // Loaded late: the worker's native module takes longer than everything else.
  const [{ runDev }, { installLogger }] = await Promise.all([
    importPart('The local stack', () => import('../../dev/run-dev.js')),
    import('../../worker/logger.js'),
  ]);
  const { log, metrics } = settings.config();
  installLogger(log, { metrics: metrics !== undefined });
  await withInterrupts(context.io, ({ first }) =>
    runDev({
      live,
      port,
      signal: first,
      env: { ...context.io.env },
      say: (line) => context.say(line),
      onReady: (addresses) => {
        if (context.json) context.result(addresses, '');
      },
    }),
  );
  return ExitCode.done;
}
