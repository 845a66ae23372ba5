import type { Client } from '@temporalio/client';
import { connectClient, isTemporalError, temporalError } from '../client/connect.js';
import type { TemporalTarget } from '../client/temporal-target.js';
import type { AssetStore } from '../storage/asset-store.js';
import { flushTracing } from '../tracing/start-sdk.js';
import type { Settings } from './settings.js';

/**
 * Connects to Temporal, runs `use`, and closes the connection.
 * @param guard - Wraps the attempt to connect, which may take some seconds.
 * @throws VideoError `TemporalUnreachable` when it does not answer, also in the middle of `use`.
 */
export async function withTemporal<T>(
  target: TemporalTarget,
  use: (client: Client) => Promise<T>,
  guard: (connecting: Promise<Client>) => Promise<Client> = (connecting) => connecting,
): Promise<T> {
  const client = await guard(connectClient(target));
  try {
    return await use(client);
  } catch (error) {
    throw isTemporalError(error) ? temporalError(error, target) : error;
  } finally {
    await client.connection.close();
    await flushTracing();
  }
}

/**
 * Does the same for a command that stages images and starts runs: with the store that the workers read, and their
 * queue.
 */
export async function withStagingStore<T>(
  settings: Settings,
  use: (options: { readonly client: Client; readonly store: AssetStore; readonly taskQueue: string }) => Promise<T>,
): Promise<T> {
  const taskQueue = settings.config().taskQueues.generate;
  const store = await settings.stagingStore();
  return withTemporal(await settings.target(), (client) => use({ client, store, taskQueue }));
}
