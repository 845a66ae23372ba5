import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Command } from 'commander';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { importPart } from '../import-part.js';

/** `wan-video temporal …`: Temporal's own command line. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      "Runs Temporal's own command line with everything that follows: the one on PATH or of TEMPORAL_CLI, else the " +
        'one that "wan-video dev" downloads. Where "wan-video dev" runs, it reaches that Temporal.',
    )
    .argument('[arguments...]', "arguments of Temporal's command line")
    .addHelpText('after', '\nExamples:\n  wan-video temporal workflow list\n  wan-video temporal --help')
    .action(context.action((args: readonly string[]) => runTemporalCli(args, context)));
}

async function runTemporalCli(args: readonly string[], context: CommandContext): Promise<number> {
  const { findTemporalCli } = await importPart('The Temporal CLI', () => import('../../dev/temporal-cli.js'));
  const { env, cwd, onInterrupt } = context.io;
  const path = await findTemporalCli({ ...env }, { say: (line) => context.say(line) });
  // A Ctrl-C reaches the child as well, which ends by itself.
  const release = onInterrupt(() => undefined);
  try {
    const child = spawn(path, args, { cwd, env: { ...env }, stdio: 'inherit' });
    const [code] = (await once(child, 'close')) as [number | null];
    return code ?? ExitCode.cancelled;
  } finally {
    release();
  }
}
