import type { Client } from '@temporalio/client';
import { findPollers, type Pollers } from '../client/pollers.js';

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
