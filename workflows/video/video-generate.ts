import * as wf from '@temporalio/workflow';
import type { FirstStep } from '../../activities/prepare-request.js';
import type { PurchaseStep, SubmitRefusal } from '../../activities/purchase-step.js';
import type { PurchaseInput } from '../../activities/submit-task.js';
import type { Readiness } from '../../activities/upload-reference.js';
import {
  bytesOf,
  DEADLINE_SECONDS_MAX,
  INPUT_DEPTH_MAX,
  isDeeperThan,
  REQUEST_BYTES_MAX,
} from '../../src/contract/bounds.js';
import { budgetReachedFailure } from '../../src/contract/budget.js';
import type { VideoFailure } from '../../src/contract/failure.js';
import type { Purchase } from '../../src/contract/purchase.js';
import type { PostProduction, VideoRequest } from '../../src/contract/request.js';
import type { CancelOutcome, VideoResult } from '../../src/contract/result.js';
import { callerAttributes } from '../../src/contract/search-attributes.js';
import { withoutSignedAudio } from '../../src/contract/signed-url.js';
import type { StepTimes } from '../../src/contract/times.js';
import type { WebLinks } from '../../src/contract/web-links.js';
import type { RunEnd } from '../../src/contract/webhook-data.js';
import { steps } from '../shared/activities.js';
import { cancellable, type EndedBy } from '../shared/cancellation.js';
import { notifyBudgetReached, notifyEnded } from '../shared/deliver-webhook.js';
import { failedPreparationOf, failure, failureOf, failureOrUnexpected, runFailure } from '../shared/failures.js';
import { batchOf } from '../shared/run-context.js';
import { startSalvage } from '../shared/start-salvage.js';
import { deliverVideo } from './conform-video.js';
import { Progress } from './progress.js';
import { boughtByThisRun, PurchaseTracker } from './purchase-tracker.js';
import { reportToBatch } from './report-to-batch.js';
import { reportToParent } from './report-to-parent.js';
import { SlotRequest } from './slot-request.js';

/**
 * A task that fails for a fault of the provider is free, so it is bought again; the same fault three times is no
 * accident.
 */
const RESUBMITS_MAX = 2;
/** Submits in a row of which nothing came, each found out in some two minutes: a fourth is not answered better. */
const UNCREATED_MAX = 3;
/** The provider keeps an uploaded image for 48 h: after half of it in the queue it is uploaded again. */
const IMAGE_FRESH_MS = 86_400_000;

/** Prepares the request, buys one task unless there is one to follow, watches it to its end and archives the video. */
export async function videoGenerate(request: VideoRequest): Promise<VideoResult> {
  const run = new Run();
  const reported = reportToParent(run.progress);
  return reportToBatch(request, run.progress, () => generate(request, run)).finally(reported);
}

/** The parts of a run that its end needs, however it ends. */
class Run {
  readonly progress = new Progress();
  readonly tracker = new PurchaseTracker(this.progress);
  readonly slot = new SlotRequest(this.progress);
  /** Whether the namespace has the search attributes. */
  attributes = false;
  /** The worker's times, once they are known. */
  times: StepTimes | undefined;
  /** The archived video, while something is made from it. */
  archived: VideoResult | undefined;
  /** A submit whose answer is lost: what it may have bought is not known yet. */
  lostSubmit: PurchaseInput | undefined;
}

async function generate(request: VideoRequest, run: Run): Promise<VideoResult> {
  const work = async (): Promise<VideoResult> => {
    const prepared = await prepare(request, run);
    const result = prepared.cached ?? (await buyAndArchive(prepared, run));
    return prepared.delivery === undefined ? result : deliver(result, prepared.delivery, { prepared, request, run });
  };
  try {
    const released = async (by: EndedBy) => {
      run.progress.enter('cancelling');
      const outcome = await release(run);
      run.progress.cancelled(by, outcome);
      if (by.how === 'cancel')
        await reportEnd(run, { state: 'cancelled', outcome: outcome.outcome, reason: by.reason });
      return outcome;
    };
    const result = await cancellable(deadlineOf(request), work, released, () => run.archived !== undefined);
    await reportEnd(run, { state: result.source === 'cache' ? 'cached' : 'done', result });
    return run.progress.finished(result);
  } catch (error) {
    if (wf.isCancellation(error)) throw error;
    const final = await handOverPurchase(run, error);
    const known = failureOf(final);
    run.progress.failed(known);
    const isBudget = known?.type === 'BudgetReached';
    if (isBudget) await notifyBudgetReached(run.tracker.webhookEvents, known);
    await reportEnd(run, { state: isBudget ? 'budget_reached' : 'failed', failure: failureOrUnexpected(final) });
    throw final;
  }
}

/** Makes from the archived video what the request says; from here on the run has a video, and fails no more. */
async function deliver(
  result: VideoResult,
  delivery: PostProduction,
  { prepared, request, run }: { readonly prepared: FirstStep; readonly request: VideoRequest; readonly run: Run },
): Promise<VideoResult> {
  run.archived = result;
  run.progress.conforming(result);
  const { storeId, times } = prepared;
  const limitMs = deadlineOf(request);
  const deadlineMs = limitMs === null ? null : wf.workflowInfo().startTime.getTime() + limitMs;
  return deliverVideo(result, { delivery, storeId, times, deadlineMs });
}

const reportEnd = ({ tracker }: Run, end: RunEnd): Promise<void> => notifyEnded(tracker.webhookEvents, end);

/**
 * Runs the first step. A run of a plain client learns from it alone whether it may set search attributes, even if it
 * fails.
 */
async function prepare(request: VideoRequest, run: Run): Promise<FirstStep> {
  refuseOversized(request);
  const { workflowId, firstExecutionRunId: firstRunId, startTime } = wf.workflowInfo();
  const buyer = { workflowId, firstRunId };
  try {
    const startedAtMs = startTime.getTime();
    // History has the whole request once, as the caller sent it; a signed link in it is not repeated.
    const input = { request: withoutSignedAudio(request), buyer, startedAtMs, batchId: batchOf() };
    const prepared = await steps().prepareRequest(input);
    const { attributes, labels, labelsHidden, webhookEvents, webLinks } = prepared;
    const { tenant } = prepared.request;
    run.attributes = attributes;
    run.times = prepared.times;
    run.progress.useAttributes(attributes, callerAttributes({ tenant, labels }, labelsHidden));
    run.tracker.webhookEvents = webhookEvents;
    run.progress.links = linksOf(prepared.reference, webLinks);
    return prepared;
  } catch (error) {
    const { attributes, webhookEvents } = failedPreparationOf(error);
    if (attributes === true) run.progress.useAttributes(true);
    run.tracker.webhookEvents = webhookEvents;
    throw error;
  }
}

/** What the details link to, with the copy of the image that is sent. */
function linksOf(reference: FirstStep['reference'], links: WebLinks = {}): WebLinks {
  const hasAddress = reference.kind === 'asset' && links.assets !== undefined;
  return hasAddress ? { ...links, reference: `${links.assets}/${reference.key}` } : links;
}

/**
 * Refuses an input that no step could get: Temporal would end the run, or repeat its workflow task for ever. Everything
 * else is checked by the first step.
 * @throws ApplicationFailure `InvalidRequest`.
 */
function refuseOversized(request: unknown): void {
  const isDeep = isDeeperThan(INPUT_DEPTH_MAX, request);
  const bytes = isDeep ? 0 : bytesOf(JSON.stringify(request) ?? '');
  if (!isDeep && bytes <= REQUEST_BYTES_MAX) return;
  const message = isDeep
    ? 'is nested too deeply; a request is flat'
    : `has ${bytes} bytes; at most ${REQUEST_BYTES_MAX}`;
  throw failure({
    type: 'InvalidRequest',
    message: `The request is invalid: ${message}`,
    issues: [{ path: '', message }],
    billed: false,
    next_step: 'Stage the image and send the request again with its asset: reference.',
  });
}

async function buyAndArchive({ ready: atOnce, ...prepared }: FirstStep, run: Run): Promise<VideoResult> {
  const { progress, tracker, slot } = run;
  const { times, queueIdentity } = prepared;
  const { uploadReference, restoreVideo } = steps(times);
  const unrestorable: Purchase[] = [];
  let readyAtOnce = atOnce;
  for (let resubmits = 0; ; ) {
    const input: PurchaseInput = { prepared, unrestorable };
    slot.expectRequest(prepared.slots, prepared.query.purchaseKey);
    if (readyAtOnce === undefined) progress.enter('uploading');
    const ready = readyAtOnce ?? (await uploadReference(input));
    readyAtOnce = undefined;
    if (ready.kind !== 'requested') slot.expectNothing();
    let step: PurchaseStep;
    if (ready.kind === 'budget_reached') throw failure(budgetReachedFailure(ready.reached));
    if (ready.kind === 'found') step = ready.step;
    else {
      const uploadedAtMs = Date.now();
      await slot.waitForGrant(ready.slot, ready.answer, queueIdentity, times);
      if (Date.now() - uploadedAtMs > IMAGE_FRESH_MS) continue;
      step = await buy(input, ready, run);
      // Another run has bought and archived the video while this one waited: nothing needs the slot.
      if (step.kind === 'archived' || step.kind === 'restore') await slot.withdraw(false);
    }
    const settled = await tracker.settle(step, times);
    if (settled.kind === 'buy') {
      if (tracker.uncreated.length >= UNCREATED_MAX) throw failure(neverCreated(tracker.uncreated));
      continue;
    }
    if (settled.kind === 'failed') throw failure(settled.failure);
    if (settled.kind === 'archived') return settled.result;
    if (settled.kind === 'restore') {
      progress.enter('archiving');
      const { result } = await restoreVideo(settled);
      if (result !== null) return result;
      unrestorable.push(settled.task.purchase);
      continue;
    }
    const end = await tracker.watchToEnd(settled.task, times);
    if (end.kind === 'archived') return end.result;
    if (end.kind === 'abandoned') {
      progress.nextAttempt();
      continue;
    }
    // What another run lost is bought again; what this run paid and lost is a failure.
    if (end.kind === 'gone' && !boughtByThisRun(settled.task)) continue;
    if (end.kind !== 'free' || resubmits === RESUBMITS_MAX) throw failure(end.failure);
    resubmits += 1;
    progress.nextAttempt();
  }
}

/** The provider, or what is before it, refuses submits without saying so. */
function neverCreated(refusals: readonly SubmitRefusal[]): VideoFailure {
  const { message, code, requestId: request_id } = refusals.at(-1) ?? { message: '' };
  return {
    type: 'ProviderUnavailable',
    message: `${refusals.length} submits in a row created no task, as the task list shows. The last: ${message}`,
    code,
    request_id,
    billed: false,
    next_step:
      'Nothing was bought. Check the gateway or proxy before the provider and DASHSCOPE_HTTP_BASE_URL, then start ' +
      'the request again.',
  };
}

/** Runs the one step that may cost money. */
async function buy(
  input: PurchaseInput,
  { imgUrl, slot: { afterPurchase } }: Extract<Readiness, { readonly kind: 'requested' }>,
  run: Run,
): Promise<PurchaseStep> {
  const { submitTask } = steps(input.prepared.times);
  run.progress.enter('submitting');
  for (;;) {
    try {
      const step = await submitTask({ ...input, imgUrl, afterPurchase });
      run.lostSubmit = undefined;
      return step;
    } catch (error) {
      // The answer of the step is lost (its worker died, or it took too long). Run again, the step finds its own intent
      // in the ledger and returns `unknown`; it never sends a second time under one intent.
      if (!isAnswerLost(error)) throw error;
      run.lostSubmit = input;
    }
  }
}

function isAnswerLost(error: unknown): boolean {
  if (!(error instanceof wf.ActivityFailure)) return false;
  const { cause } = error;
  if (cause instanceof wf.TimeoutFailure) return cause.timeoutType !== 'SCHEDULE_TO_CLOSE';
  return cause instanceof wf.ApplicationFailure && cause.type === 'WorkerShutdown';
}

/**
 * Milliseconds of `deadline_seconds`, from the start of the run. The first step checks what the caller sent, not this
 * function.
 */
function deadlineOf(request: unknown): number | null {
  const seconds = (request as { deadline_seconds?: unknown } | null | undefined)?.deadline_seconds;
  return typeof seconds === 'number' && seconds > 0 ? Math.min(seconds, DEADLINE_SECONDS_MAX) * 1000 : null;
}

/** The one place where a cancelled run deals with what may already cost money. */
async function release(run: Run): Promise<Omit<CancelOutcome, 'reason'>> {
  const { tracker, slot, archived } = run;
  if (archived !== undefined) {
    const { video_url, task_id, source } = archived;
    const outcome = `The video was archived before, at ${video_url}; the same request finds it in the cache.`;
    return { outcome, task_id, billed: source === 'generated' };
  }
  await findLostPurchase(run);
  const { purchase, task } = tracker;
  if (purchase === undefined) {
    const nothingBought = run.lostSubmit === undefined;
    await slot.withdraw(nothingBought);
    return nothingBought
      ? { outcome: 'Nothing was bought.', billed: false }
      : {
          outcome: 'What became of the submit is not known; the next sweep finds out and keeps the video.',
          billed: null,
        };
  }
  slot.transferToSalvage();
  // The salvage watches, archives and closes, so that the same request finds its video later. It starts together with
  // the cancel: with any answer of the provider, and without one, the salvage sees what became of the task.
  const salvaging = salvage(run, purchase, 'finishes a purchase whose run was cancelled');
  if (task === undefined) {
    const outcome = `What became of the submit is not known yet; ${await salvaging} finds out and keeps the video.`;
    return { outcome, billed: null };
  }
  const { taskId } = task;
  if (!boughtByThisRun(task)) {
    await salvaging;
    const outcome = `Task ${taskId} was bought by another run, which continues with it.`;
    return { outcome, task_id: taskId, billed: null };
  }
  const [answer, salvageId] = await Promise.all([
    steps()
      .cancelTask({ taskId })
      .catch(() => undefined),
    salvaging,
  ]);
  if (answer?.cancelled === true) {
    const outcome = `Task ${taskId} had not started and was cancelled at the provider.`;
    return { outcome, task_id: taskId, billed: false };
  }
  const state =
    answer === undefined
      ? `The provider did not say whether task ${taskId} could be cancelled`
      : `Task ${taskId} had started`;
  const outcome = `${state}; it is billed if it succeeds, and ${salvageId} archives its video.`;
  return { outcome, task_id: taskId, billed: null };
}

/** Reads from the ledger, once, what a lost submit has bought, before the run is cancelled; sends nothing. */
async function findLostPurchase({ tracker, lostSubmit }: Run): Promise<void> {
  if (tracker.purchase !== undefined || lostSubmit === undefined) return;
  const { found } = await steps()
    .findPurchase(lostSubmit)
    .catch(() => ({ found: null }));
  if (found !== null) tracker.update(found);
}

/** Hands what a failed run has bought over to a salvage; returns the failure in its published form. */
async function handOverPurchase(run: Run, error: unknown): Promise<unknown> {
  const { purchase, task } = run.tracker;
  const nothingBought = purchase === undefined && run.lostSubmit === undefined;
  let next_step =
    'The step was retried until its time was over. Fix what the message names, then start the request again.';
  if (purchase === undefined) await run.slot.withdraw(nothingBought);
  else {
    run.slot.transferToSalvage();
    const salvageId = await salvage(run, purchase, 'finishes a purchase whose run failed');
    next_step = `Nothing is lost: ${salvageId} finishes the purchase, and the same request then finds the video.`;
  }
  const known = failureOf(error);
  // What a step says of its failure may promise another attempt, and there is none.
  if (known !== undefined) return isSpent(error) ? failure({ ...known, next_step }, error) : runFailure(error);
  const what = error instanceof wf.ActivityFailure ? error.activityType : String(error);
  return failure(
    {
      type: 'StepTimedOut',
      message: `A step did not end in time: ${what}`,
      task_id: task?.taskId,
      ...(nothingBought && { billed: false }),
      next_step,
    },
    error,
  );
}

/** Whether a step would have been retried, had there been time or attempts left. */
const isSpent = (error: unknown): boolean =>
  error instanceof wf.ActivityFailure &&
  (error.retryState === 'TIMEOUT' || error.retryState === 'MAXIMUM_ATTEMPTS_REACHED');

async function salvage(
  { attributes, times, tracker, progress }: Run,
  purchase: Purchase,
  summary: string,
): Promise<string> {
  const { task = null, webhookEvents } = tracker;
  const webLinks = progress.links;
  return (await startSalvage({ purchase, task, attributes, webhookEvents, webLinks, times }, summary)).id;
}
