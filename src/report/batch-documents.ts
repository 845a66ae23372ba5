import type { BatchRow } from '../batch/batch-files.js';
import { type Prices, totalAmount } from '../config/prices.js';
import type { BatchSummary } from '../contract/batch.js';
import type { BatchTotals } from '../contract/batch-totals.js';
import { deliveredKey, posterKey } from '../storage/keys.js';
import { batchCountLines, deliveryLines } from './batch-counts.js';
import { BATCH_CSV_HEAD, batchCsvRow } from './batch-rows.js';
import { CSV_START, csvLine } from './csv.js';
import { type PageRow, reportPage } from './report-page.js';

/** What a document says of its batch as a whole. */
export interface DocumentHead {
  readonly batchId: string;
  /** Null until the batch has ended. */
  readonly summary: BatchSummary | null;
  /** Null when nobody answers. */
  readonly totals: BatchTotals | null;
  readonly prices: Prices | undefined;
}

type Rows = AsyncIterable<BatchRow>;

/** The report as CSV, line by line. */
export async function* csvReport(rows: Rows): AsyncGenerator<string> {
  yield `${CSV_START}${csvLine(BATCH_CSV_HEAD)}\r\n`;
  for await (const row of rows) yield `${csvLine(batchCsvRow(row))}\r\n`;
}

/** The report as one value for JSON. */
export async function jsonReport({ batchId, summary, totals, prices }: DocumentHead, rows: Rows) {
  const items: BatchRow[] = [];
  for await (const row of rows) items.push(row);
  const money = totals === null || prices === undefined ? null : totalAmount(prices, totals.billed);
  return { batch_id: batchId, summary, totals, money, items };
}

/** The addresses in a page. */
export interface PageLinks {
  /** The address of an object of the store. */
  readonly of: (key: string) => Promise<string>;
  readonly madeAtMs: number;
  /** Milliseconds since the epoch at which the addresses expire that {@link of} has made; null: never. */
  readonly expireAtMs: () => number | null;
}

/** The report as a page to look at. */
export async function pageReport(head: DocumentHead, rows: Rows, links: PageLinks): Promise<string> {
  const { batchId, summary, totals, prices } = head;
  const ended = summary !== null;
  const lines: PageRow[] = [];
  for await (const row of rows) lines.push(await pageRow(row, links));
  const facts = [
    ...(totals === null ? [] : batchCountLines(totals, prices, ended)),
    ...deliveryLines(summary?.delivery),
  ];
  const { madeAtMs } = links;
  return reportPage({ batchId, facts, ended, prices, madeAtMs, linksExpireAtMs: links.expireAtMs() }, lines);
}

async function pageRow(row: BatchRow, links: PageLinks): Promise<PageRow> {
  const { video_url, poster_url, task_id, reference_image, file } = row;
  const reference = reference_image?.startsWith(ASSET) === true ? reference_image.slice(ASSET.length) : null;
  const video = video_url === null || task_id === null ? null : { task_id, key: deliveredKey({ task_id, video_url }) };
  return {
    row,
    video: video === null ? null : await links.of(file ?? video.key),
    poster: video === null || poster_url === undefined ? null : await links.of(posterKey(video.task_id, video.key)),
    reference: reference === null ? null : await links.of(reference),
  };
}

/** Begins a reference that is in the store. */
const ASSET = 'asset:';
