import { type Client, type WorkflowHandle, WorkflowNotFoundError } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { VideoRunError } from '../client/run-error.js';
import { WanVideoClient } from '../client/video-client.js';
import type { BatchItemEnd } from '../contract/batch.js';
import { cancelledEnd, failedEnd, parkedEnd, videoEnd } from '../contract/batch-item.js';
import type { VideoRequest } from '../contract/request.js';
import type { VideoResult } from '../contract/result.js';

/** What the search attribute of a run that waits for a person says of it. */
const PARKED = { cause: null, reason: 'waits for a person: wan-video status' };

const OUTCOME = defineSearchAttributeKey('VideoOutcome', 'KEYWORD');

/** The state of a batch item's run in Temporal; `unknown` once its retention is over. */
export async function itemState(
  client: Client,
  workflowId: string,
  itemId: string,
): Promise<BatchItemEnd | 'running' | 'unknown'> {
  try {
    const handle = client.workflow.getHandle<(request: VideoRequest) => Promise<VideoResult>>(workflowId);
    const { runId, status, startTime, closeTime, typedSearchAttributes } = await handle.describe();
    const head = { item_id: itemId, run: workflowId, started_at_ms: startTime.getTime() };
    if (status.name !== 'RUNNING') return await endOf(client, handle, runId, head, closeTime?.getTime() ?? 0);
    const isParked = typedSearchAttributes.get(OUTCOME) === 'needs_attention';
    return isParked ? parkedEnd(head, PARKED, startTime.getTime()) : 'running';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'unknown';
    throw error;
  }
}

async function endOf(
  client: Client,
  handle: WorkflowHandle<(request: VideoRequest) => Promise<VideoResult>>,
  runId: string,
  head: Parameters<typeof videoEnd>[0],
  endedAtMs: number,
): Promise<BatchItemEnd> {
  try {
    return videoEnd(head, await new WanVideoClient({ client }).result(handle.workflowId, { runId }), endedAtMs);
  } catch (error) {
    if (!(error instanceof VideoRunError)) throw error;
    if (!error.cancelled) return failedEnd(head, error.error, null, endedAtMs);
    const { message, billed = null, task_id: taskId = null } = error.error;
    return cancelledEnd(head, { outcome: message, billed, taskId }, endedAtMs);
  }
}
