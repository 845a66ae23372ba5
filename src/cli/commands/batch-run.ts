import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchRow } from '../../batch/batch-files.js';
import { lineIssues } from '../../batch/manifest.js';
import { type BatchStatus, type StartedBatch, WanBatchClient } from '../../client/batch-client.js';
import { VideoRunError } from '../../client/run-error.js';
import { type Prices, totalAmount } from '../../config/prices.js';
import type { BatchCounts, BatchSummary } from '../../contract/batch.js';
import { schedulePauseText } from '../../contract/schedule-pause.js';
import { invalidRequest } from '../../contract/validate.js';
import { isKeySegment } from '../../storage/store-key.js';
import { amountText } from '../../text/amount.js';
import { csvLine } from '../../text/csv.js';
import { accountOf, startEstimateText } from '../../text/estimate.js';
import { ExitCode } from '../../text/exit-code.js';
import { table } from '../../text/table.js';
import type { CommandContext } from '../context.js';
import { saveVideo } from '../save-video.js';
import type { BatchStartFlags } from './batch.js';

/** Connects, and makes the batch client of the configured store and queue. */
async function withBatches<T>(context: CommandContext, use: (batches: WanBatchClient) => Promise<T>): Promise<T> {
  const { taskQueues } = await context.config();
  const store = await context.stagingStore();
  return context.temporal(({ client }) => use(new WanBatchClient({ client, store, taskQueue: taskQueues.generate })));
}

/** `batch start` */
export async function startBatch(file: string, flags: BatchStartFlags, context: CommandContext): Promise<number> {
  const { id, window, allowInvalid, wait, dryRun } = flags;
  return withBatches(context, async (batches) => {
    if (dryRun === true) {
      const account = await accountOf(context);
      const source = { file: resolve(context.io.cwd, file) };
      const estimate = await batches.estimate(source, { id, window, allowInvalid, account });
      context.result({ dry_run: true, ...estimate }, startEstimateText(estimate));
      return ExitCode.done;
    }
    const started = await batches.start({ file: resolve(context.io.cwd, file) }, { id, window, allowInvalid });
    return tellStarted(started, wait === true, batches, context);
  });
}

/** `batch retry` */
export async function retryBatch(
  batchId: string,
  { cause = [], id, window, wait }: BatchStartFlags & { readonly cause?: readonly string[] },
  context: CommandContext,
): Promise<number> {
  return withBatches(context, async (batches) => {
    const causes = cause.includes('all') ? 'all' : cause;
    const started = await batches.retry(batchId, { causes, id, window });
    return tellStarted(started, wait === true, batches, context);
  });
}

async function tellStarted(
  started: StartedBatch,
  wait: boolean,
  batches: WanBatchClient,
  context: CommandContext,
): Promise<number> {
  const { batch_id, already_existed, items, duplicates, invalid } = started;
  if (already_existed) {
    const status = await batches.status(batch_id);
    context.result(
      { ...started, ...status },
      [`The batch ${batch_id} exists; nothing was started.`, ...statusLines(status)].join('\n'),
    );
    return ExitCode.done;
  }
  for (const { path, message } of lineIssues(invalid)) context.say(`left out: ${path}: ${message}`);
  const shared = duplicates === 0 ? '' : `, ${duplicates} of them share the video of an earlier line`;
  const text = `batch     ${batch_id}\nitems     ${items}${shared}\nfollow    wan-video batch status ${batch_id}`;
  if (!wait) {
    context.result(started, text);
    return ExitCode.done;
  }
  context.say(text);
  const summary = await batches.result(batch_id);
  context.result(summary, summaryLines(summary, await context.prices()).join('\n'));
  const { failed, cancelled, needs_attention, budget_reached, invalid: leftOut } = summary.counts;
  if (failed + cancelled + needs_attention + leftOut > 0) return ExitCode.failed;
  return budget_reached > 0 ? ExitCode.budget : ExitCode.done;
}

/** `batch status` */
export async function batchStatus(batchId: string, context: CommandContext): Promise<number> {
  const prices = await context.prices();
  return withBatches(context, async (batches) => {
    const status = await batches.status(batchId);
    context.result(status, statusLines(status, prices).join('\n'));
    return ExitCode.done;
  });
}

/** `batch report` */
export async function batchReport(batchId: string, format: string, context: CommandContext): Promise<number> {
  const prices = await context.prices();
  return withBatches(context, async (batches) => {
    const { progress, summary } = await batches.status(batchId);
    const totals = summary ?? progress;
    const rows = batches.report(batchId);
    const { stdout } = context.io;
    if (context.json || format === 'json') {
      const items: BatchRow[] = [];
      for await (const row of rows) items.push(row);
      const money = totals === null || prices === undefined ? null : totalAmount(prices, totals.billed);
      stdout.write(`${JSON.stringify({ batch_id: batchId, summary, totals, money, items })}\n`);
      return ExitCode.done;
    }
    if (format === 'csv') {
      stdout.write(`${csvLine(CSV_HEAD)}\r\n`);
      for await (const row of rows) stdout.write(`${csvLine(csvRow(row))}\r\n`);
      return ExitCode.done;
    }
    const lines: string[][] = [];
    for await (const row of rows) lines.push(tableRow(row, summary !== null));
    const head = ['LINE', 'ITEM', 'OUTCOME', 'CAUSE', 'BILLED', 'SECONDS', 'VIDEO'];
    const below = totals === null ? [] : ['', ...countLines(totals, prices, summary !== null)];
    context.result(null, [table(head, lines), ...below].join('\n'));
    return ExitCode.done;
  });
}

/** `batch failed` */
export async function failedLines(
  batchId: string,
  cause: readonly string[] | undefined,
  context: CommandContext,
): Promise<number> {
  return withBatches(context, async (batches) => {
    const lines: Record<string, unknown>[] = [];
    for await (const line of batches.failed(batchId, { causes: cause ?? 'all' })) {
      if (context.json) lines.push(line);
      else context.io.stdout.write(`${JSON.stringify(line)}\n`);
    }
    if (context.json) context.result({ batch_id: batchId, lines }, '');
    return ExitCode.done;
  });
}

/** `batch export` */
export async function exportBatch(
  batchId: string,
  { to, name }: { readonly to: string; readonly name: string },
  context: CommandContext,
): Promise<number> {
  const folder = resolve(context.io.cwd, to);
  if (!isKeySegment(fileName(name, { item_id: 'a', line: 1, task_id: 'b' }))) {
    const message =
      'must be a plain file name made of {item_id}, {line}, {task_id}, letters, digits, dots, dashes and underscores';
    throw invalidRequest([{ path: '--name', message }]);
  }
  return withBatches(context, async (batches) => {
    const store = await context.store();
    await mkdir(folder, { recursive: true });
    const index: string[] = [csvLine(['file', ...CSV_HEAD])];
    const files = new Set<string>();
    let copied = 0;
    for await (const row of batches.report(batchId)) {
      const { video_url, sha256, task_id } = row;
      if (video_url === null || sha256 === null || task_id === null) continue;
      const file = fileName(name, { ...row, task_id });
      if (files.has(file.toLowerCase())) {
        throw invalidRequest([{ path: '--name', message: `gives two videos the name ${file}; make it of {item_id}` }]);
      }
      files.add(file.toLowerCase());
      const path = join(folder, file);
      if ((await stat(path).catch(() => undefined)) === undefined) {
        await saveVideo({ video_url, sha256, task_id }, store, path, context.io.cwd);
        copied += 1;
      }
      index.push(csvLine([file, ...csvRow(row)]));
    }
    await writeFile(join(folder, 'index.csv'), `${index.join('\r\n')}\r\n`);
    const videos = files.size;
    context.result(
      { batch_id: batchId, folder, videos, copied, index: join(folder, 'index.csv') },
      `${videos} videos in ${folder}, ${copied} of them copied now; their list is index.csv`,
    );
    return ExitCode.done;
  });
}

const fileName = (
  pattern: string,
  { item_id, line, task_id }: { readonly item_id: string; readonly line: number; readonly task_id: string },
): string =>
  pattern.replaceAll('{item_id}', item_id).replaceAll('{line}', String(line)).replaceAll('{task_id}', task_id);

/** A batch waits up to 2 min for its items, and a dead worker is replaced within 40 s; without any worker nothing ends. */
const CANCEL_WAIT_MS = 180_000;

/** `batch cancel` */
export async function cancelBatch(batchId: string, reason: string, context: CommandContext): Promise<number> {
  const prices = await context.prices();
  return withBatches(context, async (batches) => {
    const { status } = await batches.status(batchId);
    if (status === 'running') {
      await batches.cancel(batchId, reason);
      const timer = new AbortController();
      const late = sleep(CANCEL_WAIT_MS, undefined, { signal: timer.signal }).catch(() => undefined);
      const ended = batches.result(batchId).catch((error: unknown) => {
        if (!(error instanceof VideoRunError)) throw error;
      });
      await Promise.race([ended, late]).finally(() => timer.abort());
    }
    const end = await batches.status(batchId);
    if (status !== 'running') context.say(`The batch ${batchId} had ended already.`);
    context.result(end, statusLines(end, prices).join('\n'));
    return end.status === 'cancelled' ? ExitCode.done : ExitCode.failed;
  });
}

/** `batch pause`, `batch resume` */
export async function steerBatch(
  batchId: string,
  steer: (batches: WanBatchClient) => Promise<void>,
  context: CommandContext,
): Promise<number> {
  return withBatches(context, async (batches) => {
    await steer(batches);
    const status = await batches.status(batchId);
    context.result(status, statusLines(status).join('\n'));
    return ExitCode.done;
  });
}

function statusLines({ batch_id, status, progress, summary }: BatchStatus, prices?: Prices): string[] {
  if (summary !== null) return summaryLines(summary, prices);
  const head = [`batch     ${batch_id}`, `status    ${progress?.stage ?? status}`];
  if (progress === null) return [...head, 'No worker answers; start one with "wan-video worker".'];
  const { in_flight, waiting, window, items_per_minute, eta_ms, pause, attention } = progress;
  return [
    ...head,
    `in work   ${in_flight} of a window of ${window}, ${waiting} waiting`,
    ...countLines(progress, prices, false),
    ...(items_per_minute === null ? [] : [`rate      ${items_per_minute.toFixed(1)} items per minute`]),
    ...(eta_ms === null ? [] : [`done      about ${new Date(eta_ms).toISOString().slice(0, 16)}Z`]),
    ...(pause === null ? [] : [`paused    ${pause.cause === null ? '' : `${pause.cause}: `}${pause.reason}`]),
    ...(pause === null ? [] : [`go on     wan-video batch resume ${batch_id}`]),
    ...attention.map((run) => `decide    wan-video status ${run}`),
  ];
}

function summaryLines(summary: BatchSummary, prices: Prices | undefined): string[] {
  const { batch_id, outcome, started_at_ms, ended_at_ms, retry_of, schedule_pause } = summary;
  const schedule = schedule_pause == null ? null : schedulePauseText(schedule_pause);
  return [
    `batch     ${batch_id}${retry_of === null ? '' : `, again what failed in ${retry_of}`}`,
    `outcome   ${outcome === 'manifest_missing' ? 'the manifest was not there; nothing was run' : outcome}`,
    `took      ${Math.round((ended_at_ms - started_at_ms) / 1000)} s, until ${new Date(ended_at_ms).toISOString()}`,
    ...countLines(summary, prices, true),
    ...(schedule === null ? [] : [`schedule  ${schedule.text}`, `next      ${schedule.nextStep}`]),
  ];
}

/** Lines that a cancelled batch never began; no count has them. */
function notRun({ total, ...others }: BatchCounts): number {
  return total - Object.values(others).reduce((sum, count) => sum + count, 0);
}

function countLines(
  { counts, causes, billed, maybe_billed }: Pick<BatchSummary, 'counts' | 'causes' | 'billed' | 'maybe_billed'>,
  prices: Prices | undefined,
  ended: boolean,
): string[] {
  const { total, ...others } = counts;
  const named = (Object.keys(others) as (keyof BatchCounts)[]).filter((name) => counts[name] > 0);
  const left = ended ? notRun(counts) : 0;
  const list = [
    ...named.map((name) => `${counts[name]} ${name.replace('_', ' ')}`),
    ...(left > 0 ? [`${left} not run`] : []),
  ].join(', ');
  const money = prices === undefined ? null : totalAmount(prices, billed);
  return [
    `lines     ${total}${list === '' ? '' : `: ${list}`}`,
    ...Object.entries(causes).map(([cause, count]) => `failed    ${count} ${cause}`),
    ...billed.map(
      ({ seconds, resolution, audio }) => `billed    ${seconds} s at ${resolution}, ${audio ? 'with sound' : 'silent'}`,
    ),
    ...(money === null ? [] : [`amount    ${amountText(money.amount)} ${money.currency}`]),
    ...(maybe_billed === 0 ? [] : [`unsure    whether ${maybe_billed} items are billed is not known yet`]),
  ];
}

function tableRow(row: BatchRow, ended: boolean): string[] {
  const { line, item_id, same_as, cause, code, billed, billed_seconds, duration, video_url, message } = row;
  const outcome = ended && row.outcome === 'open' ? 'not run' : row.outcome.replace('_', ' ');
  return [
    String(line),
    item_id === '' ? '-' : item_id,
    same_as === null ? outcome : `${outcome} (as ${same_as})`,
    cause === null ? '-' : code === null ? cause : `${cause} (${code})`,
    billed === null ? 'unknown' : `${billed_seconds} s`,
    duration === null ? '-' : String(duration),
    video_url ?? message ?? '-',
  ];
}

const CSV_HEAD = [
  ...['line', 'item_id', 'outcome', 'same_as', 'cause', 'code', 'message', 'billed', 'billed_seconds', 'resolution'],
  ...['audio', 'duration', 'queued_seconds', 'rendering_seconds', 'started_at', 'ended_at', 'task_id', 'video_url'],
  ...['run', 'tenant', 'labels'],
];

function csvRow(row: BatchRow): (string | number)[] {
  const time = (ms: number | null) => (ms === null || ms === 0 ? '' : new Date(ms).toISOString());
  const { timings, labels } = row;
  return [
    ...[row.line, row.item_id, row.outcome, row.same_as ?? '', row.cause ?? '', row.code ?? '', row.message ?? ''],
    ...[row.billed === null ? 'unknown' : row.billed ? 'yes' : 'no', row.billed_seconds, row.resolution ?? ''],
    ...[row.resolution === null ? '' : row.audio ? 'sound' : 'silent', row.duration ?? ''],
    ...[timings?.queued ?? '', timings?.rendering ?? '', time(row.started_at_ms), time(row.ended_at_ms)],
    ...[row.task_id ?? '', row.video_url ?? '', row.run ?? '', row.tenant ?? ''],
    Object.entries(labels)
      .map(([name, value]) => `${name}=${value}`)
      .join(' '),
  ];
}
