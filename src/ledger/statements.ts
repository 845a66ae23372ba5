import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { mapParallel } from '../async/map-parallel.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { RECORD_BYTES_MAX, readRecord, writeRecord } from '../storage/json-record.js';
import { listParallel } from '../storage/list-parallel.js';
import type { LedgerRecords } from './ledger-records.js';
import { type BillFacts, billRecord, factsOf, statementRecord } from './records.js';

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
): Promise<Map<string, BillFacts>> {
  const { store, paths, scope } = records;
  const bills = new Map<string, BillFacts>();
  const read = mapParallel(store.list(paths.statements(day), options), RECORDS_AT_ONCE, async ({ key }) =>
    statementRecord.safeParse(await readRecord(store, key, options).catch(ignoreDamage)),
  );
  for await (const { data } of read) {
    if (data === undefined || data.day !== day) continue;
    if (data.provider !== scope.provider || data.account !== scope.account) continue;
    for (const bill of data.bills) bills.set(paths.bill(day, bill.task_id), bill);
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
      const bill = await records.read(key, billRecord, undefined, options);
      // One under the name of another task is left to its readers.
      return bill === undefined || paths.bill(day, bill.task_id) !== key ? undefined : factsOf(bill);
    } catch (error) {
      if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
      damaged.push(error);
      return undefined;
    }
  });
  let page: BillFacts[] = [];
  let bytes = 0;
  for await (const bill of read) {
    if (bill === undefined) continue;
    const more = Buffer.byteLength(JSON.stringify(bill)) + 1;
    if (bytes + more > BYTES_MAX) {
      await writeStatement(records, day, page, options);
      [page, bytes] = [[], 0];
    }
    page.push(bill);
    bytes += more;
  }
  if (page.length > 0) await writeStatement(records, day, page, options);
  return damaged;
}

async function writeStatement(
  { store, paths, scope }: LedgerRecords,
  day: string,
  bills: readonly BillFacts[],
  options: StoreOptions,
): Promise<void> {
  const id = createHash('sha256').update(JSON.stringify(bills)).digest('hex');
  const record: z.infer<typeof statementRecord> = { kind: 'statement', v: 1, ...scope, day, bills: [...bills] };
  await writeRecord(store, paths.statement(day, id), record, { ...options, ifAbsent: true });
}

function ignoreDamage(error: unknown): undefined {
  if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
}
