import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import proto from '@temporalio/proto';
import { redactText } from '../net/redact.js';
import { problemOf } from './video-run.js';

/** The failure is among the last events: the server writes the first of a row of equal failures. */
const LAST_EVENTS = 10;
/** A person needs the first words; the worker's log has the rest. */
const MESSAGE_MAX = 300;

const { EventType, WorkflowTaskFailedCause } = proto.temporal.api.enums.v1;

/** Causes that are part of a run's normal life, and pass with the next attempt. */
const HARMLESS: readonly number[] = [
  WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
  WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
  WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
  WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
];

/**
 * Runs whose workflow task has failed some five times in a row, for a list or a count; servers of 2025 and newer. They
 * are still found when their payloads cannot be read.
 */
export const FAILING_TASKS =
  "ExecutionStatus = 'Running' AND TemporalReportedProblems IN ('category=WorkflowTaskFailed', " +
  "'category=WorkflowTaskTimedOut')";

/** What {@link readProblem} needs of a run. */
type RunDescription = Pick<WorkflowExecutionDescription, 'raw' | 'taskQueue' | 'workflowId' | 'runId'>;

/** Lists runs, the newest first, without decoding their payloads. @param max - Most runs that are listed. */
export async function listEncoded(
  client: Client,
  query: string,
  max: number,
): Promise<{ readonly workflowId: string; readonly runId: string }[]> {
  const { namespace } = client.options;
  const { executions } = await client.workflowService.listWorkflowExecutions({ namespace, query, pageSize: max });
  return (executions ?? []).map(({ execution }) => ({
    workflowId: execution?.workflowId ?? '',
    runId: execution?.runId ?? '',
  }));
}

/**
 * Why a run is stuck at `nowMs` (milliseconds since the epoch): its workflow task fails again and again, no worker
 * picks it up, or a step fails and is retried; null when it is not. The first of these costs one more call.
 */
export async function readProblem(client: Client, description: RunDescription, nowMs: number): Promise<string | null> {
  const attempt = description.raw.pendingWorkflowTask?.attempt ?? 1;
  const failure = attempt > 1 ? await lastTaskFailure(client, description) : undefined;
  if (failure === undefined) return problemOf(description, nowMs);
  const { cause, message } = failure;
  const text = message === '' ? cause : redactText(message, [], MESSAGE_MAX);
  return `its workflow task fails again and again (attempt ${attempt}): ${text}. ${cureOf(cause, message)}`;
}

interface TaskFailure {
  /** `NON_DETERMINISTIC_ERROR`, `WORKFLOW_WORKER_UNHANDLED_FAILURE`, … */
  readonly cause: string;
  readonly message: string;
}

/** The failure that the latest attempts of a workflow task repeat; undefined when the task made progress since. */
async function lastTaskFailure(
  client: Client,
  { workflowId, runId }: Pick<RunDescription, 'workflowId' | 'runId'>,
): Promise<TaskFailure | undefined> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: LAST_EVENTS,
  });
  for (const { eventType, workflowTaskFailedEventAttributes: failed } of history?.events ?? []) {
    if (eventType === EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED) return undefined;
    if (eventType !== EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED) continue;
    const cause = failed?.cause ?? 0;
    if (HARMLESS.includes(cause)) return undefined;
    const name = WorkflowTaskFailedCause[cause] ?? 'UNSPECIFIED';
    return { cause: name.replace('WORKFLOW_TASK_FAILED_CAUSE_', ''), message: failed?.failure?.message ?? '' };
  }
  return undefined;
}

function cureOf(cause: string, message: string): string {
  if (cause === 'NON_DETERMINISTIC_ERROR' || /nondeterminis|DeterminismViolation/i.test(message)) {
    return 'The run began on other workflow code: start a worker of that version again (docs/versioning.md).';
  }
  if (/Failed to initialize workflow of type/.test(message)) {
    return 'The workers have no such workflow: start a worker of a version that has it (docs/versioning.md).';
  }
  if (/encoding|payload|codec|converter|decrypt|decode/i.test(message)) {
    return (
      'The workers cannot read what the run was started with, or was sent: give each of them its payload codec ' +
      '(WAN_VIDEO_PAYLOAD_CODEC) with every key that was written with, or start it without one.'
    );
  }
  return 'The log of the workers has the whole error; see docs/operations.md, "A run is stuck".';
}
