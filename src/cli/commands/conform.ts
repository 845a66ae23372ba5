import type { Client } from '@temporalio/client';
import type { Command } from 'commander';
import { conformArchived, noVideo } from '../../client/conform.js';
import { findPollers } from '../../client/pollers.js';
import type { ConformOptions } from '../../contract/conform.js';
import { invalidRequest } from '../../contract/validate.js';
import { ExitCode } from '../../text/exit-code.js';
import { resultText } from '../../text/result.js';
import type { CommandContext } from '../context.js';
import { findRun } from '../find-run.js';
import { JSON_FLAG } from '../flags.js';
import { unlessInterrupted, withInterrupts } from '../interrupts.js';
import { numeric } from '../request-input.js';
import { outputIssues, saveVideo } from '../save-video.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';
import { noWorkerWarning } from '../workers.js';

interface ConformFlags {
  readonly fps?: string;
  readonly size?: string;
  readonly shape?: string;
  readonly motion?: string;
  readonly poster?: boolean;
  readonly output?: string;
}

/** `wan-video conform`: another file from an archived video. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Makes another file from an archived video: exactly this frame rate, size and the requested length. A worker ' +
        'with ffmpeg does it. Nothing is bought, and the original stays as it is. Equal commands share one file.',
    )
    .argument('<id>', 'id of a run, or of a task')
    .option('--fps <n>', 'frames per second, such as 24 or 23.976')
    .option('--size <W*H>', 'pixels, both even, such as 1280*720')
    .option('--shape <way>', 'for another shape: crop (default) cuts off, pad adds black bars')
    .option('--motion <way>', 'for another rate: duplicate (default) repeats and drops frames, blend mixes them')
    .option('--poster', 'also store a JPEG of the first frame')
    .option('--output <path>', 'also copy the video there; an existing file is replaced')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Without --fps and --size the video becomes what its request said. What is not named stays as it is in the file.

Examples:
  wan-video conform video/0a1b2c3d --fps 24 --size 1280*720
  wan-video conform video/0a1b2c3d --size 1080*1080 --shape pad --poster --output square.mp4`,
    )
    .action(context.action((id: string, flags: ConformFlags) => conform(id, flags, context)));
}

async function conform(id: string, flags: ConformFlags, context: CommandContext): Promise<number> {
  const { fps, size, shape, motion, poster = false, output } = flags;
  const issues = output === undefined ? [] : await outputIssues(output, context.io.cwd);
  if (issues.length > 0) throw invalidRequest(issues);
  const settings = new Settings(context.io);
  const { taskQueues } = settings.config();
  const store = settings.store();
  return withInterrupts(context.io, async (interrupts) => {
    const run = async (client: Client): Promise<number> => {
      const found = await findRun(id, client, () => settings.ledger());
      if (found.result === null) throw noVideo(id, found.status);
      const exact = fps === undefined && size === undefined;
      const { fps: requestedFps, size: requestedSize } = found.result.requested;
      const rules = {
        fps: exact ? requestedFps : numeric(fps),
        size: exact ? requestedSize : size,
        shape,
        motion,
      } as ConformOptions;
      const pollers = await findPollers(client, taskQueues.conform, Date.now(), 'activities');
      const warning = noWorkerWarning(pollers, taskQueues.conform, client.options.namespace, true);
      if (warning !== undefined) context.say(warning);
      const made = await conformArchived(client, taskQueues.generate, found.result, {
        conform: rules,
        poster,
        signal: interrupts.first,
      });
      if (output !== undefined) {
        const path = await saveVideo(made, store, output, context.io.cwd);
        context.say(`Copied to ${path}.`, [path]);
      }
      context.result(made, resultText(made));
      return ExitCode.done;
    };
    const abortable = <T>(work: Promise<T>): Promise<T> =>
      unlessInterrupted(work, interrupts.first, 'Interrupted; a worker may finish the file all the same.');
    return abortable(withTemporal(await settings.target(), run, abortable));
  });
}
