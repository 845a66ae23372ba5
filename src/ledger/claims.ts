import type { Purchase } from '../contract/purchase.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { announce } from './announcements.js';
import { ignoreDamage, type LedgerRecords } from './ledger-records.js';
import { namesTask } from './purchase-view.js';
import {
  type ClaimedTask,
  type ClaimRecord,
  claimRecord,
  extraTaskRecord,
  foundTaskRecord,
  type Stamp,
  type TaskRecord,
  taskRecord,
} from './records.js';

/** Puts the one decision on a purchase, and returns the one that is recorded now. */
export async function decide(
  records: LedgerRecords,
  purchase: Purchase,
  record: ClaimRecord,
  options: StoreOptions,
): Promise<ClaimRecord['decision']> {
  const key = records.paths.claim(purchase);
  const answer = await records.put(key, claimRecord, record, purchase, options);
  records.remember(key, answer.record);
  return answer.record.decision;
}

/** Claims a task for its purchase. What loses against another decision is recorded in addition. */
export async function claimTask(
  records: LedgerRecords,
  purchase: Purchase,
  task: ClaimedTask,
  options: StoreOptions,
): Promise<'claimed' | 'extra'> {
  const record: ClaimRecord = { kind: 'claim', ...records.stamp(purchase), decision: task };
  if (namesTask(await decide(records, purchase, record, options), task.task_id)) return 'claimed';
  await recordExtraTask(records, purchase, task, options);
  return 'extra';
}

/** Reads whose task it is; `undefined` when it is none of this ledger's. */
export async function readOwner(
  records: LedgerRecords,
  taskId: string,
  options: StoreOptions,
): Promise<TaskRecord | undefined> {
  const owner = await records.read(records.paths.task(taskId), taskRecord, undefined, options);
  return owner === undefined ? undefined : checkTask(records, owner, taskId);
}

/**
 * Records whose task it is, unless that was recorded before, and returns what is recorded now. Call it once the
 * purchase's folder names the task.
 */
export async function recordOwner(
  records: LedgerRecords,
  purchase: Purchase,
  task: ClaimedTask,
  options: StoreOptions,
): Promise<TaskRecord> {
  const key = records.paths.task(task.task_id);
  const ownership: TaskRecord = { kind: 'task', ...records.stamp(purchase), ...task };
  const { record } = await records.put(key, taskRecord, ownership, undefined, options);
  const owner = checkTask(records, record, task.task_id);
  records.remember(key, owner);
  return owner;
}

/** Whose task it is; recorded if that was missing. `undefined` when the record cannot be read. */
export async function ensureOwner(
  records: LedgerRecords,
  purchase: Purchase,
  task: ClaimedTask,
  options: StoreOptions,
): Promise<TaskRecord | undefined> {
  const key = records.paths.task(task.task_id);
  const known = records.recall<TaskRecord>(key);
  if (known !== undefined) return known;
  try {
    const owner = await readOwner(records, task.task_id, options);
    if (owner === undefined) return await recordOwner(records, purchase, taskFacts(task), options);
    records.remember(key, owner);
    return owner;
  } catch (error) {
    return ignoreDamage(error);
  }
}

/**
 * Records and announces a task that was found for a purchase, before anything else says whose it is: should the
 * purchase be decided otherwise meanwhile, by a person for example, and this process die, the task is found by this.
 */
export async function recordFoundTask(
  records: LedgerRecords,
  purchase: Purchase,
  task: ClaimedTask,
  options: StoreOptions,
): Promise<void> {
  const stamp = await announceTask(records, purchase, task, options);
  const key = records.paths.foundTask(purchase, task.task_id);
  await records.put(key, foundTaskRecord, { kind: 'found', ...stamp, ...task }, purchase, options);
}

/**
 * Records a paid task that is not its purchase's decision, so that it is not lost. It is announced first, because its
 * purchase may be marked as over.
 */
async function recordExtraTask(
  records: LedgerRecords,
  purchase: Purchase,
  task: ClaimedTask,
  options: StoreOptions,
): Promise<void> {
  const key = records.paths.extraTask(purchase, task.task_id);
  // A reconciliation repeats this with every listing of the provider.
  if ((await records.read(key, extraTaskRecord, purchase, options)) !== undefined) return;
  const stamp = await announceTask(records, purchase, task, options);
  await records.put(key, extraTaskRecord, { kind: 'late', ...stamp, ...task }, purchase, options);
}

/** Announces a task apart from its purchase, and returns the stamp for its record. */
async function announceTask(
  records: LedgerRecords,
  purchase: Purchase,
  { task_id }: ClaimedTask,
  options: StoreOptions,
): Promise<Stamp> {
  const stamp = records.stamp(purchase);
  const announcement = records.paths.extraTaskAnnouncement(purchase, task_id, stamp.written_at_ms);
  await announce(records, announcement, purchase, stamp, options);
  return stamp;
}

/** The four facts alone: a task record that was read carries its own stamp. */
export function taskFacts({ task_id, request_id, key_fingerprint, found_by }: ClaimedTask): ClaimedTask {
  return { task_id, request_id, key_fingerprint, found_by };
}

/** Two ids never share a name in keys, so a record of another task was not written by this program. */
function checkTask(records: LedgerRecords, owner: TaskRecord, taskId: string): TaskRecord {
  if (owner.task_id === taskId) return owner;
  throw records.damaged(records.paths.task(taskId), 'describes another task');
}
