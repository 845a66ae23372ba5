import { FailureType } from '../contract/failure-type.js';
import type { AssetStore } from '../storage/asset-store.js';
import { type InvalidLine, reportRows } from './batch-files.js';

/** Causes that may be gone at the next attempt, whichever request they stopped. */
export const TEMPORARY_CAUSES: readonly string[] = [
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

/** Outcomes of lines that have no video and do not wait for a person. */
const WITHOUT_VIDEO: readonly string[] = ['failed', 'cancelled', 'invalid', 'budget_reached'];

/** Which lines without a video are meant. */
export interface FailureFilter {
  /** Failure types, or `Cancelled`; `all`: every line that has no video and does not wait for a person. */
  readonly causes: readonly string[] | 'all';
  /** Also lines whose cause is one of `TEMPORARY_CAUSES`; default false. */
  readonly temporary?: boolean;
}

/**
 * Lists the lines of a batch that have no video as lines of a manifest: with their ids, and with the reason in
 * `comment`. Duplicates of a failed line are listed as well, so that every line gets an outcome; so are lines that were
 * left out because of faults, as far as they could be read.
 */
export async function* failedLines(
  store: AssetStore,
  batchId: string,
  { causes, temporary = false }: FailureFilter,
): AsyncGenerator<Record<string, unknown>> {
  for await (const { row, item, invalid } of reportRows(store, batchId)) {
    const { outcome, cause, code, message, item_id } = row;
    const isOpen = outcome === 'open';
    if (!isOpen && !WITHOUT_VIDEO.includes(outcome)) continue;
    // A cancelled batch leaves lines that were never run.
    const type = isOpen ? 'Cancelled' : (cause ?? 'unknown');
    const isSelected =
      causes === 'all' ||
      causes.includes(type) ||
      (temporary && TEMPORARY_CAUSES.includes(type) && outcome !== 'invalid');
    if (!isSelected) continue;
    const comment = isOpen ? 'not run' : `${type}${code === null ? '' : ` (${code})`}: ${message ?? ''}`;
    if (item !== null) yield { item_id, comment, ...item.request };
    // The id comes first, where an editor shows it, and again last, because `fields` may hold an `item_id` of null.
    else if (invalid?.fields != null) yield { ...idOf(invalid), ...invalid.fields, ...idOf(invalid), comment };
  }
}

/** Empty for an invalid id, which the fields hold as it was given. */
const idOf = ({ item_id }: InvalidLine): { readonly item_id?: string } => (item_id === null ? {} : { item_id });
