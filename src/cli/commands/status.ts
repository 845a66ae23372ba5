import type { Command } from 'commander';
import type { VideoStatus } from '../../client/video-run.js';
import type { CommandContext } from '../context.js';
import { ExitCode } from '../exit-code.js';

/** `wan-video status`: everything that is known of one run. */
export function addStatus(program: Command, context: CommandContext): void {
  program
    .command('status')
    .summary('show one run')
    .description(
      'Shows how far a run is, what it waits for, and its result or failure. Exit code 0 whenever the run exists.',
    )
    .argument('<id>', 'workflow id, as generate prints it')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  wan-video status video/0a1b2c3d')
    .action(
      context.action(async (id: string) => {
        const [{ WanVideoClient }, { resultText, failureText }] = await Promise.all([
          import('../../client/video-client.js'),
          import('../output.js'),
        ]);
        const status = await context.temporal(({ client }) => new WanVideoClient({ client }).describe(id));
        context.result(status, statusText(status, { resultText, failureText }));
        return ExitCode.done;
      }),
    );
}

function statusText(
  { id, status, started_at, closed_at, progress, trouble, result, error, task_id }: VideoStatus,
  texts: Pick<typeof import('../output.js'), 'resultText' | 'failureText'>,
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
  return lines.join('\n');
}
