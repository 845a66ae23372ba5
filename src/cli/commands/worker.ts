import type { Command } from 'commander';
import { addressOf } from '../../client/temporal-target.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';

/** `wan-video worker`: a worker for all its queues. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Runs a worker until SIGTERM or Ctrl-C. It finishes a submit that is being sent; another worker, or the next ' +
        'one, continues the rest. Prints one line when it is ready; logs go to stderr.',
    )
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  DASHSCOPE_API_KEY=… wan-video worker')
    .action(context.action(() => work(context)));
}

async function work(context: CommandContext): Promise<number> {
  const stopped = new AbortController();
  // Only the first signal: a second one ends the process at once.
  const release = context.io.onInterrupt(() => {
    release();
    stopped.abort();
  });
  const settings = new Settings(context.io);
  const config = settings.config();
  await settings.apiKey(); // a missing key is reported now, not by the first run
  const temporal = await settings.target();
  // Loaded late: the worker's native module takes longer than everything else.
  const [{ runWorker }, { installLogger }] = await Promise.all([
    import('../../worker/run-worker.js'),
    import('../../worker/logger.js'),
  ]);
  installLogger(config.log, { metrics: config.metrics !== undefined });
  await runWorker({
    config,
    temporal,
    readTemporal: () => settings.readTarget(),
    ownsProcess: true,
    signal: stopped.signal,
    apiKey: async () => (await settings.apiKey()).reveal(),
    onReady: () => {
      const { generate, submit } = config.taskQueues;
      const { namespace } = temporal;
      const address = addressOf(temporal);
      context.result(
        { ready: true, temporal_address: address, namespace, task_queues: [generate, submit] },
        `Worker ready: queues ${generate} and ${submit} at ${address}, namespace ${namespace}.`,
      );
    },
  });
  return ExitCode.done;
}
