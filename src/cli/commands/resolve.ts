import type { Command } from 'commander';
import type { CommandContext } from '../context.js';
import type { ResolveFlags } from '../run-resolve.js';

/** `wan-video resolve`: a person's decision about a lost submit. */
export function addResolve(program: Command, context: CommandContext): void {
  program
    .command('resolve')
    .summary('decide for a run in needs_attention which task is its own')
    .description(
      'Decides for a run (or a salvage) in needs_attention what became of its submit: the task that is its own, or that none is and ' +
        'another may be bought. Waits a moment and says whether the decision was taken: exit code 0 when it was, else 1.',
    )
    .argument('<id>', 'workflow id, as generate prints it')
    .option('--task <id>', 'this task is its own; its video is archived')
    .option('--buy', 'no task is its own; buy another one')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText(
      'after',
      `
Examples:
  wan-video resolve video/0a1b2c3d --task 0385dc79-5ff8-4d82-bcb6-7a3f9a1b2c3d
  wan-video resolve video/0a1b2c3d --buy`,
    )
    .action(
      context.action(async (id: string, flags: ResolveFlags) => {
        const { runResolve } = await import('../run-resolve.js');
        return runResolve(id, flags, context);
      }),
    );
}
