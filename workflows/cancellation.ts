import * as wf from '@temporalio/workflow';
import { cancelSignal } from './messages.js';
import { steps } from './steps.js';

/**
 * Runs `work` so that Temporal's own cancellation and the signal `cancel` do the same thing: `release` runs once, itself
 * uncancelled, and then the run closes as Cancelled.
 */
export async function cancellable<T>(work: () => Promise<T>, release: () => Promise<void>): Promise<T> {
  // Taken here: inside nonCancellable the current scope is another one.
  const root = wf.CancellationScope.current();
  const scope = new wf.CancellationScope({ cancellable: true });
  let signalled = false;
  wf.setHandler(cancelSignal, () => {
    signalled = true;
    scope.cancel();
  });
  try {
    return await scope.run(work);
  } catch (error) {
    if (!wf.isCancellation(error)) throw error;
    await wf.CancellationScope.nonCancellable(async () => {
      await release();
      const { workflowId, runId } = wf.workflowInfo();
      // Only a cancellation that the server itself was asked for closes the run as Cancelled.
      if (signalled && !root.consideredCancelled) await steps().requestCancellation({ workflowId, runId });
    });
    if (signalled) await root.cancelRequested;
    throw error;
  }
}
