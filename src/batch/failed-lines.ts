import { FailureType } from '../contract/failure-type.js';
import type { AssetStore } from '../storage/asset-store.js';
import { type InvalidLine, rowsOf } from './batch-files.js';

/** Causes that may be gone by the next time, for any request. */
export const PASSABLE_CAUSES: readonly string[] = [
  FailureType.ReferenceUnreachable,
  FailureType.CredentialsMissing,
  FailureType.CredentialsRejected,
  FailureType.AccountBlocked,
  FailureType.BudgetReached,
  FailureType.ProviderThrottled,
  FailureType.ProviderUnavailable,
  FailureType.TaskFailed,
  FailureType.TaskCancelled,
  FailureType.ResultExpired,
  FailureType.StoreUnavailable,
  FailureType.ConfigurationInvalid,
  FailureType.RunNotFound,
  'Terminated',
  'TimedOut',
];

/** Outcomes of lines that have no video and wait for nobody. */
const WITHOUT_VIDEO: readonly string[] = ['failed', 'cancelled', 'invalid', 'budget_reached'];

/** Which failed lines are meant. */
export interface RetryChoice {
  /** Failure types, `Cancelled` among them; `all`: every line that has no video and does not wait for a person. */
  readonly causes: readonly string[] | 'all';
  /** Those of {@link PASSABLE_CAUSES} as well; default false. */
  readonly passable?: boolean;
}

/**
 * The lines of a batch that have no video, as lines of a manifest: with their ids, and the reason in `comment`.
 * Duplicates of a failed line come along, so that each line is answered for, and lines that were left out for their
 * faults, as far as they could be read.
 */
export async function* failedLines(
  store: AssetStore,
  batchId: string,
  { causes, passable = false }: RetryChoice,
): AsyncGenerator<Record<string, unknown>> {
  for await (const { row, item, invalid } of rowsOf(store, batchId)) {
    const { outcome, cause, code, message, item_id } = row;
    const isOpen = outcome === 'open';
    if (!isOpen && !WITHOUT_VIDEO.includes(outcome)) continue;
    // A line that was not run at all was cut off by a cancel.
    const type = isOpen ? 'Cancelled' : (cause ?? 'unknown');
    const isMeant =
      causes === 'all' ||
      causes.includes(type) ||
      (passable && PASSABLE_CAUSES.includes(type) && outcome !== 'invalid');
    if (!isMeant) continue;
    const comment = isOpen ? 'not run' : `${type}${code === null ? '' : ` (${code})`}: ${message ?? ''}`;
    if (item !== null) yield { item_id, comment, ...item.request };
    // First, where an editor looks for it, and once more, because an `item_id` of null in the fields says nothing.
    else if (invalid?.fields != null) yield { ...idOf(invalid), ...invalid.fields, ...idOf(invalid), comment };
  }
}

/** An id that is at fault itself is in the fields as it was given. */
const idOf = ({ item_id }: InvalidLine): { readonly item_id?: string } => (item_id === null ? {} : { item_id });
