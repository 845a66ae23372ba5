import { VideoError } from '../contract/video-error.js';
import type { TaskSnapshot } from '../dashscope/wire.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { Ledger } from './ledger.js';
import type { BoughtTask } from './purchase-status.js';

/** Tasks asked for at most: one that is seen proves the key, and the account may ask 20 times per second. */
const LOOKS_MAX = 10;
/** The provider keeps a task 24 hours. */
const HOURS = 24;

interface ProofDeps {
  readonly ledger: Ledger;
  readonly provider: {
    queryTask(taskId: string, options: { readonly signal?: AbortSignal | undefined }): Promise<TaskSnapshot>;
    keyFingerprint(): Promise<string>;
  };
}

/**
 * Whether the answer UNKNOWN says that a task is gone: only under the key it was bought with, or under one that has seen another task
 * bought with that key. A key of another account or region knows nothing of it. For the step `pollTask`, before it
 * closes a purchase as `expired`.
 */
export async function provesUnknown(
  deps: ProofDeps,
  task: Pick<BoughtTask, 'taskId' | 'keyFingerprint'>,
  options: StoreOptions = {},
): Promise<boolean> {
  if (task.keyFingerprint === null) return false;
  return provesAccount(deps, task.keyFingerprint, options, task.taskId);
}

/**
 * Whether the key in use is of the account of the key with that fingerprint: it is that key, or it has seen a task that was bought
 * with it. A null fingerprint is of a record that did not keep it, and proves as much as it did then.
 * @param exceptTaskId - A task whose answer is what is in question.
 */
export async function provesAccount(
  { ledger, provider }: ProofDeps,
  keyFingerprint: string | null,
  options: StoreOptions = {},
  exceptTaskId?: string,
): Promise<boolean> {
  if (keyFingerprint === null || keyFingerprint === (await provider.keyFingerprint())) return true;
  let looks = 0;
  for await (const other of ledger.claimedUnder(keyFingerprint, HOURS, options)) {
    if (other.task_id === exceptTaskId) continue;
    if (++looks > LOOKS_MAX) return false;
    try {
      if ((await provider.queryTask(other.task_id, options)).status !== 'UNKNOWN') return true;
    } catch (error) {
      if (options.signal?.aborted || !(error instanceof VideoError)) throw error;
    }
  }
  return false;
}
