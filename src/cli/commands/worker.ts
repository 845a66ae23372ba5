import type { Command } from 'commander';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';

/** `wan-video worker`: a worker for both queues. */
export function addWorker(program: Command, context: CommandContext): void {
  program
    .command('worker')
    .summary('run a worker until SIGTERM')
    .description(
      'Runs a worker until SIGTERM or Ctrl-C. It finishes a submit that is on the wire; everything else is taken over by ' +
        'another worker, or by the next one. Prints one line when it is ready; logs go to stderr.',
    )
    .option('--json', 'one JSON document on stdout when it is ready, also for errors')
    .addHelpText('after', '\nExample:\n  DASHSCOPE_API_KEY=… wan-video worker')
    .action(
      context.action(async () => {
        const config = await context.config();
        await context.apiKey(); // no key at all is said at once, not by the first run
        const [{ addressOf }, { runWorker }, { installLogger }] = await Promise.all([
          import('../../client/connect.js'),
          import('../../worker/run-worker.js'),
          import('../../worker/logger.js'),
        ]);
        const temporal = await context.target();
        const { generate, submit } = config.taskQueues;
        installLogger(config.log, { metrics: config.metrics !== undefined });
        await runWorker({
          config,
          temporal,
          apiKey: () => context.apiKey(),
          onReady: () => {
            const { namespace } = temporal;
            const address = addressOf(temporal);
            context.result(
              { ready: true, temporal_address: address, namespace, task_queues: [generate, submit] },
              `Worker ready: queues ${generate} and ${submit} at ${address}, namespace ${namespace}.`,
            );
          },
        });
        return ExitCode.done;
      }),
    );
}
