import type { Command } from 'commander';
import { WanVideoClient } from '../../client/video-client.js';
import { invalidRequest } from '../../contract/validate.js';
import { type WaitFlags, waitForResult, waitIssues } from '../await-video.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG } from '../flags.js';
import { withInterrupts } from '../interrupts.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';
import { findWorkers, noWorkerWarning } from '../workers.js';

/** `wan-video retry`: runs the request of an ended run again. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Runs the request of an ended run again under the same id, and waits as generate does. A video that was ' +
        'already paid for is adopted, followed or answered from the cache; only a request with cache refresh or off ' +
        'buys a new one. A run that has not ended is refused.',
    )
    .argument('<id>', 'workflow id, as generate prints it')
    .option('--output <path>', 'also copy the video there; an existing file is replaced')
    .option('--detach', 'start the run and print its id, without waiting')
    .option('--quiet', 'show no progress')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  wan-video retry video/0a1b2c3d')
    .action(context.action((id: string, flags: WaitFlags) => retry(id, flags, context)));
}

async function retry(id: string, flags: WaitFlags, context: CommandContext): Promise<number> {
  const issues = await waitIssues(flags, context.io.cwd);
  if (issues.length > 0) throw invalidRequest(issues);
  const settings = new Settings(context.io);
  const taskQueue = settings.config().taskQueues.generate;
  const store = settings.store();
  return withTemporal(await settings.target(), (client) =>
    withInterrupts(context.io, async (interrupts) => {
      const videos = new WanVideoClient({ client, taskQueue, store });
      const pollers = await findWorkers(client, taskQueue, () => settings.apiKey());
      const started = await videos.retry(id);
      const warning = noWorkerWarning(pollers, taskQueue, client.options.namespace, !flags.detach);
      if (warning !== undefined) context.say(warning);
      const remark = started.joined ? `Joined ${id}, which was started again meanwhile.` : `Started ${id} again.`;
      return waitForResult(videos, started, remark, flags, { store, context, interrupts });
    }),
  );
}
