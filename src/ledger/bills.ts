import type { Resolution } from '../contract/model.js';
import { utcDay } from '../contract/utc.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { LedgerRecords } from './ledger-records.js';
import type { BoughtTask, PurchaseView } from './purchase-view.js';
import { type BillRecord, billRecord } from './records.js';

/** What a task was billed. */
export interface TaskBill {
  /** End of the task by the provider's clock, milliseconds since the epoch. */
  readonly endTimeMs: number;
  readonly billedSeconds: number;
  readonly resolution: Resolution;
  readonly audio: boolean;
  /** The provider did not say all of it, so the request decides. */
  readonly estimated?: boolean | undefined;
}

/**
 * Records what was paid, once per task.
 * @returns whether it was this call that recorded it.
 */
export async function recordBill(
  records: LedgerRecords,
  { purchase, taskId }: Pick<BoughtTask, 'purchase' | 'taskId'>,
  { intent }: Pick<PurchaseView, 'intent'>,
  bill: TaskBill,
  options: StoreOptions,
): Promise<boolean> {
  const record: BillRecord = {
    kind: 'day',
    ...records.stamp(purchase),
    task_id: taskId,
    end_time_ms: bill.endTimeMs,
    billed_seconds: bill.billedSeconds,
    resolution: bill.resolution,
    audio: bill.audio,
    ...(bill.estimated === true && { estimated: true }),
    workflow_id: intent.workflow_id,
    tenant: intent.tenant,
    memo: intent.memo,
  };
  const key = records.paths.bill(utcDay(bill.endTimeMs), taskId);
  return (await records.put(key, billRecord, record, undefined, options)).won;
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
