import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { mapParallel } from '../async/map-parallel.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { RECORD_BYTES_MAX, readRecord, writeRecord } from '../storage/json-record.js';
import { listParallel } from '../storage/list-parallel.js';
import { ignoreDamage, type LedgerRecords } from './ledger-records.js';
import { type BillFacts, billPlace, factsOf, statementRecord } from './records.js';

/** What a statement says of a task whose bill is filed under another day. */
export const ON_ANOTHER_DAY = 'on another day';

/** Fewer bills are left for a later statement: a reader gets them within a second, 16 at a time. */
const BILLS_MIN = 100;
/** Bills that one sweep repeats at most: half a minute of an S3 that answers in 25 ms. */
const BILLS_MAX = 10_000;
/** Bytes of bills in one statement; below what a reader accepts, with room for its other fields. */
const BYTES_MAX = RECORD_BYTES_MAX - 8_192;
/** Records that are read together. */
const RECORDS_AT_ONCE = 32;

/**
 * Reads the statements of one day.
 * @returns the bills that they repeat, by the keys of their records. A statement that cannot be understood is left out:
 * its bills are read one by one.
 */
export async function readStatements(
  records: LedgerRecords,
  day: string,
  options: StoreOptions,
): Promise<Map<string, BillFacts | typeof ON_ANOTHER_DAY>> {
  const { store, paths, scope } = records;
  const bills = new Map<string, BillFacts | typeof ON_ANOTHER_DAY>();
  const read = mapParallel(store.list(paths.statements(day), options), RECORDS_AT_ONCE, async ({ key }) =>
    statementRecord.safeParse(await readRecord(store, key, options).catch(ignoreDamage)),
  );
  for await (const { data } of read) {
    if (data === undefined || data.day !== day) continue;
    if (data.provider !== scope.provider || data.account !== scope.account) continue;
    for (const bill of data.bills) bills.set(paths.bill(day, bill.task_id), bill);
    for (const taskId of data.on_other_days) bills.set(paths.bill(day, taskId), ON_ANOTHER_DAY);
  }
  return bills;
}

/**
 * Repeats the bills of a day that no statement repeats yet, once there are enough of them. Bills never change, so two
 * sweeps at once only repeat some of them twice.
 * @returns the bills that cannot be read.
 */
export async function writeStatements(
  records: LedgerRecords,
  day: string,
  options: StoreOptions,
): Promise<VideoError[]> {
  const { store, paths } = records;
  const repeated = await readStatements(records, day, options);
  const missing: string[] = [];
  for await (const { key } of listParallel(store, paths.bills(day), options)) if (!repeated.has(key)) missing.push(key);
  if (missing.length < BILLS_MIN) return [];
  const damaged: VideoError[] = [];
  const read = mapParallel(missing.slice(0, BILLS_MAX), RECORDS_AT_ONCE, async (key) => {
    try {
      const found = await records.read(key, billPlace, undefined, options);
      // One under the name of another task is left to its readers.
      return found === undefined || paths.bill(day, found.task_id) !== key ? undefined : found;
    } catch (error) {
      if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
      damaged.push(error);
      return undefined;
    }
  });
  let page: Page = { bills: [], on_other_days: [] };
  let bytes = 0;
  for await (const found of read) {
    if (found === undefined) continue;
    const repeated = found.kind === 'day' ? factsOf(found) : found.task_id;
    const more = Buffer.byteLength(JSON.stringify(repeated)) + 1;
    if (bytes + more > BYTES_MAX) {
      await writeStatement(records, day, page, options);
      page = { bills: [], on_other_days: [] };
      bytes = 0;
    }
    if (typeof repeated === 'string') page.on_other_days.push(repeated);
    else page.bills.push(repeated);
    bytes += more;
  }
  if (bytes > 0) await writeStatement(records, day, page, options);
  return damaged;
}

/** What one statement repeats. */
type Page = Pick<z.infer<typeof statementRecord>, 'bills' | 'on_other_days'>;

async function writeStatement(
  { store, paths, scope }: LedgerRecords,
  day: string,
  page: Page,
  options: StoreOptions,
): Promise<void> {
  const id = createHash('sha256').update(JSON.stringify(page)).digest('hex');
  const record: z.infer<typeof statementRecord> = { kind: 'statement', v: 1, ...scope, day, ...page };
  await writeRecord(store, paths.statement(day, id), record, { ...options, ifAbsent: true });
}
