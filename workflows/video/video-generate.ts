import * as wf from '@temporalio/workflow';
import type { PreparedRequest, Purchase, PurchaseStep, ReadyInput } from '../../activities/types.js';
import { budgetReachedFailure } from '../../src/contract/budget.js';
import type { VideoRequest } from '../../src/contract/request.js';
import type { CancelOutcome, VideoResult } from '../../src/contract/result.js';
import { callerAttributes } from '../../src/contract/search-attributes.js';
import { steps } from '../shared/activities.js';
import { cancellable } from '../shared/cancellation.js';
import { attributesKnown, failure, failureOf } from '../shared/failures.js';
import { notifyBudgetReached } from '../shared/notify-webhook.js';
import { batchOf, queueIdentityOf } from '../shared/run-context.js';
import { Progress } from './progress.js';
import { boughtByThisRun, PurchaseTracker } from './purchase-tracker.js';
import { reportToBatch } from './report-to-batch.js';
import { startSalvage } from './salvage-video.js';
import { SlotRequest } from './slot-request.js';

/** A task that fails for a fault of the provider is free, so it is bought anew; three times the same is no accident. */
const RESUBMITS_MAX = 2;
/** The provider keeps an uploaded image for 48 h: after half of it in the queue it is uploaded anew. */
const IMAGE_FRESH_MS = 86_400_000;

/** Prepares the request, buys one task unless one is there to follow, watches it to its end and archives the video. */
export async function videoGenerate(request: VideoRequest): Promise<VideoResult> {
  const run = new Run();
  return reportToBatch(request, run.progress, () => generate(request, run));
}

async function generate(request: VideoRequest, run: Run): Promise<VideoResult> {
  const work = async (): Promise<VideoResult> => {
    const prepared = await prepare(request, run.progress);
    run.prepared = prepared;
    run.tracker.webhookEvents = prepared.webhookEvents;
    if (prepared.cached !== null) return prepared.cached;
    return buyAndArchive(prepared, run);
  };
  try {
    const result = await cancellable(deadlineOf(request), work, async (by) => {
      run.progress.enter('cancelling');
      const outcome = await release(run);
      run.progress.cancelled(by, outcome);
      return outcome;
    });
    return run.progress.finished(result);
  } catch (error) {
    if (wf.isCancellation(error)) throw error;
    const told = await handOverPurchase(run, error);
    const known = failureOf(told);
    run.progress.failed(known);
    if (known?.type === 'BudgetReached') await notifyBudgetReached(run.tracker.webhookEvents, known);
    throw told;
  }
}

/** The first step. Only it can tell a run of a plain caller whether search attributes may be set, also when it fails. */
async function prepare(request: VideoRequest, progress: Progress): Promise<PreparedRequest> {
  try {
    const prepared = await steps().prepareRequest({ request, batchId: batchOf() });
    const { attributes, labels, labelsHidden = false } = prepared;
    const { tenant } = prepared.request;
    progress.attributes(attributes, callerAttributes({ tenant, labels }, labelsHidden));
    return prepared;
  } catch (error) {
    if (attributesKnown(error)) progress.attributes(true);
    throw error;
  }
}

/** What a run has in its hands. */
class Run {
  readonly progress = new Progress();
  readonly tracker = new PurchaseTracker(this.progress);
  readonly slot = new SlotRequest(this.progress);
  prepared: PreparedRequest | undefined;
  /** A submit whose answer is lost: what it may have bought is not known yet. */
  unanswered: ReadyInput | undefined;
}

async function buyAndArchive(prepared: PreparedRequest, run: Run): Promise<VideoResult> {
  const { progress, tracker, slot } = run;
  const { times } = prepared;
  const unrestorable: Purchase[] = [];
  for (let resubmits = 0; ; ) {
    progress.enter('uploading');
    const input = readyInput(prepared, unrestorable);
    const ready = await steps(times).uploadReference(input);
    let step: PurchaseStep;
    if (ready.kind === 'budget_reached') throw failure(budgetReachedFailure(ready.reached));
    if (ready.kind === 'found') step = ready.step;
    else {
      const uploadedAtMs = Date.now();
      await slot.waitForGrant(ready.slot, input.queueIdentity, times);
      if (Date.now() - uploadedAtMs > IMAGE_FRESH_MS) continue;
      step = await buy(input, ready.imgUrl, run);
      // Bought, found out about and archived by others while this run waited: there is nothing to hold the slot for.
      if (step.kind === 'archived' || step.kind === 'restore') await slot.withdraw(false);
    }
    const settled = await tracker.settle(step, times);
    if (settled.kind === 'buy') continue;
    if (settled.kind === 'failed') throw failure(settled.failure);
    if (settled.kind === 'archived') return settled.result;
    if (settled.kind === 'restore') {
      progress.enter('archiving');
      const { result } = await steps(times, settled.task.taskId).restoreVideo(settled);
      if (result !== null) return result;
      unrestorable.push(settled.task.purchase);
      continue;
    }
    const end = await tracker.watchToEnd(settled.task, times);
    if (end.kind === 'archived') return end.result;
    // What another run lost is bought anew; what this one paid for and lost is told.
    if (end.kind === 'gone' && !boughtByThisRun(settled.task)) continue;
    if (end.kind !== 'free' || resubmits === RESUBMITS_MAX) throw failure(end.failure);
    resubmits += 1;
    progress.nextAttempt();
  }
}

/** What the steps before the purchase need to know of this run. */
function readyInput(prepared: PreparedRequest, unrestorable: readonly Purchase[]): ReadyInput {
  const { workflowId, firstExecutionRunId, startTime } = wf.workflowInfo();
  const buyer = { workflowId, firstRunId: firstExecutionRunId };
  const queueIdentity = queueIdentityOf(prepared.request.tenant);
  return { prepared, buyer, firstStartedAtMs: startTime.getTime(), unrestorable, queueIdentity };
}

/** The one step that may cost money. */
async function buy(ready: ReadyInput, imgUrl: string, run: Run): Promise<PurchaseStep> {
  const { queueIdentity: _, ...input } = ready;
  const { submitTask } = steps(input.prepared.times);
  run.progress.enter('submitting');
  for (;;) {
    try {
      const step = await submitTask({ ...input, imgUrl });
      run.unanswered = undefined;
      return step;
    } catch (error) {
      // The step's own answer is lost (its worker died, or it took too long). Asked again, it finds its own announcement
      // in the ledger and says `unknown`; it never sends under an announcement that stands.
      if (!isAnswerLost(error)) throw error;
      run.unanswered = ready;
    }
  }
}

function isAnswerLost(error: unknown): boolean {
  if (!(error instanceof wf.ActivityFailure)) return false;
  const { cause } = error;
  if (cause instanceof wf.TimeoutFailure) return cause.timeoutType !== 'SCHEDULE_TO_CLOSE';
  return cause instanceof wf.ApplicationFailure && cause.type === 'WorkerShutdown';
}

/** Milliseconds of `deadline_seconds`, counted from the run's start. What a caller sent is checked by the first step, not here. */
function deadlineOf(request: unknown): number | null {
  const seconds = (request as { deadline_seconds?: unknown } | null | undefined)?.deadline_seconds;
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : null;
}

/** The one place where a run that is cancelled deals with what may already cost money. */
async function release(run: Run): Promise<Omit<CancelOutcome, 'reason'>> {
  const { tracker, slot } = run;
  await findUnanswered(run);
  const { purchase, task } = tracker;
  if (purchase === undefined) {
    await slot.withdraw(run.unanswered === undefined);
    return run.unanswered === undefined
      ? { outcome: 'Nothing was bought.', billed: false }
      : {
          outcome: 'What became of the submit is not known; the next sweep finds out and keeps the video.',
          billed: null,
        };
  }
  slot.transferToSalvage(); // to the salvage, which gives it back when the task has ended
  // It watches, archives and closes, so that the same request finds its video later. Started beside the cancel: whatever
  // that answers, and also when it does not, the salvage sees what became of the task.
  const salvaged = salvage(run, purchase, 'sees a purchase to its end whose run was cancelled');
  if (task === undefined) {
    const outcome = `What became of the submit is not known yet; ${await salvaged} finds out and keeps the video.`;
    return { outcome, billed: null };
  }
  const { taskId } = task;
  if (!boughtByThisRun(task)) {
    await salvaged;
    const outcome = `Task ${taskId} was bought by another run, which goes on with it.`;
    return { outcome, task_id: taskId, billed: null };
  }
  const { cancelTask } = steps(undefined, taskId);
  const [answer, id] = await Promise.all([cancelTask({ taskId }).catch(() => undefined), salvaged]);
  const kept = `it is billed if it succeeds, and ${id} archives its video.`;
  if (answer === undefined) {
    return {
      outcome: `The provider did not say whether task ${taskId} could be cancelled; ${kept}`,
      task_id: taskId,
      billed: null,
    };
  }
  return answer.cancelled
    ? { outcome: `Task ${taskId} had not started and was cancelled at the provider.`, task_id: taskId, billed: false }
    : { outcome: `Task ${taskId} had started; ${kept}`, task_id: taskId, billed: null };
}

/** Before a run is cancelled that does not know what its submit came to: the ledger may. Looks once, and never sends. */
async function findUnanswered({ tracker, unanswered }: Run): Promise<void> {
  if (tracker.purchase !== undefined || unanswered === undefined) return;
  const { found } = await steps()
    .findPurchase(unanswered)
    .catch(() => ({ found: null }));
  if (found !== null) tracker.update(found);
}

/** A run that fails leaves what it has bought to a salvage, and tells of it in the published form. */
async function handOverPurchase(run: Run, error: unknown): Promise<unknown> {
  const { purchase, task } = run.tracker;
  if (purchase === undefined) {
    await run.slot.withdraw(run.unanswered === undefined);
    return error;
  }
  run.slot.transferToSalvage();
  const id = await salvage(run, purchase, 'sees a purchase to its end whose run failed');
  const known = failureOf(error);
  if (known !== undefined) return error;
  // A step's time is over; what it was about is not.
  return failure({
    type: 'StepTimedOut',
    message: `A step did not end in time: ${error instanceof wf.ActivityFailure ? error.activityType : String(error)}`,
    task_id: task?.taskId,
    next_step: `Nothing is lost: ${id} sees the purchase to its end, and the same request then finds the video.`,
  });
}

async function salvage({ prepared, tracker }: Run, purchase: Purchase, summary: string): Promise<string> {
  const attributes = prepared?.attributes ?? false;
  const { task = null, webhookEvents } = tracker;
  return (await startSalvage({ purchase, task, attributes, webhookEvents }, summary)).id;
}
