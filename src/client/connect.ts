import { Client, Connection, isGrpcServiceError, NamespaceNotFoundError, ServiceError } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { dataConverterOf } from './payload-codec.js';

/** How a Temporal is reached: Temporal's own connection options (for client and worker alike), and the namespace. */
export interface TemporalTarget {
  readonly namespace: string;
  readonly connection: { readonly address?: string } & Record<string, unknown>;
  /** Goes over every payload (`loadPayloadCodec`); without one they are plain JSON. */
  readonly payloadCodec?: PayloadCodec | undefined;
}

/** Where Temporal is looked for when nothing says otherwise; the SDK's own default. */
const DEFAULT_ADDRESS = 'localhost:7233';
/** A command has to say within 10 s that Temporal does not answer, and may need some seconds for its own start. */
const CONNECT_TIMEOUT_MS = 6_000;
/** gRPC status codes (https://grpc.io/docs/guides/status-codes/). */
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

/**
 * Reads `TEMPORAL_*` and profiles by Temporal's own environment configuration; empty variables count as unset.
 * @param env - The variables; by default those of the process.
 * @throws VideoError `ConfigurationInvalid` when the profile, its file or a certificate in it cannot be read.
 */
export function temporalFromEnv(env?: Readonly<Record<string, string | undefined>>): TemporalTarget {
  const set = (entry: [string, string | undefined]): entry is [string, string] => (entry[1] ?? '') !== '';
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig(
      env === undefined ? {} : { overrideEnvVars: Object.fromEntries(Object.entries(env).filter(set)) },
    );
    return { namespace: namespace ?? 'default', connection: { ...connectionOptions } };
  } catch (cause) {
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `Temporal's environment configuration cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause, nextStep: 'Correct TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE or the TEMPORAL_TLS_* variables.' },
    );
  }
}

/** The address that `target` is reached at, `host:port`. */
export const addressOf = ({ connection }: TemporalTarget): string => connection.address ?? DEFAULT_ADDRESS;

/**
 * Connects to Temporal.
 * @param options.timeoutMs - Bound on the whole attempt in milliseconds; default 6 000.
 * @throws VideoError `TemporalUnreachable`, naming the address, when it does not answer in time or refuses the caller.
 */
export async function connectClient(
  target: TemporalTarget,
  { timeoutMs = CONNECT_TIMEOUT_MS }: { readonly timeoutMs?: number } = {},
): Promise<Client> {
  const { namespace } = target;
  const connection = Connection.lazy({ ...target.connection, connectTimeout: timeoutMs } as never);
  try {
    await connection.ensureConnected();
    return new Client({ connection, namespace, dataConverter: dataConverterOf(target.payloadCodec) });
  } catch (cause) {
    await connection.close();
    throw temporalError(cause, target);
  }
}

/** Whether `error` is a failed call to Temporal, rather than an answer about a run. */
export const isTemporalError = (error: unknown): boolean =>
  error instanceof ServiceError || error instanceof NamespaceNotFoundError || isGrpcServiceError(error);

/** Turns what Temporal's client throws on a failed call into our own error, which names the address and what to set. */
export function temporalError(cause: unknown, target: TemporalTarget): VideoError {
  const grpc = cause instanceof ServiceError ? cause.cause : cause;
  const code = isGrpcServiceError(grpc) ? grpc.code : undefined;
  const address = addressOf(target);
  if (cause instanceof NamespaceNotFoundError || code === NOT_FOUND) {
    return new VideoError(
      FailureType.ConfigurationInvalid,
      `Temporal at ${address} has no namespace ${target.namespace}`,
      {
        cause,
        nextStep: 'Create it, or name another one in TEMPORAL_NAMESPACE.',
      },
    );
  }
  if (code === UNAUTHENTICATED || code === PERMISSION_DENIED) {
    return new VideoError(FailureType.TemporalUnreachable, `Temporal at ${address} refuses the caller`, {
      cause,
      nextStep: `Check TEMPORAL_API_KEY or the client certificate, and that they may use the namespace ${target.namespace}.`,
    });
  }
  return new VideoError(FailureType.TemporalUnreachable, `Temporal cannot be reached at ${address}`, {
    cause,
    nextStep: 'Start it, set TEMPORAL_ADDRESS (or a profile), or run "wan-video dev" for an embedded one.',
  });
}
