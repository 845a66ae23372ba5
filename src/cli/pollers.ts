import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';

/** Who polls a queue, by the server, which remembers a poller for some minutes after its last poll. */
export interface Pollers {
  /** Whether any worker was there within the server's memory of some five minutes. */
  readonly known: boolean;
  /** Whether one polled so lately that it is surely there. */
  readonly live: boolean;
}

/** A worker's poll lasts a minute and is then repeated; the rest is slack for clocks that differ. */
const LIVE_MS = 75_000;

/** Asks Temporal which workers poll a workflow queue. */
export async function pollersOf(client: Client, taskQueue: string, nowMs: number): Promise<Pollers> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
  });
  const last = Math.max(0, ...(pollers ?? []).map(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000));
  return { known: last > 0, live: nowMs - last < LIVE_MS };
}
