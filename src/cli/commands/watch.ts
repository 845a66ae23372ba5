import type { Command } from 'commander';
import { notWatchable } from '../../client/run-kind.js';
import { WanVideoClient } from '../../client/video-client.js';
import type { VideoResult } from '../../contract/result.js';
import { ExitCode } from '../../text/exit-code.js';
import { NO_VIDEO, resultText } from '../../text/result.js';
import { awaitVideo } from '../await-video.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG } from '../flags.js';
import { withInterrupts } from '../interrupts.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

/** `wan-video watch`: follows a run that was started elsewhere. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Follows a run with progress and prints its result, as generate does. Ctrl-C ends the command; the run ' +
        'continues. Exit codes as for generate.',
    )
    .argument('<id>', 'workflow id, as generate prints it')
    .option('--quiet', 'show no progress')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  wan-video watch video/0a1b2c3d')
    .action(context.action((id: string, { quiet = false }: { quiet?: boolean }) => watch(id, quiet, context)));
}

async function watch(id: string, quiet: boolean, context: CommandContext): Promise<number> {
  return withTemporal(await new Settings(context.io).target(), (client) =>
    withInterrupts(context.io, async (interrupts) => {
      const videos = new WanVideoClient({ client });
      const { run_id: runId, workflow_type } = await videos.describe(id, { progress: false });
      const refusal = notWatchable(id, workflow_type);
      if (refusal !== undefined) throw refusal;
      const options = { owned: false, quiet };
      // A salvage may find that there is no video to keep.
      const result: VideoResult | null = await awaitVideo(videos, { id, runId }, context, interrupts, options);
      context.result(result, result === null ? NO_VIDEO : resultText(result));
      return ExitCode.done;
    }),
  );
}
