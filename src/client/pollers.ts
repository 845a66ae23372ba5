import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';

/** Workers that poll a queue; the server remembers one for some minutes after its last poll. */
export interface Pollers {
  /** Whether any worker has polled within the server's memory of some five minutes. */
  readonly known: boolean;
  /** Whether one has polled so recently that it is certainly running. */
  readonly live: boolean;
}

/** A worker's poll lasts a minute and is then repeated; the rest is slack for clocks that differ. */
const LIVE_MS = 75_000;

const { TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY } = proto.temporal.api.enums.v1.TaskQueueType;

/**
 * Asks Temporal which workers poll a queue.
 * @param work - What they poll it for; the submit queue has activities alone.
 */
export async function findPollers(
  client: Client,
  taskQueue: string,
  nowMs: number,
  work: 'workflows' | 'activities' = 'workflows',
): Promise<Pollers> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: work === 'workflows' ? TASK_QUEUE_TYPE_WORKFLOW : TASK_QUEUE_TYPE_ACTIVITY,
  });
  const last = Math.max(0, ...(pollers ?? []).map(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000));
  return { known: last > 0, live: nowMs - last < LIVE_MS };
}
