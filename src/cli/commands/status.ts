import type { Command } from 'commander';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import type { StoredRun } from '../find-stored.js';

/** `wan-video status`: everything that is known of one run. */
export function addStatus(program: Command, context: CommandContext): void {
  program
    .command('status')
    .summary('show one run')
    .description(
      'Shows how far a run is, what it waits for, and its result or failure. Exit code 0 whenever the run exists. Of a run that ' +
        'Temporal has forgotten it shows what the store knows; the id of a task or a purchase finds a run too.',
    )
    .argument('<id>', 'workflow id, as generate prints it; or the id of a task')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  wan-video status video/0a1b2c3d')
    .action(
      context.action(async (id: string) => {
        const [{ runStatus }, texts, { statusText }] = await Promise.all([
          import('../run-status.js'),
          import('../../text/result.js'),
          import('../../text/status.js'),
        ]);
        const found = await runStatus(id, context);
        context.result(found, 'purchase' in found ? storedText(found, texts) : statusText(found, Date.now()));
        return ExitCode.done;
      }),
    );
}

function storedText(
  { id, purchase, state, bought_by, bought_at, task_id, result, error }: StoredRun,
  { resultText, failureText }: typeof import('../../text/result.js'),
): string {
  return [
    `run       ${bought_by}`,
    'status    forgotten by Temporal; this is what the store knows',
    ...(id === bought_by ? [] : [`asked for ${id}`]),
    `purchase  ${purchase}: ${state.replace('_', ' ')}`,
    `bought    ${bought_at}`,
    ...(result !== null ? [resultText(result)] : task_id === null ? [] : [`task      ${task_id}`]),
    ...(error === null ? [] : [failureText(error)]),
  ].join('\n');
}
