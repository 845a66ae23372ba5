import type { Command } from 'commander';
import { ExitCode } from '../../text/exit-code.js';
import { failureText, resultText } from '../../text/result.js';
import { statusText } from '../../text/status.js';
import type { CommandContext } from '../context.js';
import { type FoundRun, findRun, type StoredRun } from '../find-run.js';
import { JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

/** `wan-video status`: everything that is known of one run. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Shows the progress of a run, what it waits for, and its result or failure. The exit code is 0 whenever the ' +
        'run exists. A run that Temporal has forgotten is shown as the store knows it; the id of a task or a ' +
        'purchase finds a run too.',
    )
    .argument('<id>', 'workflow id, as generate prints it; or the id of a task')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  wan-video status video/0a1b2c3d')
    .action(context.action((id: string) => status(id, context)));
}

async function status(id: string, context: CommandContext): Promise<number> {
  const settings = new Settings(context.io);
  const run = await withTemporal(await settings.target(), (client) => findRun(id, client, () => settings.ledger()));
  context.result(run, 'purchase' in run ? storedText(run) : `${statusText(run, Date.now())}${keptText(run)}`);
  return ExitCode.done;
}

/** What the store has of a run that was ended from outside. */
function keptText({ stored }: FoundRun): string {
  if (stored === undefined) return '';
  const { purchase, state, task_id, result } = stored;
  const isOpen = state === 'claimed' || state === 'unclaimed';
  return [
    '',
    ...(task_id === null ? [] : [`task      ${task_id}`]),
    `purchase  ${purchase}: ${state.replace('_', ' ')}${isOpen ? '; a salvage brings it to its end' : ''}`,
    ...(result === null ? [] : [resultText(result)]),
  ].join('\n');
}

function storedText({ id, purchase, state, bought_by, bought_at, task_id, result, error }: StoredRun): string {
  return [
    `run       ${bought_by}`,
    'status    forgotten by Temporal; this is what the store knows',
    ...(id === bought_by ? [] : [`requested ${id}`]),
    `purchase  ${purchase}: ${state.replace('_', ' ')}`,
    `bought    ${bought_at}`,
    ...(result !== null ? [resultText(result)] : task_id === null ? [] : [`task      ${task_id}`]),
    ...(error === null ? [] : [failureText(error)]),
  ].join('\n');
}
