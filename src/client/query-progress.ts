import type { Client } from '@temporalio/client';
import { ValueError } from '@temporalio/common';
import type { BatchProgress } from '../contract/batch.js';
import { PROGRESS_QUERY } from '../contract/names.js';
import type { VideoProgress } from '../contract/result.js';
import { VideoError } from '../contract/video-error.js';

/**
 * Longest wait for the answer to a query, in milliseconds. A worker answers within milliseconds; without a worker,
 * Temporal holds the query for ten seconds and more, which is too long to wait for a line of progress.
 */
export const QUERY_TIMEOUT_MS = 5_000;

/**
 * Queries the progress of a run or of a batch; a worker answers.
 * @param runId - Default: the latest run of the id.
 * @throws an error of Temporal's client when no worker answers within 5 s, or when there is no such workflow.
 */
export function queryProgress<Progress extends VideoProgress | BatchProgress>(
  client: Client,
  workflowId: string,
  runId?: string,
): Promise<Progress> {
  const handle = client.workflow.getHandle(workflowId, runId);
  return client.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () => handle.query<Progress>(PROGRESS_QUERY));
}

/** For the errors of a query: null when no worker answers. @throws it when the answer needs a codec that we lack. */
export function nullUnlessUnreadable(error: unknown): null {
  if (error instanceof VideoError || error instanceof ValueError) throw error;
  return null;
}
