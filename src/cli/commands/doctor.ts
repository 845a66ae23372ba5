import type { Command } from 'commander';
import type { CommandContext } from '../context.js';

/** `wan-video doctor`: checks everything that a generation rests on. */
export function addDoctor(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .summary('check configuration, Temporal, store, key and provider; say how to mend what is wrong')
    .description(
      'Checks the configuration, the network (proxy, authorities), Temporal (namespace, search attributes, workers, sweep), its runs, batches and slots, open purchases, the asset store, the key and the provider, ' +
        'the clock and the disk, and says how to mend what is wrong. Prints no secret and buys nothing. Exit code 0 when all is well, else 3.',
    )
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  wan-video doctor')
    .action(
      context.action(async () => {
        const { runDoctor } = await import('../doctor/run-doctor.js');
        return runDoctor(context);
      }),
    );
}
