import * as wf from '@temporalio/workflow';
import type { CancelOutcome } from '../../src/contract/result.js';
import { steps } from './activities.js';
import { failure } from './failures.js';
import { answersGiven, onRequest, refusal } from './message-handlers.js';
import { cancelSignal } from './messages.js';
import { EXPECTED_REASON, type Reason, readReason } from './read-reason.js';

/** Why a run ends before its video. */
export type EndedBy = { readonly how: 'cancel'; readonly reason: string | null } | { readonly how: 'deadline' };

/**
 * Runs `work`. Temporal's own cancellation, the message `cancel` and the deadline all do the same: `release` runs once,
 * itself not cancellable, and then the run closes as Cancelled, or fails as `DeadlineExceeded`.
 * @param deadlineMs - Milliseconds from now; null: none.
 * @param isArchived - Whether there is a video already; the words of `DeadlineExceeded` depend on it.
 */
export async function cancellable<T>(
  deadlineMs: number | null,
  work: () => Promise<T>,
  release: (by: EndedBy) => Promise<Omit<CancelOutcome, 'reason'>>,
  isArchived: () => boolean = () => false,
): Promise<T> {
  // Read here: inside nonCancellable the current scope is another one.
  const root = wf.CancellationScope.current();
  const scope = new wf.CancellationScope({ cancellable: true });
  let signalled = false;
  let reason: string | null = null;
  let deadlinePassed = false;
  let outcome: Omit<CancelOutcome, 'reason'> | undefined;
  let isOver = false;
  let markOver: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    markOver = resolve;
  });
  onRequest<Reason, CancelOutcome>(cancelSignal, {
    read: readReason,
    expected: EXPECTED_REASON,
    description: 'Ends the run as Cancelled; answers what became of its task, and whether it is billed.',
    refuse: () => (isOver ? 'The run has ended' : undefined),
    handle: async (given) => {
      signalled = true;
      reason ??= given.reason;
      scope.cancel();
      await over;
      if (outcome === undefined) throw refusal('The run ended otherwise at the same moment');
      return { ...outcome, reason };
    },
  });
  const timer = new wf.CancellationScope({ cancellable: true });
  if (deadlineMs !== null) {
    timer
      .run(() => wf.sleep(deadlineMs, { summary: 'deadline_seconds' }))
      .then(
        () => {
          deadlinePassed = true;
          scope.cancel();
        },
        () => undefined, // the work ended first
      );
  }
  try {
    return await scope.run(work);
  } catch (error) {
    // A step in flight may fail for a reason of its own after the cancel; the run was cancelled all the same.
    if (!wf.isCancellation(error) && !scope.consideredCancelled) throw error;
    const byDeadline = deadlinePassed && !signalled && !root.consideredCancelled;
    await wf.CancellationScope.nonCancellable(async () => {
      outcome = await release(byDeadline ? { how: 'deadline' } : { how: 'cancel', reason });
      markOver();
      const { workflowId, runId } = wf.workflowInfo();
      // Only a cancellation that the server has received closes the run as Cancelled.
      if (signalled && !root.consideredCancelled) await steps().requestCancellation({ workflowId, runId });
    });
    // It rejects, with an error that does not say what became of the task.
    if (signalled) await root.cancelRequested.catch(() => undefined);
    if (!byDeadline) throw new wf.CancelledFailure('cancelled', outcome && [{ ...outcome, reason }], error as Error);
    const passed = isArchived() ? 'deadline_seconds passed.' : 'deadline_seconds passed before the video was archived.';
    throw failure({
      type: 'DeadlineExceeded',
      message: `${passed} ${outcome?.outcome ?? ''}`,
      task_id: outcome?.task_id,
      billed: outcome?.billed ?? undefined,
      next_step: 'Start the request again with more time; it finds what was bought for it.',
    });
  } finally {
    timer.cancel();
    isOver = true;
    markOver();
    await answersGiven();
  }
}
