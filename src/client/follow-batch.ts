import type { Client } from '@temporalio/client';
import { aborted } from '../async/aborted.js';
import type { BatchSummary } from '../contract/batch.js';
import { batchWorkflowId } from '../contract/names.js';
import type { WanBatchClient } from './batch-client.js';
import type { BatchStatus } from './batch-start.js';
import { nextLook } from './next-look.js';
import { describeRun } from './without-payloads.js';

/** A batch whose worker is gone grows no history, so that it is queried at least this often. */
const QUERY_EVERY_MS = 15_000;

/**
 * Waits for the end of a batch and reports its progress once a second. A worker is queried when the history has grown,
 * and every 15 seconds.
 * @throws the reason of `signal`: the batch continues; else as `WanBatchClient.result`.
 */
export async function followBatch(
  { client, batches }: { readonly client: Client; readonly batches: WanBatchClient },
  batchId: string,
  onProgress: (status: BatchStatus) => void,
  signal: AbortSignal,
): Promise<BatchSummary> {
  // Temporal may have deleted a batch that has ended; its report is in the store.
  const { summary, status: found } = await batches.status(batchId);
  if (summary !== null && found === 'completed') return summary;
  let hasEnded = false;
  const result = batches.result(batchId, { signal }).finally(() => {
    hasEnded = true;
  });
  // A failure of the batch ends the pause below; it is thrown at the end.
  const settled = Promise.race([result.catch(() => undefined), aborted(signal)]);
  const isOver = (): boolean => hasEnded || signal.aborted;
  let status: BatchStatus | undefined;
  let [seen, queriedAtMs] = ['', 0];
  while (!isOver()) {
    // Neither call may end the wait: Temporal may be restarting, and the result still comes.
    const described = await describeRun(client, batchWorkflowId(batchId)).catch(() => undefined);
    // A batch continues as new, so the run is part of how far it is.
    const now = described === undefined ? seen : `${described.runId} ${described.historyLength}`;
    if (!isOver() && (now !== seen || Date.now() - queriedAtMs >= QUERY_EVERY_MS)) {
      const answer = await batches.status(batchId).catch(() => undefined);
      if (answer !== undefined) [status, seen, queriedAtMs] = [answer, now, Date.now()];
    }
    if (status !== undefined && !isOver()) onProgress(status);
    await nextLook(settled);
  }
  return result;
}
