import type { WorkflowExecutionDescription, WorkflowExecutionInfo } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import proto from '@temporalio/proto';
import type { VideoErrorObject } from '../contract/failure.js';
import type { VideoProgress, VideoResult } from '../contract/result.js';

/** A run as it is listed. Fields that come from search attributes are null in a namespace without them. */
export interface VideoRun {
  /** Workflow id. */
  readonly id: string;
  readonly run_id: string;
  readonly status: VideoRunStatus;
  /** ISO 8601, UTC. */
  readonly started_at: string;
  readonly closed_at: string | null;
  readonly task_id: string | null;
  /** How it ended; `running` or `needs_attention` before. See `wan-video list --outcome`. */
  readonly outcome: string | null;
  readonly error_code: string | null;
  readonly tenant: string | null;
  readonly batch_id: string | null;
  /** Each as `NAME=VALUE`. */
  readonly labels: readonly string[];
}

/** Temporal's status of a run. */
export type VideoRunStatus = 'running' | 'completed' | 'failed' | 'cancelled' | 'terminated' | 'timed_out' | 'unknown';

/** Everything that is known of one run. */
export interface VideoStatus extends VideoRun {
  /**
   * `videoGenerate` for a generation, `salvageVideo` for the rest of one whose own run is gone; others have no video.
   */
  readonly workflow_type: string;
  /** The queue whose workers execute it. */
  readonly task_queue: string;
  /** Events in its history. */
  readonly events: number;
  /** Why a run is stuck: no worker picks it up, or a step fails and is retried; null when it is not. */
  readonly problem: string | null;
  /** Null while no worker answers, and for a run that has no video. */
  readonly progress: VideoProgress | null;
  readonly result: VideoResult | null;
  readonly error: VideoErrorObject | null;
}

/** The beginning of `problem` of a run that no worker processes. */
export const UNATTENDED = 'no worker picks it up';

/** Longer than the pause between two polls of a worker, which otherwise receives work within milliseconds. */
const UNATTENDED_AFTER_MS = 5_000;

const STATUS: Readonly<Record<string, VideoRunStatus>> = {
  RUNNING: 'running',
  CONTINUED_AS_NEW: 'running',
  PAUSED: 'running',
  COMPLETED: 'completed',
  FAILED: 'failed',
  CANCELLED: 'cancelled',
  TERMINATED: 'terminated',
  TIMED_OUT: 'timed_out',
};

const keyword = (name: string) => defineSearchAttributeKey(name, 'KEYWORD');
const KEYS = {
  taskId: keyword('VideoTaskId'),
  batchId: keyword('VideoBatchId'),
  tenant: keyword('VideoTenant'),
  outcome: keyword('VideoOutcome'),
  errorCode: keyword('VideoErrorCode'),
  labels: defineSearchAttributeKey('VideoLabels', 'KEYWORD_LIST'),
};

/** Reads what Temporal's visibility knows of a run. */
export function videoRunOf(
  info: Pick<
    WorkflowExecutionInfo,
    'workflowId' | 'runId' | 'status' | 'startTime' | 'closeTime' | 'typedSearchAttributes'
  >,
): VideoRun {
  const { typedSearchAttributes: attributes } = info;
  return {
    id: info.workflowId,
    run_id: info.runId,
    status: STATUS[info.status.name] ?? 'unknown',
    started_at: info.startTime.toISOString(),
    closed_at: info.closeTime?.toISOString() ?? null,
    task_id: attributes.get(KEYS.taskId) ?? null,
    outcome: attributes.get(KEYS.outcome) ?? null,
    error_code: attributes.get(KEYS.errorCode) ?? null,
    tenant: attributes.get(KEYS.tenant) ?? null,
    batch_id: attributes.get(KEYS.batchId) ?? null,
    labels: attributes.get(KEYS.labels) ?? [],
  };
}

/** Why a run is stuck at `nowMs` (milliseconds since the epoch), as far as Temporal knows; else null. */
export function problemOf(description: Pick<WorkflowExecutionDescription, 'raw' | 'taskQueue'>, nowMs: number) {
  const { pendingWorkflowTask, pendingActivities } = description.raw;
  const { PENDING_WORKFLOW_TASK_STATE_SCHEDULED } = proto.temporal.api.enums.v1.PendingWorkflowTaskState;
  const waitedMs = nowMs - millis(pendingWorkflowTask?.scheduledTime, nowMs);
  if (
    pendingWorkflowTask?.state === PENDING_WORKFLOW_TASK_STATE_SCHEDULED &&
    (pendingWorkflowTask.attempt ?? 1) <= 1 &&
    waitedMs > UNATTENDED_AFTER_MS
  ) {
    return `${UNATTENDED} from the queue ${description.taskQueue}; start one with "wan-video worker"`;
  }
  const failing = (pendingActivities ?? []).find(({ lastFailure }) => lastFailure != null);
  if (failing === undefined) return null;
  const step = failing.activityType?.name ?? 'a step';
  return (
    `attempt ${(failing.attempt ?? 2) - 1} of ${step} failed and is tried again: ` +
    `${failing.lastFailure?.message ?? 'no reason given'}`
  );
}

const millis = (time: { seconds?: unknown; nanos?: number | null } | null | undefined, fallback: number): number =>
  time == null ? fallback : Number(time.seconds ?? 0) * 1000 + (time.nanos ?? 0) / 1e6;
