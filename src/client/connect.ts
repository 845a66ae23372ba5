import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** How a Temporal is reached: Temporal's own connection options, and the namespace. */
export interface TemporalTarget {
  readonly namespace: string;
  readonly connection: { readonly address?: string } & Record<string, unknown>;
}

/** Reads `TEMPORAL_*` and profiles by Temporal's own environment configuration. */
export function temporalFromEnv(): TemporalTarget {
  const { connectionOptions, namespace } = loadClientConnectConfig();
  return { namespace: namespace ?? 'default', connection: { ...connectionOptions } };
}

/**
 * Connects to Temporal.
 * @throws VideoError `ConfigurationInvalid` when it does not answer within 8 s (a command must say so within 10).
 */
export async function connectClient({ namespace, connection }: TemporalTarget): Promise<Client> {
  try {
    return new Client({
      connection: await Connection.connect({ ...connection, connectTimeout: '8s' } as never),
      namespace,
    });
  } catch (cause) {
    const address = connection.address ?? 'localhost:7233';
    throw new VideoError(FailureType.ConfigurationInvalid, `Temporal cannot be reached at ${address}`, {
      cause,
      nextStep: 'Start it, set TEMPORAL_ADDRESS, or run "wan-video dev" for an embedded one.',
    });
  }
}
