import { z } from 'zod';
import type { BatchItemEnd, BatchItemOutcome, BatchSummary } from '../contract/batch.js';
import { NO_VIDEO } from '../contract/batch-item.js';
import { type BatchDeliveryPlan, DELIVERY_REPORTS, type DeliveryProblem } from '../contract/delivery.js';
import { FailureType } from '../contract/failure-type.js';
import { isSignedUrl, withoutSignature } from '../contract/signed-url.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import type { AssetStore, StoreOptions } from '../storage/asset-store.js';
import { contentHash } from '../storage/content-hash.js';
import { readRecord, writeRecord } from '../storage/json-record.js';
import {
  batchDeliveryKey,
  batchInvalidKey,
  batchManifestKey,
  batchReportKey,
  batchResultsKey,
  batchResultsRoot,
  batchUndeliveredKey,
} from '../storage/keys.js';
import { DeliveryNames } from './delivery-names.js';
import { readLines } from './line-reader.js';
import type { ManifestFault } from './manifest.js';
import { decodeStoredLine, STORED_LINE_BYTES_MAX, type StoredItem } from './stored-line.js';

/** An item with its place in its batch's manifest: the offsets of its line and of the next one, in bytes. */
interface PlacedItem {
  readonly item: StoredItem;
  readonly at: number;
  readonly next: number;
}

/** The size of a batch's manifest. */
interface ManifestSize {
  readonly items: number;
  readonly duplicates: number;
  readonly bytes: number;
}

/** Counts the lines of a batch's manifest; undefined when it has none. */
export async function measureManifest(
  store: AssetStore,
  batchId: string,
  options: StoreOptions = {},
): Promise<ManifestSize | undefined> {
  if ((await store.head(batchManifestKey(batchId), options)) === undefined) return undefined;
  let [items, duplicates, bytes] = [0, 0, 0];
  for await (const { item, next } of readItems(store, batchId, options)) {
    items += 1;
    if (item.same_as !== undefined) duplicates += 1;
    bytes = next;
  }
  return { items, duplicates, bytes };
}

/** SHA-256 (hex) of a batch's manifest; undefined when the batch has none. */
export async function hashManifest(
  store: AssetStore,
  batchId: string,
  options: StoreOptions = {},
): Promise<string | undefined> {
  const key = batchManifestKey(batchId);
  return (await store.head(key, options)) === undefined ? undefined : contentHash(store, key, options);
}

/** Streams the items of a batch, in the order of its manifest. */
export async function* readItems(
  store: AssetStore,
  batchId: string,
  options: StoreOptions = {},
): AsyncGenerator<PlacedItem> {
  const key = batchManifestKey(batchId);
  for await (const { bytes, at, next, number } of readLines(await store.get(key, options), STORED_LINE_BYTES_MAX)) {
    yield { item: decodeLine(key, number, bytes, decodeStoredLine), at, next };
  }
}

/**
 * Reads the items from offset `at` on.
 * @param limits.bytes - Longest total of the lines; the first line is read even if it is longer.
 */
export async function readItemsPage(
  store: AssetStore,
  batchId: string,
  at: number,
  limits: { readonly items: number; readonly bytes: number },
  options: StoreOptions = {},
): Promise<PlacedItem[]> {
  const key = batchManifestKey(batchId);
  const to = at + Math.max(limits.bytes, STORED_LINE_BYTES_MAX) - 1;
  const page: PlacedItem[] = [];
  const range = await store.get(key, { ...options, from: at, to });
  for await (const line of readLines(range, STORED_LINE_BYTES_MAX)) {
    const place = { at: at + line.at, next: at + line.next };
    // Every line ends with a line feed, so a line that reaches the end of the range may be truncated by it.
    const isTruncated = place.next === to + 1;
    if (page.length > 0 && (isTruncated || place.next - at > limits.bytes)) break;
    page.push({ item: decodeLine(key, line.number, line.bytes, decodeStoredLine), ...place });
    if (page.length === limits.items) break;
  }
  return page;
}

/** Writes one page of results; writing the same page again changes nothing. */
export async function writeEnds(
  store: AssetStore,
  batchId: string,
  page: number,
  ends: readonly BatchItemEnd[],
  options: StoreOptions = {},
): Promise<void> {
  const body = Buffer.from(ends.map((end) => `${JSON.stringify(end)}\n`).join(''));
  await store.put(batchResultsKey(batchId, page), body, { ...options, contentType: 'application/x-ndjson' });
}

/** Reads the latest recorded end of every item that has one. */
async function readEnds(
  store: AssetStore,
  batchId: string,
  options: StoreOptions = {},
): Promise<Map<string, BatchItemEnd>> {
  const ends = new Map<string, BatchItemEnd>();
  for await (const { key } of store.list(batchResultsRoot(batchId), options)) {
    for await (const { bytes, number } of readLines(await store.get(key, options), STORED_LINE_BYTES_MAX)) {
      const end = decodeLine(key, number, bytes, decodeEnd);
      ends.set(end.item_id, end);
    }
  }
  return ends;
}

/** A line of the caller's manifest that the batch leaves out, as it is stored. */
export interface InvalidLine {
  readonly line: number;
  readonly item_id: string | null;
  readonly issues: readonly Issue[];
  /** As they were given; null when they could not be read, or are too long. */
  readonly fields: Readonly<Record<string, unknown>> | null;
}

/** Longer fields are not stored with the faults of their line. */
const FIELDS_BYTES_MAX = 64 * 1024;
/** Fields of 64 kB, and the faults of the line. */
const INVALID_LINE_BYTES_MAX = 256 * 1024;

/** Encodes the lines that a batch leaves out, one JSON object each. */
export function encodeInvalidLines(faults: readonly ManifestFault[]): Buffer {
  const lines = faults.map(({ line, itemId, issues, fields }) => {
    const stored = fields !== null && JSON.stringify(fields).length <= FIELDS_BYTES_MAX ? fields : null;
    const invalid: InvalidLine = { line, item_id: itemId, issues, fields: stored };
    return `${JSON.stringify(invalid)}\n`;
  });
  return Buffer.from(lines.join(''));
}

/** Reads the lines that a batch leaves out. */
export async function readInvalidLines(
  store: AssetStore,
  batchId: string,
  options: StoreOptions = {},
): Promise<InvalidLine[]> {
  const key = batchInvalidKey(batchId);
  if ((await store.head(key, options)) === undefined) return [];
  const lines: InvalidLine[] = [];
  for await (const { bytes, number } of readLines(await store.get(key, options), INVALID_LINE_BYTES_MAX)) {
    lines.push(decodeLine(key, number, bytes, (line) => JSON.parse(Buffer.from(line).toString('utf8')) as InvalidLine));
  }
  return lines;
}

/** Reads the summary of a batch that has ended; undefined before. */
export async function readReport(
  store: AssetStore,
  batchId: string,
  options: StoreOptions = {},
): Promise<BatchSummary | undefined> {
  const key = batchReportKey(batchId);
  const record = await readRecord(store, key, options);
  if (record === undefined) return undefined;
  if (record['v'] !== 1) throw damaged(key, 'is of another version');
  const { v: _, ...summary } = record;
  return summary as unknown as BatchSummary;
}

/**
 * Writes the summary of a batch; it replaces that of an earlier attempt, unless this one has started nothing, as when a
 * backfill of nights that have run before is stopped.
 */
export async function writeReport(
  store: AssetStore,
  summary: BatchSummary,
  options: StoreOptions = {},
): Promise<string> {
  const key = batchReportKey(summary.batch_id);
  const ifAbsent = summary.outcome === 'schedule_paused';
  await writeRecord(store, key, { v: 1, ...summary }, { ...options, ifAbsent });
  return key;
}

/** Reads where a batch delivers its videos; undefined: nowhere. */
export async function readDeliveryPlan(
  store: AssetStore,
  batchId: string,
  options: StoreOptions = {},
): Promise<BatchDeliveryPlan | undefined> {
  const key = batchDeliveryKey(batchId);
  const record = await readRecord(store, key, options);
  if (record === undefined) return undefined;
  const plan = deliveryPlan.safeParse(record);
  if (plan.success) return { pattern: plan.data.pattern, reports: plan.data.reports };
  throw damaged(key, 'is of another version');
}

const deliveryPlan = z.looseObject({
  v: z.literal(1),
  pattern: z.string(),
  reports: z.array(z.enum(DELIVERY_REPORTS)),
});

/**
 * Writes where a batch delivers its videos, unless that is written.
 * @returns what is written.
 */
export async function keepDeliveryPlan(
  store: AssetStore,
  batchId: string,
  { pattern, reports }: BatchDeliveryPlan,
  options: StoreOptions = {},
): Promise<BatchDeliveryPlan> {
  await writeRecord(store, batchDeliveryKey(batchId), { v: 1, pattern, reports }, { ...options, ifAbsent: true });
  return (await readDeliveryPlan(store, batchId, options)) ?? { pattern, reports };
}

/** Writes which lines of a batch could not be delivered, at the end of the delivery. */
export async function writeUndelivered(
  store: AssetStore,
  batchId: string,
  problems: readonly DeliveryProblem[],
  options: StoreOptions = {},
): Promise<void> {
  const body = Buffer.from(problems.map((problem) => `${JSON.stringify(problem)}\n`).join(''));
  await store.put(batchUndeliveredKey(batchId), body, { ...options, contentType: 'application/x-ndjson' });
}

/** Where the video of each line is, for the rows of a report. */
type FilesOf = (row: BatchRow, item: StoredItem) => Pick<BatchRow, 'file' | 'file_problem'>;

/** Reads what a delivery has come to; without one, and before its end, no line has a file. */
async function readFiles(store: AssetStore, batchId: string, options: StoreOptions): Promise<FilesOf> {
  const plan = await readDeliveryPlan(store, batchId, options);
  const key = batchUndeliveredKey(batchId);
  if (plan === undefined || (await store.head(key, options)) === undefined) return () => ({});
  const problems = new Map<string, string>();
  for await (const { bytes, number } of readLines(await store.get(key, options), STORED_LINE_BYTES_MAX)) {
    const { item_id, message } = decodeLine(
      key,
      number,
      bytes,
      (line) => JSON.parse(Buffer.from(line).toString('utf8')) as DeliveryProblem,
    );
    if (item_id !== null) problems.set(item_id, message);
  }
  const names = new DeliveryNames(plan.pattern);
  return ({ video_url }, item) => {
    if (video_url === null) return {};
    const problem = problems.get(item.item_id);
    if (problem !== undefined) return { file_problem: problem };
    const named = names.keyOf({ item_id: item.item_id, ...item.request });
    return 'key' in named ? { file: named.key } : {};
  };
}

/** One line of a batch's report. */
export interface BatchRow extends Omit<BatchItemEnd, 'outcome' | 'run' | 'started_at_ms' | 'ended_at_ms'> {
  readonly line: number;
  readonly outcome: BatchItemOutcome | 'invalid' | 'open';
  /** Id of the earlier item whose video this line shares; nothing was bought for this line. */
  readonly same_as: string | null;
  readonly tenant: string | null;
  readonly labels: Readonly<Record<string, string>>;
  /** Prompt and reference of the request, as the batch runs it; null for a line that was left out. */
  readonly prompt: string | null;
  readonly reference_image: string | null;
  /** Workflow id of the run; null when there was none. */
  readonly run: string | null;
  /** Milliseconds since the epoch; null when there was no run. */
  readonly started_at_ms: number | null;
  readonly ended_at_ms: number | null;
  /** Key of the delivered video. Absent: none. */
  readonly file?: string | undefined;
  /** Why the video could not be delivered. Absent: it was, or there was nothing to deliver. */
  readonly file_problem?: string | undefined;
}

const NO_END = { ...NO_VIDEO, cause: null, run: null, started_at_ms: null, ended_at_ms: null } as const;

/**
 * Streams every line of a batch's manifest with its outcome, in the order of the caller's manifest; `open` for a line
 * that has not ended. The ends are kept in memory, some 600 bytes each.
 */
export async function* reportRows(
  store: AssetStore,
  batchId: string,
  options: StoreOptions = {},
): AsyncGenerator<{ readonly row: BatchRow; readonly item: StoredItem | null; readonly invalid: InvalidLine | null }> {
  const ends = await readEnds(store, batchId, options);
  const invalid = await readInvalidLines(store, batchId, options);
  const filesOf = await readFiles(store, batchId, options);
  const invalidBefore = function* (line: number) {
    for (let next = invalid[0]; next !== undefined && next.line < line; next = invalid[0]) {
      invalid.shift();
      yield { row: invalidRow(next), item: null, invalid: next };
    }
  };
  for await (const { item } of readItems(store, batchId, options)) {
    yield* invalidBefore(item.line);
    const row = itemRow(item, ends.get(item.same_as ?? item.item_id));
    yield { row: { ...row, ...filesOf(row, item) }, item, invalid: null };
  }
  yield* invalidBefore(Number.POSITIVE_INFINITY);
}

function itemRow({ item_id, line, same_as, request }: StoredItem, end: BatchItemEnd | undefined): BatchRow {
  const head = {
    line,
    item_id,
    same_as: same_as ?? null,
    tenant: request.tenant ?? null,
    labels: request.labels ?? {},
    prompt: request.prompt,
    reference_image: withoutQuery(request.reference_image),
  };
  if (end === undefined) return { ...NO_END, ...head, outcome: 'open' };
  const cost = same_as === undefined ? {} : { billed: false, billed_seconds: 0, estimated: undefined };
  return { ...end, ...head, ...cost };
}

function invalidRow({ line, item_id, issues, fields }: InvalidLine): BatchRow {
  const tenant = fields?.['tenant'];
  return {
    ...NO_END,
    line,
    item_id: item_id ?? '',
    same_as: null,
    labels: {},
    prompt: null,
    reference_image: null,
    outcome: 'invalid',
    cause: FailureType.InvalidRequest,
    message: issues.map((issue) => `${issue.path} ${issue.message}`.trim()).join('; '),
    tenant: typeof tenant === 'string' ? tenant : null,
  };
}

/** An address without what signs it: a report is shown to people. */
const withoutQuery = (reference: string): string => (isSignedUrl(reference) ? withoutSignature(reference) : reference);

/** The fields that every end has; a later version may have more. */
const endSchema = z.looseObject({ item_id: z.string(), outcome: z.string(), billed_seconds: z.number() });

function decodeEnd(bytes: Uint8Array): BatchItemEnd {
  return endSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8'))) as unknown as BatchItemEnd;
}

/** Decodes a line, or throws `RecordDamaged` without the parser's message, which would quote the line. */
function decodeLine<T>(key: string, line: number, bytes: Uint8Array | null, decode: (bytes: Uint8Array) => T): T {
  try {
    if (bytes !== null) return decode(bytes);
  } catch {
    // Thrown below, as for a line that is too long.
  }
  throw damaged(key, `is damaged in line ${line}`);
}

function damaged(key: string, fault: string): VideoError {
  return new VideoError(FailureType.RecordDamaged, `${key} ${fault}`, {
    nextStep: `Restore ${key} from a backup; the videos and the ledger do not depend on it.`,
  });
}
