import type { Clock } from '../async/clock.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { TaskSnapshot } from '../dashscope/wire.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { candidateKey } from '../storage/keys.js';
import type { Ledger } from './ledger.js';
import type { Purchase } from './purchase-key.js';
import { assessPurchase, type PurchaseStatus } from './purchase-status.js';
import type { LedgerTimes } from './times.js';

/** What a person decided about a purchase whose reply was lost; the payload of the signal `resolveSubmit`. */
export type Decision = { readonly task_id: string } | { readonly buy_again: true };

export interface ResolveDeps {
  readonly ledger: Ledger;
  readonly provider: {
    queryTask(taskId: string, options: { readonly signal?: AbortSignal | undefined }): Promise<TaskSnapshot>;
    keyFingerprint(): Promise<string>;
  };
  readonly clock: Pick<Clock, 'now'>;
  readonly times: LedgerTimes;
}

/**
 * Writes a person's decision, unless the purchase was decided before. Safe to repeat.
 *
 * A task whose video was kept as a candidate is accepted also when the provider has forgotten it; archive it from
 * there.
 * @returns what the ledger now says (as `awaitPurchase`); compare it with the decision, an earlier one stands.
 * @throws VideoError `InvalidRequest` when the task does not exist for this account or belongs to another purchase;
 * nothing is written then. Else as the provider's query and the ledger do.
 */
export async function resolvePurchase(
  deps: ResolveDeps,
  purchase: Purchase,
  decision: Decision,
  options: StoreOptions = {},
): Promise<Exclude<PurchaseStatus, { readonly kind: 'unclaimed' }>> {
  const { ledger } = deps;
  const name = `${purchase.key}/${purchase.n}`;
  checkDecision(decision);
  const view = await ledger.require(purchase, options);
  if (view.state.kind === 'unclaimed') {
    if ('task_id' in decision) await takeTask(deps, purchase, decision.task_id, options);
    else await ledger.decideNotCreated(purchase, { reason: 'person', failure: null }, options);
  }
  const decided = await ledger.view(purchase, options);
  const standing = decided === undefined ? undefined : await assessPurchase(deps, decided, [], options);
  if (standing !== undefined && standing.kind !== 'unclaimed') return standing;
  throw new VideoError(FailureType.StoreUnavailable, `The decision on purchase ${name} does not show in the store`, {
    retryable: true,
    nextStep: 'Wait; the step is tried again.',
  });
}

/** A decision comes from outside, and one that says nothing must not buy. */
function checkDecision(decision: unknown): void {
  const said = typeof decision === 'object' && decision !== null ? (decision as Record<string, unknown>) : {};
  const takes = typeof said['task_id'] === 'string' && said['task_id'] !== '' && said['buy_again'] === undefined;
  const buys = said['buy_again'] === true && said['task_id'] === undefined;
  if (takes || buys) return;
  throw refused(
    'The decision names no task and does not say to buy again',
    'Send {"task_id": "…"} or {"buy_again": true}.',
  );
}

async function takeTask(
  { ledger, provider }: ResolveDeps,
  purchase: Purchase,
  taskId: string,
  options: StoreOptions,
): Promise<void> {
  const seen = await provider.queryTask(taskId, options);
  const known = seen.status !== 'UNKNOWN';
  if (!known && (await ledger.store.head(candidateKey(taskId), options)) === undefined) {
    throw refused(
      `Task ${taskId} is not known to this provider account, and no video of it was kept`,
      "Take a task id from the run's evidence, or buy again.",
      taskId,
    );
  }
  const task = {
    task_id: taskId,
    request_id: null,
    key_fingerprint: known ? await provider.keyFingerprint() : null,
    found_by: 'person' as const,
  };
  const owner = await ledger.findTask(taskId, options);
  const other = owner !== undefined && (owner.purchase_key !== purchase.key || owner.n !== purchase.n);
  const claiming = other ? undefined : await ledger.claim(purchase, task, options);
  if (claiming === undefined || claiming.kind === 'taken') {
    const by = claiming?.by ?? { key: owner?.purchase_key, n: owner?.n };
    throw refused(
      `Task ${taskId} belongs to another purchase (${by.key}/${by.n})`,
      'Choose another task, or buy again.',
      taskId,
    );
  }
}

function refused(message: string, nextStep: string, taskId?: string): VideoError {
  return new VideoError(FailureType.InvalidRequest, message, { nextStep, taskId });
}
