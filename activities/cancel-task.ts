import type { ActivityDeps } from './deps.js';

/** Asks the provider to cancel a task that has not started; `cancelled` is false when it had started or ended. */
export function createCancelTask({ dashscope, times }: ActivityDeps) {
  return async ({ taskId }: { taskId: string }): Promise<{ cancelled: boolean }> => ({
    cancelled: await dashscope.cancelTask(taskId, { timeoutMs: times.cancelHttpMs }),
  });
}

/** Turns the signal `cancel` of a run into Temporal's own cancellation, so that the run closes as Cancelled. */
export function createRequestCancellation({ cancelRun }: ActivityDeps) {
  return ({ workflowId, runId }: { workflowId: string; runId: string }): Promise<void> => cancelRun(workflowId, runId);
}
