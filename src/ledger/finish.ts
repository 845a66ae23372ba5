import type { VideoResult } from '../contract/result.js';
import { VideoError } from '../contract/video-error.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { ensureClaim } from './buy.js';
import type { DayInput, Ledger, PurchaseView } from './ledger.js';
import type { BoughtTask } from './purchase-status.js';
import { type Ending, type IntentRecord, toFailureRecord } from './records.js';

/** How a step gives on what it has seen of the purchase before: what is claimed stays claimed, so another look is spared. */
type SeenOptions = StoreOptions & { readonly seen?: PurchaseView | undefined };

/**
 * Records what was paid. For `pollTask`, when SUCCEEDED is first seen; idempotent.
 * @returns whether it was this call that recorded it, and the intent: whose money it was.
 */
export async function recordPaid(
  ledger: Ledger,
  task: BoughtTask,
  paid: Omit<DayInput, 'purchase' | 'taskId'>,
  { seen, ...options }: SeenOptions = {},
): Promise<{ readonly isFirst: boolean; readonly intent: IntentRecord }> {
  const view = await claimedView(ledger, task, options, seen);
  const isFirst = await ledger.recordDay(view, { ...paid, purchase: task.purchase, taskId: task.taskId }, options);
  return { isFirst, intent: view.intent };
}

/**
 * Ends a purchase whose video is in the store under `videos/`: points the cache at it (with a cache key), then closes.
 * For `archiveVideo` and salvage, after the video and {@link recordPaid}; idempotent.
 * @param cacheKey - null with `cache: off`.
 * @returns the ending that stands: an earlier one when another run was first.
 */
export async function closeArchived(
  ledger: Ledger,
  task: BoughtTask,
  result: VideoResult,
  cacheKey: string | null,
  { seen, ...options }: SeenOptions = {},
): Promise<Ending> {
  const view = await claimedView(ledger, task, options, seen);
  if (cacheKey !== null) await ledger.setCached(cacheKey, task.purchase, result, options);
  return ledger.close(task.purchase, task.taskId, { how: 'archived', result }, { ...options, seen: view });
}

/**
 * Ends a purchase without a video, before its failure is thrown, so that followers end the same way and do not buy.
 * For `pollTask` (a failure; `expired` only when `provesUnknown`), `cancelTask` (`cancelled`, once the provider
 * accepted or shows CANCELED) and salvage.
 * @returns the ending that stands.
 */
export async function closeWithout(
  ledger: Ledger,
  task: BoughtTask,
  how: VideoError | 'cancelled' | 'expired',
  { seen, ...options }: SeenOptions = {},
): Promise<Ending> {
  const view = await claimedView(ledger, task, options, seen);
  const ending: Ending = how instanceof VideoError ? { how: 'failed', failure: toFailureRecord(how) } : { how };
  return ledger.close(task.purchase, task.taskId, ending, { ...options, seen: view });
}

/** The purchase, with the task's claim written if it was missing. */
async function claimedView(
  ledger: Ledger,
  task: BoughtTask,
  options: StoreOptions,
  seen?: PurchaseView,
): Promise<PurchaseView> {
  const view = seen ?? (await ledger.require(task.purchase, options));
  const { state, extraTasks: late } = view;
  const known =
    ((state.kind === 'claimed' || state.kind === 'closed') && state.task.task_id === task.taskId) ||
    late.some((other) => other.task.task_id === task.taskId);
  if (known) return view;
  await ensureClaim(ledger, task, options);
  return ledger.require(task.purchase, options);
}
