import type { Command } from 'commander';
import type { CommandContext } from '../context.js';
import type { WaitFlags } from '../wait-for-result.js';

/** `wan-video retry`: runs the request of an ended run again. */
export function addRetry(program: Command, context: CommandContext): void {
  program
    .command('retry')
    .summary('run the request of an ended run again')
    .description(
      'Runs the request of an ended run again, under the same id, and waits as generate does. What was paid is adopted, followed ' +
        'or answered from the cache; only a request with cache refresh or off asks for a new video. A run that has not ended is refused.',
    )
    .argument('<id>', 'workflow id, as generate prints it')
    .option('--output <path>', 'also copy the video there; an existing file is replaced')
    .option('--detach', 'start it and print its id, without waiting')
    .option('--quiet', 'no progress')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  wan-video retry video/0a1b2c3d')
    .action(
      context.action(async (id: string, flags: WaitFlags) => {
        const [
          { WanVideoClient },
          { waitForResult: seeThrough, warnIfNoWorker: tellOfWorkers, waitIssues, workersFor },
          interruptible,
          contract,
        ] = await Promise.all([
          import('../../client/video-client.js'),
          import('../wait-for-result.js'),
          import('../interrupts.js'),
          import('../../contract/validate.js'),
        ]);
        const issues = await waitIssues(flags, context.io.cwd);
        if (issues.length > 0) throw contract.invalidRequest(issues);
        const taskQueue = (await context.config()).taskQueues.generate;
        const store = await context.store();
        return context.temporal((temporal) =>
          interruptible.withInterrupts(context.io, async (interrupts) => {
            const videos = new WanVideoClient({ client: temporal.client, taskQueue, store });
            const pollers = await workersFor(temporal, taskQueue, context);
            const started = await videos.retry(id);
            tellOfWorkers(pollers, taskQueue, temporal, context, flags);
            const remark = started.joined ? `Joined ${id}, which was started again meanwhile.` : `Started ${id} again.`;
            return seeThrough(videos, started, flags, { store, context, interrupts, remark });
          }),
        );
      }),
    );
}
