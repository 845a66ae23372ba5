import { mapParallel } from '../async/map-parallel.js';
import { FailureType } from '../contract/failure-type.js';
import { LIMITS, type Resolution } from '../contract/model.js';
import type { Purchase } from '../contract/purchase.js';
import { DAY_MS, utcDay } from '../contract/utc.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetInfo, StoreOptions } from '../storage/asset-store.js';
import { listParallel } from '../storage/list-parallel.js';
import { ignoreDamage, type LedgerRecords, type PutAnswer } from './ledger-records.js';
import type { BoughtTask } from './purchase-view.js';
import {
  type BillDayRecord,
  type BillFacts,
  type BillRecord,
  billPlace,
  billRecord,
  type IntentRecord,
  intentRecord,
  taskRecord,
} from './records.js';
import { ON_ANOTHER_DAY, readStatements } from './statements.js';

/** Bills that are read together, where no statement repeats them. */
const BILLS_AT_ONCE = 32;

/** What a task was billed. */
export interface TaskBill {
  /** End of the task by the provider's clock, or when we noticed it; milliseconds since the epoch. */
  readonly endTimeMs: number;
  readonly billedSeconds: number;
  readonly resolution: Resolution;
  readonly audio: boolean;
  /** The provider did not say all of it, so the request decides. */
  readonly estimated?: boolean | undefined;
}

/** A task is billed within days of its submit; a bill that is this many days older is not looked for. */
const DAYS_MAX = 31;
/** Clocks of workers and of the provider may differ by as much, in milliseconds. */
const CLOCK_SKEW_MS = 600_000;

/**
 * Records what was paid, once per task, under the day on which it ended. Another look at the task may have read another
 * end, or none and used our clock. So the place under the day of its purchase, which every look agrees on, decides: the
 * first one that puts a record there puts the bill, or the day under which the bill is.
 * @param boughtAtMs - When the purchase that owns the task was announced, by its intent.
 * @returns whether it was this call that recorded it, and the bill that is recorded now.
 */
export async function recordBill(
  records: LedgerRecords,
  { purchase, taskId, boughtAtMs }: Pick<BoughtTask, 'purchase' | 'taskId'> & { readonly boughtAtMs: number },
  { workflow_id, tenant, memo }: IntentRecord,
  bill: TaskBill,
  options: StoreOptions,
): Promise<PutAnswer<BillRecord>> {
  const { paths } = records;
  const day = utcDay(bill.endTimeMs);
  const dayOfPurchase = utcDay(boughtAtMs);
  const others = daysSince(boughtAtMs, records.now()).filter((one) => one !== day && one !== dayOfPurchase);
  const known = await findBill(records, taskId, others, options);
  if (known !== undefined) return { won: false, record: known };
  const stamp = records.stamp(purchase);
  const record: BillRecord = {
    kind: 'day',
    ...stamp,
    task_id: taskId,
    end_time_ms: bill.endTimeMs,
    billed_seconds: bill.billedSeconds,
    resolution: bill.resolution,
    audio: bill.audio,
    ...(bill.estimated === true && { estimated: true }),
    workflow_id,
    tenant,
    memo,
  };
  const decides: BillRecord | BillDayRecord =
    day === dayOfPurchase ? record : { kind: 'bill_day', ...stamp, task_id: taskId, end_time_ms: bill.endTimeMs };
  const { won, record: decided } = await records.put(
    paths.bill(dayOfPurchase, taskId),
    billPlace,
    decides,
    undefined,
    options,
  );
  if (decided.kind === 'day') return { won, record: decided };
  const { end_time_ms } = decided;
  const place = paths.bill(utcDay(end_time_ms), taskId);
  return records.put(place, billRecord, { ...record, end_time_ms }, undefined, options);
}

/**
 * Each day on which a task can have ended; for most tasks it is the day of their submit alone. An earlier version filed
 * a bill under any of them, and put nothing under the day of the purchase.
 */
function daysSince(boughtAtMs: number, nowMs: number): string[] {
  const firstMs = boughtAtMs - CLOCK_SKEW_MS;
  const count = Math.floor((nowMs + CLOCK_SKEW_MS) / DAY_MS) - Math.floor(firstMs / DAY_MS) + 1;
  return Array.from({ length: Math.min(DAYS_MAX, count) }, (_, index) => utcDay(firstMs + index * DAY_MS));
}

async function findBill(
  records: LedgerRecords,
  taskId: string,
  days: readonly string[],
  options: StoreOptions,
): Promise<BillRecord | undefined> {
  for (const day of days) {
    const record = await records.read(records.paths.bill(day, taskId), billRecord, undefined, options);
    if (record !== undefined) return record;
  }
  return undefined;
}

export interface ListBillsOptions extends StoreOptions {
  /** Only what was recorded since then, by the store's clock, in milliseconds since the epoch; default: everything. */
  readonly writtenSinceMs?: number | undefined;
  /**
   * Receives the bills that cannot be read, and they are estimated from what was requested, or else from the largest
   * request; without it the first one ends the listing.
   */
  readonly damaged?: VideoError[] | undefined;
}

/**
 * Yields what was paid on one UTC day (`YYYY-MM-DD`): each bill that is listed, from a statement where one repeats it,
 * and what only a statement has kept.
 */
export async function* listBills(
  records: LedgerRecords,
  day: string,
  { writtenSinceMs = 0, damaged, ...options }: ListBillsOptions,
): AsyncGenerator<BillFacts> {
  const [repeated, listed] = await Promise.all([readStatements(records, day, options), namesOf(records, day, options)]);
  const bills = mapParallel(listed, BILLS_AT_ONCE, async ({ key, modifiedAtMs }): Promise<BillFacts | undefined> => {
    const known = repeated.get(key);
    repeated.delete(key);
    if (modifiedAtMs < writtenSinceMs || known === ON_ANOTHER_DAY) return undefined;
    return known ?? readBill(records, key, damaged, options);
  });
  for await (const bill of bills) if (bill !== undefined) yield bill;
  for (const bill of repeated.values()) {
    if (bill !== ON_ANOTHER_DAY && bill.written_at_ms >= writtenSinceMs) yield bill;
  }
}

async function namesOf({ store, paths }: LedgerRecords, day: string, options: StoreOptions): Promise<AssetInfo[]> {
  const names: AssetInfo[] = [];
  for await (const info of listParallel(store, paths.bills(day), options)) names.push(info);
  return names;
}

async function readBill(
  records: LedgerRecords,
  key: string,
  damaged: VideoError[] | undefined,
  options: StoreOptions,
): Promise<BillFacts | undefined> {
  try {
    const found = await records.read(key, billPlace, undefined, options);
    return found?.kind === 'day' ? found : undefined;
  } catch (error) {
    if (damaged === undefined || !(error instanceof VideoError && error.type === FailureType.RecordDamaged))
      throw error;
    damaged.push(error);
    return (await estimateBill(records, key, options).catch(ignoreDamage)) ?? largestBill(key);
  }
}

/**
 * What counts for a bill to which no request leads: the most that a video can be billed, for nobody. So the other bills
 * are added up, and no budget of a day is overspent.
 */
function largestBill(key: string): BillFacts {
  return {
    written_at_ms: 0,
    purchase_key: '',
    n: 0,
    task_id: key,
    end_time_ms: 0,
    billed_seconds: LIMITS.durationMax,
    resolution: '1080P',
    audio: true,
    estimated: true,
    workflow_id: '',
    tenant: null,
    memo: {},
  };
}

/** What a bill that cannot be read says by the request that was paid; `undefined` when nothing leads to it. */
async function estimateBill(
  records: LedgerRecords,
  key: string,
  options: StoreOptions,
): Promise<BillFacts | undefined> {
  const { paths } = records;
  const taskKey = paths.taskOfBill(key);
  const task = taskKey === undefined ? undefined : await records.read(taskKey, taskRecord, undefined, options);
  if (task === undefined) return undefined;
  const purchase: Purchase = { key: task.purchase_key, n: task.n };
  const intent = await records.read(paths.intent(purchase), intentRecord, purchase, options);
  if (intent === undefined) return undefined;
  const { duration, resolution, audio } = intent.expects;
  return {
    ...intent,
    task_id: task.task_id,
    end_time_ms: task.written_at_ms,
    billed_seconds: duration,
    resolution,
    audio,
    estimated: true,
  };
}

/** Whether a task's bill is recorded on one of some UTC days (`YYYY-MM-DD`); one that cannot be read is. */
export async function hasBill(
  records: LedgerRecords,
  taskId: string,
  days: readonly string[],
  options: StoreOptions,
): Promise<boolean> {
  const isThere = async (day: string): Promise<boolean> => {
    try {
      return (await records.read(records.paths.bill(day, taskId), billPlace, undefined, options))?.kind === 'day';
    } catch (error) {
      if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
      return true;
    }
  };
  return (await Promise.all(days.map(isThere))).includes(true);
}
