import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { WanVideoClient } from '../../client/video-client.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';

/** A run ends within 2 s of a cancel, or 20 s while a purchase is being answered. */
const WAIT_MS = 30_000;

/** A look costs no Action. */
const LOOK_EVERY_MS = 1_000;

/** What keeps a run from ending: at once when nobody works on it, else when it takes too long. */
async function troubled(
  videos: WanVideoClient,
  id: string,
  runId: string,
  signal: AbortSignal,
): Promise<{ readonly trouble: string | null }> {
  const { UNATTENDED } = await import('../../client/video-run.js');
  let trouble: string | null = null;
  for (const untilMs = Date.now() + WAIT_MS; Date.now() < untilMs && !signal.aborted; ) {
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    // Temporal that does not answer for a moment says nothing about the run.
    const status = await videos.describe(id, { runId, progress: false }).catch(() => undefined);
    trouble = status?.trouble ?? null;
    if (trouble?.startsWith(UNATTENDED)) break;
  }
  return { trouble };
}

/** `wan-video cancel`: ends a run, and says what became of its task. */
export function addCancel(program: Command, context: CommandContext): void {
  program
    .command('cancel')
    .summary('cancel one run')
    .description(
      'Cancels a run, waits for its end, and says what became of the task at the provider and whether it is billed. Exit ' +
        'code 0 when the run is cancelled, also when it was before; 1 when it had ended otherwise or does not end.',
    )
    .argument('<id>', 'workflow id, as generate prints it')
    .option('--reason <text>', 'kept in the history of the run', 'cancelled at the command')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', "\nExample:\n  wan-video cancel video/0a1b2c3d --reason 'wrong picture'")
    .action(
      context.action(async (id: string, { reason }: { reason: string }) => {
        const [{ WanVideoClient }, { VideoRunError }, { notCancellable }, { FailureType }] = await Promise.all([
          import('../../client/video-client.js'),
          import('../../client/run-error.js'),
          import('../../client/run-kind.js'),
          import('../../contract/failure-type.js'),
        ]);
        return context.temporal(async ({ client }) => {
          const videos = new WanVideoClient({ client });
          const { run_id: runId, status, workflow_type } = await videos.describe(id, { progress: false });
          const refusal = notCancellable(id, workflow_type);
          if (refusal !== undefined) throw refusal;
          if (status === 'running') {
            // It may end by itself between the two calls; what it ended as is told below.
            await videos.cancel(id, reason, { runId }).catch((error: unknown) => {
              const ended = error instanceof VideoRunError && error.error.type === FailureType.RunNotFound;
              if (!ended) throw error;
            });
          }
          const timer = new AbortController();
          try {
            const end = await Promise.race([videos.result(id, { runId }), troubled(videos, id, runId, timer.signal)]);
            if (!('trouble' in end)) {
              const message = `The run ${id} had ended with a video already: ${end.video_url}`;
              throw new VideoRunError(id, { type: 'NotCancelled', message });
            }
            const why = end.trouble ?? 'nothing shows why';
            throw new VideoRunError(id, {
              type: 'NotCancelled',
              message: `The run ${id} was asked to end and has not done so yet: ${why}`,
              next_step: `It ends once a worker takes it up; see "wan-video status ${id}" then.`,
            });
          } catch (error) {
            if (!(error instanceof VideoRunError) || !error.cancelled) throw error;
            const { message, task_id = null, billed = null } = error.error;
            context.result({ id, run_id: runId, status: 'cancelled', message, task_id, billed }, message);
            return ExitCode.done;
          } finally {
            timer.abort();
          }
        });
      }),
    );
}
