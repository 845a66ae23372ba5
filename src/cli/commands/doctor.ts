import type { Command } from 'commander';
import type { CommandContext } from '../context.js';

interface DoctorFlags {
  readonly live?: boolean;
  readonly yes?: boolean;
  readonly compare?: string;
}

/** `wan-video doctor`: checks everything that a generation rests on. */
export function addDoctor(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .summary('check configuration, Temporal, store, key and provider; say how to mend what is wrong')
    .description(
      'Checks the configuration, the network (proxy, authorities), Temporal (namespace, search attributes, workers, sweep), its runs, ' +
        'batches and slots, open purchases, the asset store, the key and the provider, the clock and the disk, and says how to mend what is wrong. Prints no secret and ' +
        'buys nothing. Exit code 0 when all is well, else 3.\n\n' +
        'With --live it asks the provider itself how it behaves instead: all that is free, then, after asking you, by one video of two ' +
        'silent seconds at 720P. It writes what it saw to going-live-<time>.json, without secrets. See docs/going-live.md.',
    )
    .option('--live', 'ask the provider how it behaves, for the price of one short video')
    .option('--yes', 'with --live: do not ask before the purchase')
    .option('--compare <file>', 'say what of a record of --live the emulator does otherwise; exit code 1 when anything')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText(
      'after',
      '\nExamples:\n  wan-video doctor\n  wan-video doctor --live\n  wan-video doctor --compare going-live-2026-03-01T12-00-00-000Z.json',
    )
    .action(
      context.action(async (flags: DoctorFlags) => {
        const { live = false, yes = false, compare } = flags;
        if (yes && !live) throw await wrong('--yes', 'goes with --live alone');
        if (live && compare !== undefined) throw await wrong('--compare', 'compares a record that --live wrote before');
        if (!live && compare === undefined) {
          const { runDoctor } = await import('../doctor/run-doctor.js');
          return runDoctor(context);
        }
        const { runCompare, runLive } = await import('../../live-check/run-live.js');
        return compare === undefined ? runLive({ yes }, context) : runCompare(compare, context);
      }),
    );
}

async function wrong(path: string, message: string): Promise<Error> {
  const { invalidRequest } = await import('../../contract/validate.js');
  return invalidRequest([{ path, message }]);
}
