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

/**
 * Finds the workers for a run that is about to start.
 * @param apiKey - Resolves the key of this machine.
 * @throws VideoError `CredentialsMissing` when there is no key here and no worker that may have one: nothing could be
 * bought.
 */
export async function findWorkers(client: Client, taskQueue: string, apiKey: () => Promise<unknown>): Promise<Pollers> {
  const pollers = await findPollers(client, taskQueue, Date.now());
  if (!pollers.known) await apiKey();
  return pollers;
}

/** The remark about a queue that no worker polls; undefined when one does. */
export function noWorkerWarning(
  { live }: Pollers,
  taskQueue: string,
  namespace: string,
  waits: boolean,
): string | undefined {
  if (live) return undefined;
  const where = `the queue ${taskQueue} of the namespace ${namespace}`;
  return `No worker polls ${where}: start one with "wan-video worker".${waits ? ' The run waits for it.' : ''}`;
}
