import type { Clock } from '../async/clock.js';
import { FailureType } from '../contract/failure-type.js';
import { isSamePurchase, type Purchase } from '../contract/purchase.js';
import type { SubmitDecision } from '../contract/result.js';
import { VideoError } from '../contract/video-error.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { candidateKey } from '../storage/keys.js';
import type { Ledger } from './ledger.js';
import type { QueryApi } from './provider.js';
import { assessPurchase, type DecidedStatus } from './purchase-status.js';
import { endingOfTask, hasTask } from './purchase-view.js';
import type { TaskRef } from './recorded-task.js';
import type { ClaimedTask } from './records.js';
import type { LedgerTimes } from './times.js';

export interface ResolveDeps {
  readonly ledger: Ledger;
  readonly provider: QueryApi;
  readonly clock: Pick<Clock, 'now'>;
  readonly times: LedgerTimes;
}

/**
 * Records a person's decision on a purchase whose reply was lost, unless the purchase was decided before. Safe to
 * repeat.
 *
 * A task whose video was kept as a candidate is accepted even when the provider has forgotten it; archive it from
 * there.
 * @returns what the ledger now says (as `awaitPurchase`); compare it with the decision, because an earlier one wins.
 * @throws VideoError `InvalidRequest` when the task does not exist for this account or belongs to another purchase;
 * nothing is written then. Else as the provider's query and the ledger do.
 */
export async function resolvePurchase(
  deps: ResolveDeps,
  purchase: Purchase,
  decision: SubmitDecision,
  options: StoreOptions = {},
): Promise<DecidedStatus> {
  const { ledger } = deps;
  checkDecision(decision);
  const { state } = await ledger.requirePurchase(purchase, options);
  if (state.kind === 'unclaimed') {
    if ('task_id' in decision) await claimNamedTask(deps, purchase, decision.task_id, options);
    else await ledger.decideNotCreated(purchase, { reason: 'person', failure: null }, options);
  }
  const decided = await ledger.findPurchase(purchase, options);
  const status = decided === undefined ? undefined : await assessPurchase(deps, decided, [], options);
  if (status !== undefined && status.kind !== 'unclaimed') return status;
  throw new VideoError(
    FailureType.StoreUnavailable,
    `The decision on purchase ${purchase.key}/${purchase.n} is written, and the asset store does not show it`,
    { retryable: true, nextStep: 'Wait; the step is tried again.' },
  );
}

/**
 * Records a person's decision on a paid task whose result cannot be archived: `buy_again` gives the result up, and the
 * task itself has it tried again at once. What is given up is billed all the same, unless the provider says that the
 * task ended without a video. Safe to repeat.
 * @returns what the ledger now says; `task`: try again.
 * @throws VideoError `InvalidRequest` when the decision names another task; nothing is written then.
 */
export async function resolveResult(
  deps: ResolveDeps,
  task: TaskRef,
  decision: SubmitDecision,
  options: StoreOptions = {},
): Promise<DecidedStatus> {
  const { ledger } = deps;
  checkDecision(decision);
  if ('task_id' in decision && decision.task_id !== task.taskId) {
    throw refused(
      `The run waits for the result of task ${task.taskId}, and the decision names another task`,
      `Name ${task.taskId} to have it tried again at once, or buy again.`,
      task.taskId,
    );
  }
  if (!('task_id' in decision)) {
    await billGivenUp(deps, task, options);
    const ending = await ledger.finish(task, { how: 'abandoned' }, options);
    if (ending.how === 'abandoned') return { kind: 'buy' };
  }
  const status = await assessPurchase(deps, await ledger.requirePurchase(task.purchase, options), [], options);
  if (status.kind !== 'unclaimed') return status;
  throw new VideoError(
    FailureType.StoreUnavailable,
    `Task ${task.taskId} is claimed, and the asset store does not show it`,
    { retryable: true, nextStep: 'Wait; the step is tried again.' },
  );
}

/** Books a task that is given up, before nobody looks at it any more; its end may never have been seen. */
async function billGivenUp(
  { ledger, provider, clock }: ResolveDeps,
  task: TaskRef,
  options: StoreOptions,
): Promise<void> {
  const view = await ledger.requirePurchase(task.purchase, options);
  if (endingOfTask(view, task.taskId) !== undefined) return;
  // A query that is refused or lost must not keep a person from deciding.
  const seen = await provider.queryTask(task.taskId, options).catch((error: unknown) => {
    if (options.signal?.aborted === true) throw error;
    return undefined;
  });
  if (seen?.status === 'FAILED' || seen?.status === 'CANCELED') return;
  const { duration, resolution, audio } = view.intent.expects;
  const bill = { endTimeMs: clock.now(), billedSeconds: duration, resolution, audio, estimated: true };
  await ledger.recordBill(task, bill, options).catch((error: unknown) => {
    // A bill that cannot be read is there.
    if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
  });
}

/** A decision comes from outside, and a malformed one must not buy. */
function checkDecision(decision: unknown): void {
  const fields = typeof decision === 'object' && decision !== null ? (decision as Record<string, unknown>) : {};
  const takes = typeof fields['task_id'] === 'string' && fields['task_id'] !== '' && fields['buy_again'] === undefined;
  const buys = fields['buy_again'] === true && fields['task_id'] === undefined;
  if (takes || buys) return;
  throw refused(
    'The decision names no task and does not say to buy again',
    'Send {"task_id": "…"} or {"buy_again": true}.',
  );
}

async function claimNamedTask(
  { ledger, provider }: ResolveDeps,
  purchase: Purchase,
  taskId: string,
  options: StoreOptions,
): Promise<void> {
  const isKnown = (await provider.queryTask(taskId, options)).status !== 'UNKNOWN';
  if (!isKnown && (await ledger.store.head(candidateKey(taskId), options)) === undefined) {
    throw refused(
      `Task ${taskId} is not known to this provider account, and no video of it was kept`,
      "Use a task id from the run's evidence, or buy again.",
      taskId,
    );
  }
  // Its task record may be missing.
  const { open } = await ledger.listOpen(undefined, options);
  const other = open.find((view) => !isSamePurchase(view.purchase, purchase) && hasTask(view, taskId));
  if (other !== undefined) throw takenError(taskId, other.purchase);
  const task: ClaimedTask = {
    task_id: taskId,
    request_id: null,
    key_fingerprint: isKnown ? await provider.keyFingerprint() : null,
    found_by: 'person',
  };
  const claim = await ledger.claim(purchase, task, options);
  if (claim.kind === 'taken') throw takenError(taskId, claim.by);
}

const takenError = (taskId: string, by: Purchase): VideoError =>
  refused(
    `Task ${taskId} belongs to another purchase (${by.key}/${by.n})`,
    'Choose another task, or buy again.',
    taskId,
  );

function refused(message: string, nextStep: string, taskId?: string): VideoError {
  return new VideoError(FailureType.InvalidRequest, message, { nextStep, taskId });
}
