import { posix } from 'node:path';
import { mapParallel } from '../async/map-parallel.js';
import { type BatchRow, reportRows, writeUndelivered } from '../batch/batch-files.js';
import { DeliveryNames, writeName } from '../batch/delivery-names.js';
import type { Prices } from '../config/prices.js';
import type { BatchSummary } from '../contract/batch.js';
import { PRESIGN_SECONDS_MAX } from '../contract/bounds.js';
import {
  type BatchDelivery,
  type BatchDeliveryPlan,
  type DeliveryProblem,
  type DeliveryReport,
  deliveryFolder,
} from '../contract/delivery.js';
import { VideoError } from '../contract/video-error.js';
import { csvReport, type DocumentHead, jsonReport, type PageLinks, pageReport } from '../report/batch-documents.js';
import { AssetLinks } from '../storage/asset-links.js';
import type { AssetStore, StoreOptions } from '../storage/asset-store.js';
import { contentHash } from '../storage/content-hash.js';
import { type CopyResult, copyAsset } from '../storage/copy-asset.js';
import { batchDocumentKey, deliveredKey } from '../storage/keys.js';

/** How far a delivery is: lines of the report, in its order. */
export interface DeliveryProgress {
  readonly rows: number;
  readonly files: number;
  readonly missing: number;
  readonly problems: readonly DeliveryProblem[];
}

/** A delivery to make. */
export interface Delivery {
  readonly summary: BatchSummary;
  readonly plan: BatchDeliveryPlan;
  readonly prices: Prices | undefined;
  /** How far an earlier attempt came; those lines are not looked at again. */
  readonly from?: DeliveryProgress | undefined;
  readonly onProgress?: ((progress: DeliveryProgress) => void) | undefined;
  readonly nowMs: number;
}

/** Some 30 ms each at an S3 server, whose own work the copies are. */
const COPIES_AT_ONCE = 8;
/** Problems that an attempt hands to the next one; with more, the next one looks at the later lines again. */
const PROBLEMS_KEPT = 200;
/** Problems in the batch's summary, which is a payload. */
const PROBLEMS_SHOWN = 20;
/** Faults of the store after which an attempt ends. */
const FAULTS_MAX = 8;

const CONTENT_TYPES: Readonly<Record<DeliveryReport, string>> = {
  csv: 'text/csv; charset=utf-8',
  html: 'text/html; charset=utf-8',
  json: 'application/json',
};

const WHY: Readonly<Record<Exclude<CopyResult, 'copied' | 'present'>, string>> = {
  taken: 'another file has this name already, and is kept',
  damaged: 'the video in the store is not the one that was archived, or was damaged while it was copied',
  missing: 'the video is not in the store any more',
};

/**
 * Copies each video of a batch to its name, then writes the documents next to them. Every part may be done again: what
 * is there with the right content stays, and nothing else is ever replaced.
 * @throws what the store rejects with, once the other lines are delivered; the next attempt goes on from there.
 */
export async function deliverBatch(
  store: AssetStore,
  delivery: Delivery,
  options: StoreOptions = {},
): Promise<BatchDelivery> {
  const { summary, plan } = delivery;
  const progress = await deliverVideos(store, delivery, options);
  await writeUndelivered(store, summary.batch_id, progress.problems, options);
  const folder = deliveryFolder(plan.pattern);
  const documents = plan.reports.map((format) => ({ format, key: documentName(folder, summary.batch_id, format) }));
  const delivered = (problems: readonly DeliveryProblem[], reports: readonly string[]): BatchDelivery => ({
    pattern: plan.pattern,
    folder_url: store.url(folder),
    files: progress.files,
    missing: progress.missing,
    undelivered: problems.filter(({ item_id }) => item_id !== null).length,
    problems: problems.slice(0, PROBLEMS_SHOWN),
    reports: reports.map((key) => store.url(key)),
    failure: null,
  });
  const keys = documents.map(({ key }) => key);
  const head: DocumentHead = {
    batchId: summary.batch_id,
    summary: { ...summary, delivery: delivered(progress.problems, keys) },
    totals: summary,
    prices: delivery.prices,
  };
  const problems = [...progress.problems];
  const written: string[] = [];
  for (const { format, key } of documents) {
    const from = batchDocumentKey(summary.batch_id, format);
    const sha256 = await makeDocument(store, format, head, { folder, nowMs: delivery.nowMs, key: from }, options);
    const outcome = await copyAsset(store, { from, to: key, sha256, contentType: CONTENT_TYPES[format] }, options);
    if (outcome === 'copied' || outcome === 'present') written.push(key);
    else problems.push({ item_id: null, key, message: WHY[outcome] });
  }
  return delivered(problems, written);
}

async function deliverVideos(store: AssetStore, delivery: Delivery, options: StoreOptions): Promise<DeliveryProgress> {
  const { summary, plan, from, onProgress } = delivery;
  const names = new DeliveryNames(plan.pattern);
  let done: DeliveryProgress = from ?? { rows: 0, files: 0, missing: 0, problems: [] };
  const faults: VideoError[] = [];
  const rows = rowsAfter(store, summary.batch_id, done.rows, options);
  const results = mapParallel(rows, COPIES_AT_ONCE, (row) =>
    deliverRow(store, row, names, options).catch((error: unknown) => {
      if (options.signal?.aborted || !(error instanceof VideoError)) throw error;
      return error;
    }),
  );
  for await (const result of results) {
    if (result instanceof VideoError) {
      faults.push(result);
      if (faults.length >= FAULTS_MAX) break;
      continue;
    }
    done = {
      rows: done.rows + 1,
      files: done.files + (result === 'file' ? 1 : 0),
      missing: done.missing + (result === 'missing' ? 1 : 0),
      problems: typeof result === 'string' ? done.problems : [...done.problems, result],
    };
    // Only lines without a gap are behind the next attempt.
    if (faults.length === 0 && done.problems.length <= PROBLEMS_KEPT) onProgress?.(done);
  }
  const [fault] = faults;
  if (fault !== undefined) throw fault;
  return done;
}

async function* rowsAfter(store: AssetStore, batchId: string, skipped: number, options: StoreOptions) {
  let nth = 0;
  for await (const { row } of reportRows(store, batchId, options)) if (nth++ >= skipped) yield row;
}

/** @returns `missing` for a line without a video. */
async function deliverRow(
  store: AssetStore,
  row: BatchRow,
  names: DeliveryNames,
  options: StoreOptions,
): Promise<'file' | 'missing' | DeliveryProblem> {
  const { item_id, sha256, task_id, video_url } = row;
  if (video_url === null || sha256 === null || task_id === null) return 'missing';
  const named = names.keyOf(row);
  if ('fault' in named) return { item_id, key: null, message: `the line ${named.fault}` };
  const { key: to } = named;
  const copy = { from: deliveredKey({ task_id, video_url }), to, sha256, contentType: 'video/mp4' };
  const outcome = await copyAsset(store, copy, options);
  return outcome === 'copied' || outcome === 'present' ? 'file' : { item_id, key: to, message: WHY[outcome] };
}

/** The name of a document: its batch is in it, because several batches may deliver to one folder. */
function documentName(folder: string, batchId: string, format: DeliveryReport): string {
  const name = writeName(batchId.replaceAll(':', '-'))
    .slice(0, 200)
    .replace(/[.~]+$/, '');
  return `${folder}/report-${name}.${format}`;
}

/**
 * Makes a document in the batch's own folder, once: made again, its signed addresses would be others.
 * @returns its SHA-256 (hex).
 */
async function makeDocument(
  store: AssetStore,
  format: DeliveryReport,
  head: DocumentHead,
  { folder, nowMs, key }: { readonly folder: string; readonly nowMs: number; readonly key: string },
  options: StoreOptions,
): Promise<string> {
  const rows = rowsAfter(store, head.batchId, 0, options);
  if ((await store.head(key, options)) === undefined) {
    const text = await documentText(format, head, rows, linksFrom(store, folder, nowMs));
    await store.put(key, Buffer.from(text), { ...options, ifAbsent: true, contentType: CONTENT_TYPES[format] });
  }
  return contentHash(store, key, options);
}

async function documentText(
  format: DeliveryReport,
  head: DocumentHead,
  rows: AsyncIterable<BatchRow>,
  links: PageLinks,
): Promise<string> {
  if (format === 'html') return pageReport(head, rows, links);
  if (format === 'json') return `${JSON.stringify(await jsonReport(head, rows), null, 2)}\n`;
  let text = '';
  for await (const line of csvReport(rows)) text += line;
  return text;
}

/** Addresses in a delivered page: relative on a disk, where the folder may be moved; else signed. */
function linksFrom(store: AssetStore, folder: string, nowMs: number): PageLinks {
  const links = new AssetLinks(store, PRESIGN_SECONDS_MAX);
  const isOnDisk = store.url(folder).startsWith('file:');
  return {
    of: async (key) => (isOnDisk ? encodeURI(posix.relative(folder, key)) : links.of(key)),
    madeAtMs: nowMs,
    expireAtMs: () => (links.areSigned ? nowMs + PRESIGN_SECONDS_MAX * 1000 : null),
  };
}
