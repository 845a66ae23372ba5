import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import proto from '@temporalio/proto';
import type { SlotsHealth } from '../contract/slots.js';
import { findPollers } from './pollers.js';

/** A worker that is shut down may fail one workflow task; one that fails again and again is not repaired by waiting. */
const FAILED_ATTEMPTS_MIN = 3;
/** Events between the failed workflow task and now: each run that waits repeats its request once a minute. */
const EVENTS_READ_MAX = 5_000;
const PAGE_EVENTS = 500;
/** The SDK reports a workflow that did not yield within seconds, as on a machine that is overloaded, by this code. */
const DEADLOCK_CODE = 'TMPRL1101';

const { EventType, WorkflowTaskFailedCause } = proto.temporal.api.enums.v1;

/**
 * Finds out why slots do not answer. Overload is not absence: slots are unattended only when no worker polls their
 * queue, and failing only when their workflow task fails again and again; otherwise they answer later.
 */
export async function assessSlots(client: Client, workflowId: string, nowMs: number): Promise<SlotsHealth> {
  const run = await client.workflow
    .getHandle(workflowId)
    .describe()
    .catch((error: unknown) => {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    });
  if (run?.status.name !== 'RUNNING') return { state: 'not_running', reason: run?.status.name ?? 'never started' };
  const { taskQueue, runId } = run;
  if (!(await findPollers(client, taskQueue, nowMs)).live)
    return { state: 'unattended', reason: `the queue ${taskQueue}` };
  if ((run.raw.pendingWorkflowTask?.attempt ?? 1) < FAILED_ATTEMPTS_MIN) return { state: 'busy', reason: '' };
  const reason = await failureOfLastTask(client, workflowId, runId);
  return reason === undefined ? { state: 'busy', reason: '' } : { state: 'failing', reason };
}

/** The failure of the latest workflow task; undefined when it succeeded, timed out, or only came too early. */
async function failureOfLastTask(client: Client, workflowId: string, runId: string): Promise<string | undefined> {
  let nextPageToken: Uint8Array | null | undefined;
  for (let read = 0; read < EVENTS_READ_MAX; read += PAGE_EVENTS) {
    const page = await client.workflowService.getWorkflowExecutionHistoryReverse({
      namespace: client.options.namespace,
      execution: { workflowId, runId },
      maximumPageSize: PAGE_EVENTS,
      ...(nextPageToken != null && { nextPageToken }),
    });
    for (const { eventType, workflowTaskFailedEventAttributes: failed } of page.history?.events ?? []) {
      if (eventType === EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED) return undefined;
      if (eventType === EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT) return undefined;
      if (eventType !== EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED || failed == null) continue;
      const message = failed.failure?.message ?? '';
      const { WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND: cameTooEarly } = WorkflowTaskFailedCause;
      return failed.cause === cameTooEarly || message.includes(DEADLOCK_CODE) ? undefined : message;
    }
    nextPageToken = page.nextPageToken;
    if (nextPageToken == null || nextPageToken.length === 0) return undefined;
  }
  return undefined;
}
