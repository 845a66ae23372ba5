import { type Command, InvalidArgumentError, Option } from 'commander';
import { BATCH_WINDOW, BATCH_WINDOW_MAX } from '../../contract/batch.js';
import type { CommandContext } from '../context.js';

/** Flags of `batch start`. */
export interface BatchStartFlags {
  readonly id?: string;
  readonly window?: number;
  readonly allowInvalid?: boolean;
  readonly wait?: boolean;
  readonly dryRun?: boolean;
}

const JSON_FLAG = ['--json', 'one JSON document on stdout, also for errors'] as const;

/** `wan-video batch …`: many videos from one manifest. */
export function addBatch(program: Command, context: CommandContext): void {
  const batch = program
    .command('batch')
    .summary('many videos from one manifest: start, status, report, retry, …')
    .description(
      'Runs every line of a manifest (JSON Lines: a request per line, with optional item_id and comment) as a run of its own, so many ' +
        'at a time, and reports what became of each. See docs/batches.md.',
    )
    .addHelpText('after', '\nExample:\n  wan-video batch start videos.jsonl --id spring');
  const run = () => import('./batch-run.js');

  batch
    .command('start')
    .summary('check a manifest whole, stage its images, start it')
    .description(
      'Checks every line and every image first; with any fault nothing is sent and each is named by line. Paths of images start from ' +
        "the manifest's folder. A batch id that exists is shown, not started again.",
    )
    .argument('<manifest>', 'a file of JSON lines')
    .option('--id <id>', 'name of the batch (default: made of the time)')
    .option('--window <n>', `items in work at a time, up to ${BATCH_WINDOW_MAX} (default: ${BATCH_WINDOW})`, windowSize)
    .option('--allow-invalid', 'leave out lines with faults instead of refusing the whole')
    .addOption(new Option('--wait', 'wait for its end; exit code 1 when a line has no video').conflicts('dryRun'))
    .option('--dry-run', 'say what it would do, cost and take; stage, buy and start nothing')
    .option(...JSON_FLAG)
    .action(
      context.action(async (file: string, flags: BatchStartFlags) => (await run()).startBatch(file, flags, context)),
    );

  batch
    .command('status')
    .summary('how far a batch is, its rate, expected end and cost so far')
    .argument('<batch>', 'id of the batch')
    .option(...JSON_FLAG)
    .action(context.action(async (id: string) => (await run()).batchStatus(id, context)));

  batch
    .command('report')
    .summary('every line with its outcome, and the totals')
    .argument('<batch>', 'id of the batch')
    .addOption(new Option('--format <format>', 'as a table (default), CSV or JSON').choices(['table', 'csv', 'json']))
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, { format }: { format?: string }) =>
        (await run()).batchReport(id, format ?? 'table', context),
      ),
    );

  batch
    .command('retry')
    .summary('run again, as a batch of its own, what failed for a cause that can pass')
    .argument('<batch>', 'id of the batch')
    .option(
      '--cause <type>',
      'run what failed for this cause too; may be repeated; "all" for every line without a video',
      collected,
    )
    .option('--id <id>', 'name of the new batch (default: <batch>.retry-<n>)')
    .option('--window <n>', 'items in work at a time', windowSize)
    .option('--wait', 'wait for its end; exit code 1 when a line has no video')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, flags: BatchStartFlags & { cause?: string[] }) =>
        (await run()).retryBatch(id, flags, context),
      ),
    );

  batch
    .command('failed')
    .summary('the lines without a video as a manifest to edit and start again')
    .description('Prints JSON lines; each says in "comment", which is for people only, why there is no video.')
    .argument('<batch>', 'id of the batch')
    .option('--cause <type>', 'only what failed for this cause; may be repeated', collected)
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, { cause }: { cause?: string[] }) =>
        (await run()).failedLines(id, cause, context),
      ),
    );

  batch
    .command('export')
    .summary('copy the videos under readable names, with an index')
    .description(
      'Copies every video of a batch into a folder, and writes index.csv beside them. A file that is there already is kept.',
    )
    .argument('<batch>', 'id of the batch')
    .requiredOption('--to <folder>', 'where to; made when it is missing')
    .option('--name <pattern>', 'of each file, with {item_id}, {line} and {task_id}', '{item_id}.mp4')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, flags: { to: string; name: string }) =>
        (await run()).exportBatch(id, flags, context),
      ),
    );

  batch
    .command('cancel')
    .summary('end a batch and everything of it that is in work')
    .argument('<batch>', 'id of the batch')
    .option('--reason <text>', 'kept in the history of the batch', 'cancelled at the command')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, { reason }: { reason: string }) =>
        (await run()).cancelBatch(id, reason, context),
      ),
    );

  batch
    .command('pause')
    .summary('start nothing further; what is in work goes on')
    .argument('<batch>', 'id of the batch')
    .option('--reason <text>', 'shown in its status', 'somebody asked for it')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, { reason }: { reason: string }) =>
        (await run()).steerBatch(id, (batches) => batches.pause(id, reason), context),
      ),
    );

  batch
    .command('resume')
    .summary('go on, also after a pause for the account')
    .argument('<batch>', 'id of the batch')
    .option('--window <n>', 'from now on so many items in work at a time', windowSize)
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, { window }: { window?: number }) =>
        (await run()).steerBatch(
          id,
          async (batches) => {
            if (window !== undefined) await batches.setWindow(id, window);
            await batches.resume(id);
          },
          context,
        ),
      ),
    );
}

function windowSize(text: string): number {
  const value = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > BATCH_WINDOW_MAX) {
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${BATCH_WINDOW_MAX}.`);
  }
  return value;
}

const collected = (text: string, texts: string[] = []): string[] => [...texts, text];
