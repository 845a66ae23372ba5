import * as wf from '@temporalio/workflow';
import type { PreparedRequest, Purchase, PurchaseStep, ReadyInput } from '../activities/types.js';
import { salvageWorkflowId } from '../src/contract/names.js';
import type { VideoRequest } from '../src/contract/request.js';
import type { CancelOutcome, VideoResult } from '../src/contract/result.js';
import { cancellable } from './cancellation.js';
import { Progress } from './progress.js';
import { PurchaseInHand } from './purchase.js';
import { failure, failureOf, isAlreadyStarted } from './run-failure.js';
import { salvageVideo } from './salvage-video.js';
import { SlotInHand, shareOf } from './slot.js';
import { steps } from './steps.js';

/** A task that fails for a fault of the provider is free, so it is bought anew; three times the same is no accident. */
const RESUBMITS_MAX = 2;
/** The provider keeps an uploaded image for 48 h: after half of it in the queue it is uploaded anew. */
const IMAGE_FRESH_MS = 86_400_000;

/** Prepares the request, buys one task unless one is there to follow, watches it to its end and archives the video. */
export async function videoGenerate(request: VideoRequest): Promise<VideoResult> {
  const progress = new Progress();
  const inHand = new PurchaseInHand(progress);
  const slot = new SlotInHand(progress);
  const work = async (): Promise<VideoResult> => {
    const prepared = await steps().prepareRequest({ request });
    if (prepared.cached !== null) return prepared.cached;
    return buyAndArchive(prepared, inHand, slot, progress);
  };
  try {
    const result = await cancellable(deadlineOf(request), work, async (by) => {
      progress.enter('cancelling');
      progress.cancelled(by, await release(inHand, slot));
    });
    return progress.finished(result);
  } catch (error) {
    if (!wf.isCancellation(error)) {
      progress.failed(failureOf(error));
      await slot.leave();
    }
    throw error;
  }
}

async function buyAndArchive(
  prepared: PreparedRequest,
  inHand: PurchaseInHand,
  slot: SlotInHand,
  progress: Progress,
): Promise<VideoResult> {
  const { times } = prepared;
  const unrestorable: Purchase[] = [];
  for (let resubmits = 0; ; ) {
    progress.enter('uploading');
    const input = readyInput(prepared, unrestorable);
    const ready = await steps(times).uploadReference(input);
    let step: PurchaseStep;
    if (ready.kind === 'found') step = ready.step;
    else {
      const uploadedAtMs = Date.now();
      await slot.granted(ready.slot, input.share, times);
      if (Date.now() - uploadedAtMs > IMAGE_FRESH_MS) continue;
      step = await buy(input, ready.imgUrl, progress);
      // Bought, found out about and archived by others while this run waited: there is nothing to hold the slot for.
      if (step.kind === 'archived' || step.kind === 'restore') await slot.leave();
    }
    const settled = await inHand.settle(step, times);
    if (settled.kind === 'buy') continue;
    if (settled.kind === 'archived') return settled.result;
    if (settled.kind === 'restore') {
      progress.enter('archiving');
      const { result } = await steps(times, settled.task.taskId).restoreVideo(settled);
      if (result !== null) return result;
      unrestorable.push(settled.task.purchase);
      continue;
    }
    const end = await inHand.seeThrough(settled.task, times);
    if (!('free' in end)) return end;
    if (resubmits === RESUBMITS_MAX) throw failure(end.free);
    resubmits += 1;
    progress.nextAttempt();
  }
}

/** What the steps before the purchase need to know of this run. */
function readyInput(prepared: PreparedRequest, unrestorable: readonly Purchase[]): ReadyInput {
  const { workflowId, firstExecutionRunId, startTime } = wf.workflowInfo();
  const buyer = { workflowId, firstRunId: firstExecutionRunId };
  const share = shareOf(prepared.request.tenant);
  return { prepared, buyer, firstStartedAtMs: startTime.getTime(), unrestorable, share };
}

/** The one step that may cost money. */
async function buy({ share: _, ...input }: ReadyInput, imgUrl: string, progress: Progress): Promise<PurchaseStep> {
  const { submitTask } = steps(input.prepared.times);
  progress.enter('submitting');
  for (;;) {
    try {
      return await submitTask({ ...input, imgUrl });
    } catch (error) {
      // The step's own answer is lost (its worker died, or it took too long). Asked again, it finds its own announcement
      // in the ledger and says `unknown`; it never sends under an announcement that stands.
      if (!isAnswerLost(error)) throw error;
    }
  }
}

function isAnswerLost(error: unknown): boolean {
  if (!(error instanceof wf.ActivityFailure)) return false;
  const { cause } = error;
  if (cause instanceof wf.TimeoutFailure) return cause.timeoutType !== 'SCHEDULE_TO_CLOSE';
  return cause instanceof wf.ApplicationFailure && cause.type === 'WorkerShutdown';
}

/** Milliseconds left of `deadline_seconds`, counted from the run's start. */
function deadlineOf({ deadline_seconds }: VideoRequest): number | null {
  // The worker refuses a value that is none; a run whose input was not checked by a client must not fail here.
  if (typeof deadline_seconds !== 'number' || !(deadline_seconds > 0)) return null;
  return deadline_seconds * 1000;
}

/** The one place where a run that ends early deals with what may already cost money. */
async function release({ purchase, task }: PurchaseInHand, slot: SlotInHand): Promise<Omit<CancelOutcome, 'reason'>> {
  if (purchase === undefined) {
    await slot.leave();
    return { outcome: 'Nothing was bought.', billed: false };
  }
  slot.entrust(); // to the salvage, which gives it back when the task has ended
  const salvage = salvageWorkflowId(purchase.key, purchase.n);
  // It watches, archives and closes, so that the same request finds its video later. Started beside the cancel: whatever
  // that answers, and also when it does not, the salvage sees what became of the task.
  const salvaged = startSalvage(purchase, salvage);
  if (task === undefined) {
    await salvaged;
    return {
      outcome: `What became of the submit is not known yet; ${salvage} finds out and keeps the video.`,
      billed: null,
    };
  }
  const { taskId, own } = task;
  if (!own) {
    await salvaged;
    return { outcome: `Task ${taskId} was bought by another run, which goes on with it.`, billed: null };
  }
  const { cancelTask } = steps(undefined, taskId);
  const [{ cancelled }] = await Promise.all([cancelTask({ taskId }).catch(() => ({ cancelled: false })), salvaged]);
  return cancelled
    ? { outcome: `Task ${taskId} had not started and was cancelled at the provider.`, billed: false }
    : {
        outcome: `Task ${taskId} had started and is billed if it succeeds; ${salvage} archives its video.`,
        billed: null,
      };
}

async function startSalvage(purchase: Purchase, workflowId: string): Promise<void> {
  await wf
    .startChild(salvageVideo, {
      ...{ workflowId, args: [{ purchase }], parentClosePolicy: 'ABANDON' },
      cancellationType: wf.ChildWorkflowCancellationType.ABANDON,
      staticSummary: 'sees a purchase to its end whose run was cancelled',
    })
    .catch((error: unknown) => {
      // One that runs already does the same.
      if (!isAlreadyStarted(error)) throw error;
    });
}
