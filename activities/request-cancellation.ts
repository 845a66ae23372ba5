import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';

/** Turns the `cancel` signal into Temporal's own cancellation, so that the run closes as Cancelled. */
export function createRequestCancellation({ cancelRun }: ActivityDeps): VideoActivities['requestCancellation'] {
  return ({ workflowId, runId }) => cancelRun(workflowId, runId);
}
