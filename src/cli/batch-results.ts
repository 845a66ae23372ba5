import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { WanBatchClient } from '../client/batch-client.js';
import { cleanLines } from '../contract/safe-text.js';
import { invalidRequest } from '../contract/validate.js';
import { batchCountLines, deliveryLines } from '../report/batch-counts.js';
import { csvReport, jsonReport, pageReport } from '../report/batch-documents.js';
import { BATCH_CSV_HEAD, BATCH_TABLE_HEAD, batchCsvRow, batchTableRow } from '../report/batch-rows.js';
import { CSV_START, csvLine } from '../report/csv.js';
import { AssetLinks } from '../storage/asset-links.js';
import type { AssetStore } from '../storage/asset-store.js';
import { isKeySegment } from '../storage/store-key.js';
import { ExitCode } from '../text/exit-code.js';
import { table } from '../text/table.js';
import type { CommandContext } from './context.js';
import { saveVideo } from './save-video.js';
import type { Settings } from './settings.js';

/** How `batch report` is written. */
interface ReportForm {
  readonly format: string;
  /** Seconds for which the addresses in a page are valid that have to be signed. */
  readonly expires: number;
}

/** `batch report`: every line with its outcome, and the totals. */
export async function reportBatch(
  batchId: string,
  { format, expires }: ReportForm,
  batches: WanBatchClient,
  settings: Settings,
  context: CommandContext,
): Promise<number> {
  const prices = await settings.prices();
  const { progress, summary } = await batches.status(batchId);
  const totals = summary ?? progress;
  const rows = batches.report(batchId);
  const { stdout } = context.io;
  const head = { batchId, summary, totals, prices };
  if (format === 'json') context.printJson(await jsonReport(head, rows));
  else if (format === 'csv') for await (const line of csvReport(rows)) stdout.write(line);
  else if (format === 'html') {
    const madeAtMs = Date.now();
    const links = new AssetLinks(settings.store(), expires);
    const expireAtMs = () => (links.areSigned ? madeAtMs + expires * 1000 : null);
    stdout.write(await pageReport(head, rows, { of: (key) => links.of(key), madeAtMs, expireAtMs }));
  } else {
    const ended = summary !== null;
    const lines: string[][] = [];
    for await (const row of rows) lines.push(batchTableRow(row, ended));
    const below = totals === null ? [] : ['', ...batchCountLines(totals, prices, ended)];
    const text = [table(BATCH_TABLE_HEAD, lines), ...below, ...deliveryLines(summary?.delivery)].join('\n');
    stdout.write(`${cleanLines(text)}\n`);
  }
  return ExitCode.done;
}

/** `batch failed`: the lines without a video, as a manifest. */
export async function printFailedLines(
  batchId: string,
  causes: readonly string[] | 'all',
  batches: WanBatchClient,
  context: CommandContext,
): Promise<number> {
  const lines: Record<string, unknown>[] = [];
  for await (const line of batches.failedLines(batchId, { causes })) {
    if (context.json) lines.push(line);
    else context.printJson(line);
  }
  if (context.json) context.result({ batch_id: batchId, lines }, '');
  return ExitCode.done;
}

/** `batch export`: copies the videos into a folder, with an index. */
export async function exportBatch(
  batchId: string,
  { to, name }: { readonly to: string; readonly name: string },
  batches: WanBatchClient,
  store: AssetStore,
  context: CommandContext,
): Promise<number> {
  const folder = resolve(context.io.cwd, to);
  await mkdir(folder, { recursive: true });
  const index: string[] = [csvLine(['file', ...BATCH_CSV_HEAD])];
  const files = new Set<string>();
  let copied = 0;
  for await (const row of batches.report(batchId)) {
    const { video_url, sha256, task_id } = row;
    if (video_url === null || sha256 === null || task_id === null) continue;
    const file = fileName(name, { ...row, task_id });
    if (files.has(file.toLowerCase())) {
      throw invalidRequest([{ path: '--name', message: `gives two videos the name ${file}; use {item_id} in it` }]);
    }
    files.add(file.toLowerCase());
    const path = join(folder, file);
    if ((await stat(path).catch(() => undefined)) === undefined) {
      await saveVideo({ video_url, sha256, task_id }, store, path, context.io.cwd);
      copied += 1;
    }
    index.push(csvLine([file, ...batchCsvRow(row)]));
  }
  await writeFile(join(folder, 'index.csv'), `${CSV_START}${index.join('\r\n')}\r\n`);
  const videos = files.size;
  context.result(
    { batch_id: batchId, folder, videos, copied, index: join(folder, 'index.csv') },
    `${videos} videos in ${folder}, of which ${copied} were copied now; index.csv lists them`,
    [folder],
  );
  return ExitCode.done;
}

/** Parser of `--name`. */
export function namePattern(text: string): string {
  if (isKeySegment(fileName(text, { item_id: 'a', line: 1, task_id: 'b' }))) return text;
  throw new InvalidArgumentError(
    'It must be a plain file name made of {item_id}, {line}, {task_id}, letters, digits, dots, dashes and underscores.',
  );
}

const fileName = (
  pattern: string,
  { item_id, line, task_id }: { readonly item_id: string; readonly line: number; readonly task_id: string },
): string =>
  pattern.replaceAll('{item_id}', item_id).replaceAll('{line}', String(line)).replaceAll('{task_id}', task_id);
