import type { Command } from 'commander';
import type { VideoResult } from '../../contract/result.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';

/** `wan-video watch`: follows a run that somebody started. */
export function addWatch(program: Command, context: CommandContext): void {
  program
    .command('watch')
    .summary('follow one run to its end')
    .description(
      'Follows a run with progress and prints its result, as generate does. Ctrl-C leaves the run alone. Exit codes as for generate.',
    )
    .argument('<id>', 'workflow id, as generate prints it')
    .option('--quiet', 'no progress')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  wan-video watch video/0a1b2c3d')
    .action(
      context.action(async (id: string, { quiet = false }: { quiet?: boolean }) => {
        const [{ WanVideoClient }, { notWatchable }, { awaitVideo }, { withInterrupts }, { resultText, NO_VIDEO }] =
          await Promise.all([
            import('../../client/video-client.js'),
            import('../../client/run-kind.js'),
            import('../await-video.js'),
            import('../interrupts.js'),
            import('../../text/result.js'),
          ]);
        return context.temporal(({ client }) =>
          withInterrupts(context.io, async (interrupts) => {
            const videos = new WanVideoClient({ client });
            const { run_id: runId, workflow_type } = await videos.describe(id, { progress: false });
            const refusal = notWatchable(id, workflow_type);
            if (refusal !== undefined) throw refusal;
            const options = { owned: false, quiet };
            // A salvage may find that there is nothing to keep.
            const result: VideoResult | null = await awaitVideo(videos, { id, runId }, context, interrupts, options);
            context.result(result, result === null ? NO_VIDEO : resultText(result));
            return ExitCode.done;
          }),
        );
      }),
    );
}
