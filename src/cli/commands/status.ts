import type { Command } from 'commander';
import type { VideoStatus } from '../../client/video-run.js';
import type { CommandContext } from '../context.js';
import { ExitCode } from '../exit-code.js';
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
        const [{ runStatus }, texts, { attentionText }] = await Promise.all([
          import('../run-status.js'),
          import('../output.js'),
          import('../attention.js'),
        ]);
        const found = await runStatus(id, context);
        const text = 'purchase' in found ? storedText(found, texts) : statusText(found, { ...texts, attentionText });
        context.result(found, text);
        return ExitCode.done;
      }),
    );
}

function storedText(
  { id, purchase, state, bought_by, bought_at, task_id, result, error }: StoredRun,
  { resultText, failureText }: typeof import('../output.js'),
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

function statusText(
  { id, status, started_at, closed_at, progress, trouble, result, error, task_id }: VideoStatus,
  texts: typeof import('../output.js') & typeof import('../attention.js'),
): string {
  const lines = [
    `run       ${id}`,
    `status    ${status}`,
    `started   ${started_at}`,
    ...(closed_at === null ? [] : [`ended     ${closed_at}`]),
  ];
  if (result !== null) return [...lines, texts.resultText(result)].join('\n');
  if (error !== null) return [...lines, texts.failureText(error)].join('\n');
  if (task_id !== null) lines.push(`task      ${task_id}`);
  if (progress !== null) lines.push(`stage     ${progress.stage}`, `waits     for ${progress.waiting_for}`);
  if (trouble !== null) lines.push(`trouble   ${trouble}`);
  if (progress?.attention != null) lines.push(texts.attentionText(id, progress.attention));
  return lines.join('\n');
}
