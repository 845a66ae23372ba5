import type { Purchase } from '../contract/purchase.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { LedgerRecords } from './ledger-records.js';
import { type BoughtTask, claimedTaskOf, isOwnedBy, type PurchaseView } from './purchase-view.js';
import { type ClaimedTask, type ClaimRecord, type IntentRecord, intentRecord, type TaskRecord } from './records.js';

/** A task of a purchase, with what its claim needs. */
export type TaskRef = Pick<BoughtTask, 'purchase' | 'taskId' | 'requestId' | 'keyFingerprint'>;

/** A task as its purchase's records name it. */
export interface RecordedTask {
  readonly intent: IntentRecord;
  readonly task: ClaimedTask;
  /** As the purchase's decision, or in addition to it. */
  readonly role: 'claimed' | 'extra';
  /** When that was announced, by the writer's clock, in milliseconds since the epoch. */
  readonly announcedAtMs: number;
}

/** How a purchase names a task; `undefined` when it does not. */
export function recordedIn(view: PurchaseView, taskId: string): RecordedTask | undefined {
  const { intent } = view;
  const claimed = claimedTaskOf(view);
  if (claimed?.task_id === taskId) {
    return { intent, task: claimed, role: 'claimed', announcedAtMs: intent.written_at_ms };
  }
  const extra = view.extraTasks.find(({ task }) => task.task_id === taskId);
  return extra && { intent, task: extra.task, role: 'extra', announcedAtMs: extra.recordedAtMs };
}

/** What this process remembers of a task that its purchase's claim names. */
export function recallTask(records: LedgerRecords, { purchase, taskId }: TaskRef): RecordedTask | undefined {
  const { paths } = records;
  const intent = records.recall<IntentRecord>(paths.intent(purchase));
  const decision = records.recall<ClaimRecord>(paths.claim(purchase))?.decision;
  if (intent === undefined || decision === undefined) return undefined;
  if (!('task_id' in decision) || decision.task_id !== taskId) return undefined;
  return { intent, task: decision, role: 'claimed', announcedAtMs: intent.written_at_ms };
}

/**
 * When the purchase that owns a task was announced, in milliseconds since the epoch: a task that one purchase records
 * in addition may belong to another one, which watches it as well.
 */
export async function findOwnersTime(
  records: LedgerRecords,
  owner: TaskRecord | undefined,
  { intent }: RecordedTask,
  options: StoreOptions,
): Promise<number> {
  if (owner === undefined || isOwnedBy(owner, { key: intent.purchase_key, n: intent.n })) return intent.written_at_ms;
  const purchase: Purchase = { key: owner.purchase_key, n: owner.n };
  const owning = await records.read(records.paths.intent(purchase), intentRecord, purchase, options);
  return (owning ?? intent).written_at_ms;
}
