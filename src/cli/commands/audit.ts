import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { runAudit } from '../../client/audit.js';
import type { AuditedTask } from '../../contract/audit.js';
import { auditText } from '../../text/audit.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { duration, JSON_FLAG } from '../flags.js';
import { unlessInterrupted, withInterrupts } from '../interrupts.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';
import { findWorkers, noWorkerWarning } from '../workers.js';

const DAY_SECONDS = 86_400;

/** `wan-video audit`: every task of the account, explained. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Compares the tasks that the provider lists for the account with the ledger, and says of each what it is. A ' +
        'task that is paid, ours by proof and not in the store (an orphan) is rescued, unless its video was archived ' +
        'before: that may have been deleted on purpose. Runs on a worker and buys nothing. Exit code 1 when there ' +
        'was an orphan.',
    )
    .option(
      '--since <time>',
      'tasks of the last 90m, 6h, …; 24h, the most that the provider lists, by default',
      duration('a time such as 90m or 6h, at most 24h', { minSeconds: 1, maxSeconds: DAY_SECONDS }),
      DAY_SECONDS,
    )
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExamples:\n  wan-video audit\n  wan-video audit --since 6h --json')
    .action(context.action(({ since }: { since: number }) => audit(since, context)));
}

async function audit(sinceSeconds: number, context: CommandContext): Promise<number> {
  const settings = new Settings(context.io);
  const taskQueue = settings.config().taskQueues.generate;
  const report = await withTemporal(await settings.target(), (client) =>
    withInterrupts(context.io, async ({ first }) => {
      const workers = await findWorkers(client, taskQueue, async () => undefined);
      const warning = noWorkerWarning(workers, taskQueue, client.options.namespace, true);
      if (warning !== undefined) context.say(warning);
      const work = runAudit(client, taskQueue, { since_seconds: sinceSeconds });
      return unlessInterrupted(work, first, 'The command ended; the audit continues, and rescues what it finds.');
    }),
  );
  if (context.json) {
    const lines = (await text(await settings.store().get(report.tasks_key))).split('\n');
    const tasks = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as AuditedTask);
    context.printJson({ ...report, explained: tasks });
  } else context.result(report, auditText(report));
  return report.counts.orphan > 0 ? ExitCode.failed : ExitCode.done;
}
