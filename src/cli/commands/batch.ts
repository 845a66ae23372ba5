import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { lineIssues } from '../../batch/manifest.js';
import { WanBatchClient } from '../../client/batch-client.js';
import { newBatchId } from '../../client/batch-options.js';
import type { StartedBatch } from '../../client/batch-start.js';
import { VideoRunError } from '../../client/run-error.js';
import type { Prices } from '../../config/prices.js';
import { BATCH_WINDOW, BATCH_WINDOW_MAX, type BatchControls } from '../../contract/batch.js';
import type { DeliveryReport } from '../../contract/delivery.js';
import { batchStatusText } from '../../text/batch.js';
import { startEstimateText } from '../../text/estimate.js';
import { ExitCode } from '../../text/exit-code.js';
import { awaitBatch, type BatchSession } from '../await-batch.js';
import { exportBatch, namePattern, printFailedLines, reportBatch } from '../batch-results.js';
import type { CommandContext } from '../context.js';
import { collect, DELIVER_FLAGS, deliveryReports, JSON_FLAG, linkTime, RECEIVER_FLAG, wholeNumber } from '../flags.js';
import { type Interrupts, unlessInterrupted, withInterrupts } from '../interrupts.js';
import { Settings } from '../settings.js';
import { withStagingStore } from '../with-temporal.js';

interface StartFlags {
  readonly id?: string;
  readonly window?: number;
  readonly allowInvalid?: boolean;
  readonly deliver?: string;
  readonly deliverReport?: readonly DeliveryReport[];
  readonly receiver?: string;
  readonly wait?: boolean;
  readonly dryRun?: boolean;
  readonly quiet?: boolean;
}

interface RetryFlags extends Pick<StartFlags, 'id' | 'window' | 'wait' | 'quiet'> {
  readonly cause?: readonly string[];
}

/**
 * A batch waits up to 2 min for its items, and a dead worker is replaced within 40 s; without any worker nothing ends.
 */
const CANCEL_WAIT_MS = 180_000;

/** `wan-video batch …`: many videos from one manifest. */
export function defineCommand(batch: Command, context: CommandContext): void {
  /** Makes an action that runs with the batch client of the configured store and queue. */
  const action = <A extends unknown[]>(run: (session: BatchSession, ...args: A) => Promise<number>) =>
    context.action(async (...args: A) => {
      const settings = new Settings(context.io);
      return withStagingStore(settings, (options) =>
        run({ client: options.client, batches: new WanBatchClient(options), settings, context }, ...args),
      );
    });
  const windowSize = wholeNumber(1, BATCH_WINDOW_MAX);

  batch
    .description(
      'Runs every line of a manifest (JSON Lines: one request per line, with optional item_id and comment) as its ' +
        'own run, a limited number at a time, and reports the outcome of each. See docs/batches.md.',
    )
    .addHelpText('after', '\nExample:\n  wan-video batch start videos.jsonl --id spring');

  batch
    .command('start')
    .summary('check a whole manifest, stage its images, start it')
    .description(
      'Checks every line and every image first; if there is any fault, nothing is sent and each fault is named by ' +
        "line. Paths of images start from the manifest's folder. If the batch exists, it is shown, or waited for, " +
        'and nothing is started; an id that belongs to another manifest is refused.',
    )
    .argument('<manifest>', 'a file of JSON lines')
    .option('--id <id>', 'name of the batch (default: made from the time)')
    .option('--window <n>', `items to run at a time, up to ${BATCH_WINDOW_MAX} (default: ${BATCH_WINDOW})`, windowSize)
    .option('--allow-invalid', 'leave out lines with faults instead of refusing the whole manifest')
    .option(...DELIVER_FLAGS.deliver)
    .option(...DELIVER_FLAGS.report, deliveryReports)
    .option(...RECEIVER_FLAG)
    .addOption(
      new Option('--wait', 'wait for its end with progress; exit code 1 when a line has no video').conflicts('dryRun'),
    )
    .option('--quiet', 'show no progress')
    .option('--dry-run', 'show what it would do, cost and take; stage, buy and start nothing')
    .option(...JSON_FLAG)
    .action(action(startBatch));

  batch
    .command('status')
    .summary('show the progress of a batch, its rate, expected end and cost so far')
    .argument('<batch>', 'id of the batch')
    .option(...JSON_FLAG)
    .action(
      action(async (session, id: string) => {
        const prices = await session.settings.prices();
        showStatus(await session.batches.status(id), session, prices);
        return ExitCode.done;
      }),
    );

  batch
    .command('watch')
    .summary('follow a batch to its end with counts, rate, expected end and cost')
    .description(
      'Follows a batch with progress and prints what it came to. Ctrl-C ends the command; the batch continues. Exit ' +
        'code 1 when a line has no video, 4 when only a budget had no room for one.',
    )
    .argument('<batch>', 'id of the batch')
    .option('--quiet', 'show no progress')
    .option(...JSON_FLAG)
    .action(
      action(async (session, id: string, { quiet = false }: { quiet?: boolean }) =>
        withInterrupts(context.io, (interrupts) => awaitBatch(id, session, interrupts, { quiet })),
      ),
    );

  batch
    .command('report')
    .summary('show every line with its outcome, and the totals')
    .argument('<batch>', 'id of the batch')
    .addOption(
      new Option('--format <format>', 'as a table (default), CSV, JSON, or a page to look at').choices([
        ...['table', 'csv', 'json', 'html'],
      ]),
    )
    .addOption(
      new Option('--expires <time>', 'with html and an S3 store: how long its videos can be seen, up to 7d')
        .argParser(linkTime)
        .default(86_400, '1d'),
    )
    .addHelpText('after', '\nExample:\n  wan-video batch report spring --format html > spring.html')
    .option(...JSON_FLAG)
    .action(
      action(
        async (
          { batches, settings },
          id: string,
          { format = 'table', expires }: { format?: string; expires: number },
        ) => reportBatch(id, { format: context.json ? 'json' : format, expires }, batches, settings, context),
      ),
    );

  batch
    .command('retry')
    .summary('start a new batch of the lines that failed for a temporary cause')
    .argument('<batch>', 'id of the batch')
    .option(
      '--cause <type>',
      'also run what failed for this cause; may be repeated; "all" for every line without a video',
      collect,
    )
    .option('--id <id>', 'name of the new batch (default: <batch>.retry-<n>)')
    .option('--window <n>', 'items to run at a time', windowSize)
    .option('--wait', 'wait for its end with progress; exit code 1 when a line has no video')
    .option('--quiet', 'show no progress')
    .option(...JSON_FLAG)
    .action(
      action(async (session, batchId: string, { cause = [], id, window, ...waits }: RetryFlags) => {
        const causes = cause.includes('all') ? 'all' : cause;
        return startAndReport(
          (signal) => session.batches.retry(batchId, { causes, id, window, signal }),
          id ?? `${batchId}.retry-<n>`,
          waits,
          session,
        );
      }),
    );

  batch
    .command('failed')
    .summary('print the lines without a video as a manifest to edit and start again')
    .description('Prints JSON lines; "comment", which is for people only, says why a line has no video.')
    .argument('<batch>', 'id of the batch')
    .option('--cause <type>', 'only what failed for this cause; may be repeated', collect)
    .option(...JSON_FLAG)
    .action(
      action(({ batches }, id: string, { cause = 'all' }: { cause?: readonly string[] | 'all' }) =>
        printFailedLines(id, cause, batches, context),
      ),
    );

  batch
    .command('export')
    .summary('copy the videos under readable names, with an index')
    .description(
      'Copies every video of a batch into a folder, together with an index.csv. A file that already exists is kept.',
    )
    .argument('<batch>', 'id of the batch')
    .requiredOption('--to <folder>', 'folder to copy to; it is created when it does not exist')
    .option('--name <pattern>', 'name of each file, with {item_id}, {line} and {task_id}', namePattern, '{item_id}.mp4')
    .option(...JSON_FLAG)
    .action(
      action(({ batches, settings }, id: string, flags: { to: string; name: string }) =>
        exportBatch(id, flags, batches, settings.store(), context),
      ),
    );

  batch
    .command('cancel')
    .summary('end a batch and all of its running items')
    .argument('<batch>', 'id of the batch')
    .option('--reason <text>', 'kept in the history of the batch', 'cancelled at the command')
    .option(...JSON_FLAG)
    .action(action((session, id: string, { reason }: { reason: string }) => cancelBatch(id, reason, session)));

  batch
    .command('pause')
    .summary('start no further items; running ones continue')
    .argument('<batch>', 'id of the batch')
    .option('--reason <text>', 'shown in its status', 'paused on request')
    .option(...JSON_FLAG)
    .action(
      action(async (session, id: string, { reason }: { reason: string }) => {
        noteUnanswered(await session.batches.pause(id, reason), session);
        showStatus(await session.batches.status(id), session);
        return ExitCode.done;
      }),
    );

  batch
    .command('resume')
    .summary('continue a paused batch, also one that was paused because of the account')
    .argument('<batch>', 'id of the batch')
    .option('--window <n>', 'from now on, items to run at a time', windowSize)
    .option(...JSON_FLAG)
    .action(
      action(async (session, id: string, { window }: { window?: number }) => {
        if (window !== undefined) noteUnanswered(await session.batches.setWindow(id, window), session);
        noteUnanswered(await session.batches.resume(id), session);
        showStatus(await session.batches.status(id), session);
        return ExitCode.done;
      }),
    );
}

const showStatus = (
  status: Parameters<typeof batchStatusText>[0],
  { context }: BatchSession,
  prices?: Prices | undefined,
): void => context.result(status, batchStatusText(status, prices));

function noteUnanswered(answer: BatchControls | null, { context }: BatchSession): void {
  if (answer === null) context.say('No worker has answered yet. Temporal keeps the request; it takes effect with one.');
}

async function startBatch(session: BatchSession, manifest: string, flags: StartFlags): Promise<number> {
  const { batches, settings, context } = session;
  const { id, window, allowInvalid, deliver, deliverReport: deliverReports, receiver, dryRun = false } = flags;
  const how = { id, window, allowInvalid, deliver, deliverReports, receiver };
  const source = { file: resolve(context.io.cwd, manifest) };
  if (!dryRun) {
    // Known before it is started, so that an interrupt can name it.
    const batchId = id ?? newBatchId(new Date());
    const options = { ...how, id: batchId };
    return startAndReport((signal) => batches.start(source, { ...options, signal }), batchId, flags, session);
  }
  const account = await settings.estimateAccount();
  const estimate = await batches.estimate(source, { ...how, account });
  context.result({ dry_run: true, ...estimate }, startEstimateText(estimate));
  return ExitCode.done;
}

/** Starts a batch, which an interrupt stops as long as nothing is started, and reports it or waits for its end. */
async function startAndReport(
  start: (signal: AbortSignal) => Promise<StartedBatch>,
  id: string,
  waits: Pick<StartFlags, 'wait' | 'quiet'>,
  session: BatchSession,
): Promise<number> {
  return withInterrupts(session.context.io, async (interrupts) => {
    const look = `"wan-video batch status ${id}" says whether it began`;
    const message = `Interrupted while the batch was being prepared; ${look}.`;
    const started = await unlessInterrupted(start(interrupts.first), interrupts.first, message);
    return reportStart(started, waits, session, interrupts);
  });
}

async function reportStart(
  started: StartedBatch,
  { wait = false, quiet = false }: Pick<StartFlags, 'wait' | 'quiet'>,
  session: BatchSession,
  interrupts: Interrupts,
): Promise<number> {
  const { batches, context } = session;
  const { batch_id, already_existed, items, duplicates, invalid } = started;
  if (already_existed && !wait) {
    const status = await batches.status(batch_id);
    context.result(
      { ...started, ...status },
      `The batch ${batch_id} already exists; nothing was started.\n${batchStatusText(status)}`,
    );
    return ExitCode.done;
  }
  for (const { path, message } of lineIssues(invalid)) context.say(`left out: ${path}: ${message}`);
  const shared = duplicates === 0 ? '' : `, ${duplicates} of them share the video of an earlier line`;
  const found = already_existed ? ', which already existed; nothing was started' : '';
  const head = `batch     ${batch_id}${found}\nitems     ${items}${shared}`;
  if (!wait) {
    context.result(started, `${head}\nfollow    wan-video batch watch ${batch_id}`);
    return ExitCode.done;
  }
  context.say(head);
  return awaitBatch(batch_id, session, interrupts, { quiet });
}

async function cancelBatch(id: string, reason: string, session: BatchSession): Promise<number> {
  const { batches, settings, context } = session;
  const prices = await settings.prices();
  const { status } = await batches.status(id);
  if (status === 'running') {
    await batches.cancel(id, reason);
    const timer = new AbortController();
    const late = sleep(CANCEL_WAIT_MS, undefined, { signal: timer.signal }).catch(() => undefined);
    const ended = batches.result(id).catch((error: unknown) => {
      if (!(error instanceof VideoRunError)) throw error;
    });
    await Promise.race([ended, late]).finally(() => timer.abort());
  } else context.say(`The batch ${id} had already ended.`);
  const end = await batches.status(id);
  showStatus(end, session, prices);
  return end.status === 'cancelled' ? ExitCode.done : ExitCode.failed;
}
