import type { Resolution } from '../contract/model.js';
import { DAY_MS, utcDay } from '../contract/utc.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { LedgerRecords, PutAnswer } from './ledger-records.js';
import type { BoughtTask } from './purchase-view.js';
import { type BillRecord, billRecord, type IntentRecord } from './records.js';

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
 * Records what was paid, once per task. Another look at the task may have read another end, or none and used our clock,
 * so a bill that lies under another day since the submit counts as well.
 * @returns whether it was this call that recorded it, and the bill that is recorded now.
 */
export async function recordBill(
  records: LedgerRecords,
  { purchase, taskId }: Pick<BoughtTask, 'purchase' | 'taskId'>,
  { workflow_id, tenant, memo, written_at_ms }: IntentRecord,
  bill: TaskBill,
  options: StoreOptions,
): Promise<PutAnswer<BillRecord>> {
  const day = utcDay(bill.endTimeMs);
  const known = await findBill(records, taskId, otherDays(records, written_at_ms, day), options);
  if (known !== undefined) return { won: false, record: known };
  const record: BillRecord = {
    kind: 'day',
    ...records.stamp(purchase),
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
  return records.put(records.paths.bill(day, taskId), billRecord, record, undefined, options);
}

/** Each day since a submit, except one; most tasks end on the day of their submit and have none. */
function otherDays({ now }: LedgerRecords, submittedAtMs: number, day: string): string[] {
  const firstMs = submittedAtMs - CLOCK_SKEW_MS;
  const count = Math.floor((now() + CLOCK_SKEW_MS) / DAY_MS) - Math.floor(firstMs / DAY_MS) + 1;
  const days = Array.from({ length: Math.min(DAYS_MAX, count) }, (_, index) => utcDay(firstMs + index * DAY_MS));
  return days.filter((one) => one !== day);
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
}

/** Yields what was paid on one UTC day (`YYYY-MM-DD`). */
export async function* listBills(
  records: LedgerRecords,
  day: string,
  { writtenSinceMs = 0, ...options }: ListBillsOptions,
): AsyncGenerator<BillRecord> {
  for await (const { key, modifiedAtMs } of records.store.list(records.paths.bills(day), options)) {
    if (modifiedAtMs < writtenSinceMs) continue;
    const record = await records.read(key, billRecord, undefined, options);
    if (record !== undefined) yield record;
  }
}

/** Whether a task's bill is recorded on one of some UTC days (`YYYY-MM-DD`). */
export async function hasBill(
  { store, paths }: LedgerRecords,
  taskId: string,
  days: readonly string[],
  options: StoreOptions,
): Promise<boolean> {
  for (const day of days) if ((await store.head(paths.bill(day, taskId), options)) !== undefined) return true;
  return false;
}
