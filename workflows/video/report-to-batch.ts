import * as wf from '@temporalio/workflow';
import type { BatchItemEnd } from '../../src/contract/batch.js';
import { cancelledEnd, failedEnd, parkedEnd, videoEnd } from '../../src/contract/batch-item.js';
import { ITEM_MEMO } from '../../src/contract/names.js';
import type { VideoRequest } from '../../src/contract/request.js';
import type { VideoResult } from '../../src/contract/result.js';
import { failureOrUnexpected } from '../shared/failures.js';
import { itemSignal } from '../shared/messages.js';
import type { Progress } from './progress.js';

/**
 * Runs `work`, and reports its end to the batch that started this run, as well as that it waits for a person. A run
 * without a batch reports nothing.
 */
export async function reportToBatch(
  request: VideoRequest,
  progress: Progress,
  work: () => Promise<VideoResult>,
): Promise<VideoResult> {
  const { memo, parent, workflowId, startTime } = wf.workflowInfo();
  const itemId = memo?.[ITEM_MEMO];
  if (typeof itemId !== 'string' || parent === undefined) return work();
  const head = { item_id: itemId, run: workflowId, started_at_ms: startTime.getTime() };
  const batch = wf.getExternalWorkflowHandle(parent.workflowId); // without a run id: the batch's current run
  const report = (end: BatchItemEnd): Promise<void> =>
    // A batch that has ended, or was deleted, needs no report.
    wf.CancellationScope.nonCancellable(() => batch.signal(itemSignal, end)).catch(() => undefined);
  progress.onAttention = (attention) => void report(parkedEnd(head, attention, Date.now()));
  try {
    const result = await work();
    await report(videoEnd(head, result, Date.now()));
    return result;
  } catch (error) {
    await report(endOf(error));
    throw error;
  }

  function endOf(error: unknown): BatchItemEnd {
    if (wf.isCancellation(error)) {
      const { cancel, task_id: taskId } = progress.state;
      return cancelledEnd(head, { outcome: 'Cancelled.', billed: null, ...cancel, taskId }, Date.now());
    }
    const failure = failureOrUnexpected(error);
    return failedEnd(head, failure, request, Date.now());
  }
}
