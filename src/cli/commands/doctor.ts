import type { Command } from 'commander';
import { invalidRequest } from '../../contract/validate.js';
import type { CommandContext } from '../context.js';
import { runDoctor } from '../doctor/run-doctor.js';
import { JSON_FLAG } from '../flags.js';

interface DoctorFlags {
  readonly live?: boolean;
  readonly yes?: boolean;
  readonly compare?: string;
}

/** `wan-video doctor`: checks everything that a generation depends on. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Checks the configuration, the network (proxy, certificate authorities), Temporal (namespace, search ' +
        'attributes, workers, sweep), its runs, batches and slots, open purchases, the asset store, the key and the ' +
        'provider, the clock and the disk, and says how to fix each problem. Prints no secret and buys nothing. ' +
        'Exit code 0 when all checks pass, else 3.\n\nWith --live it checks instead how the provider itself ' +
        'behaves: first everything that is free, then, after asking you, one video of two silent seconds at 720P. ' +
        'It writes the answers to going-live-<time>.json, without secrets. See docs/going-live.md.',
    )
    .option('--live', 'check how the provider behaves, for the price of one short video')
    .option('--yes', 'with --live: do not ask before the purchase')
    .option('--compare <file>', 'show where the emulator differs from a record of --live; exit code 1 when it does')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Examples:
  wan-video doctor
  wan-video doctor --live
  wan-video doctor --compare going-live-2026-03-01T12-00-00-000Z.json`,
    )
    .action(context.action((flags: DoctorFlags) => doctor(flags, context)));
}

async function doctor({ live = false, yes = false, compare }: DoctorFlags, context: CommandContext): Promise<number> {
  if (yes && !live) throw invalidRequest([{ path: '--yes', message: 'needs --live' }]);
  if (live && compare !== undefined) {
    throw invalidRequest([{ path: '--compare', message: 'needs a record that --live wrote before; leave out --live' }]);
  }
  if (!live && compare === undefined) return runDoctor(context);
  // Loaded late: the worker's native module, whose steps the check takes, loads slower than everything else.
  const { runCompare, runLive } = await import('../doctor/run-live.js');
  return compare === undefined ? runLive(yes, context) : runCompare(compare, context);
}
