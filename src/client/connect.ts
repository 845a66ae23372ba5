import { Client, Connection, isGrpcServiceError, NamespaceNotFoundError, ServiceError } from '@temporalio/client';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { proxyName } from '../net/proxies.js';
import { tracedClient } from '../tracing/traced-client.js';
import { tracingFrom } from '../tracing/tracing.js';
import { type ConnectFault, findConnectFault } from './connect-fault.js';
import { dataConverterOf } from './payload-codec.js';
import { addressOf, clientOptionsOf, type TemporalTarget } from './temporal-target.js';

/** A command has to report within 10 s that Temporal does not answer, and may need some seconds for its own start. */
const CONNECT_TIMEOUT_MS = 6_000;
/** gRPC status codes (https://grpc.io/docs/guides/status-codes/). */
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;
const REFUSALS: readonly number[] = [NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED];

/**
 * Connects to Temporal.
 * @param options - `timeoutMs` bounds the whole attempt in milliseconds; default 6 000.
 * @throws VideoError `TemporalUnreachable`, naming the address, when Temporal does not answer in time or refuses the
 * caller; `ConfigurationInvalid` when it has no such namespace, or when spans are to be sent and cannot be made.
 * @example
 * ```ts
 * const client = await connectClient(temporalFromEnv());
 * const videos = new WanVideoClient({ client });
 * ```
 */
export async function connectClient(
  target: TemporalTarget,
  options: { readonly timeoutMs?: number } = {},
): Promise<Client> {
  const { timeoutMs = CONNECT_TIMEOUT_MS } = options;
  const { namespace } = target;
  const tracing = target.tracing && tracingFrom(target.tracing);
  const connection = Connection.lazy({ ...clientOptionsOf(target), connectTimeout: timeoutMs } as never);
  try {
    await connection.ensureConnected();
    const client = new Client({ connection, namespace, dataConverter: dataConverterOf(target) });
    return tracing === undefined ? client : tracedClient(client, tracing);
  } catch (cause) {
    await connection.close();
    if (isAnswer(cause)) throw temporalError(cause, target);
    // The library does not report why it gave up.
    throw temporalUnreachable(target, cause, await findConnectFault(addressOf(target), target));
  }
}

/** Whether `error` is a failed call to Temporal, rather than an answer about a run. */
export const isTemporalError = (error: unknown): boolean =>
  error instanceof ServiceError || error instanceof NamespaceNotFoundError || isGrpcServiceError(error);

/** Whether a server answered, even if only with a refusal. */
const isAnswer = (error: unknown): boolean =>
  error instanceof NamespaceNotFoundError || REFUSALS.includes(grpcCodeOf(error) ?? Number.NaN);

/** The gRPC status of an answer of Temporal's server. */
export function grpcCodeOf(error: unknown): number | undefined {
  const grpc = error instanceof ServiceError ? error.cause : error;
  return isGrpcServiceError(grpc) ? grpc.code : undefined;
}

/** The error for a Temporal that does not answer. */
export function temporalUnreachable(target: TemporalTarget, cause: unknown, found?: ConnectFault): VideoError {
  const through = target.proxy === undefined ? '' : ` through the proxy ${proxyName(target.proxy)}`;
  const why = found === undefined ? '' : `: ${found.fault}`;
  return new VideoError(
    FailureType.TemporalUnreachable,
    `Temporal cannot be reached at ${addressOf(target)}${through}${why}`,
    {
      cause,
      nextStep:
        found?.nextStep ?? 'Start it, set TEMPORAL_ADDRESS (or a profile), or run "wan-video dev" for an embedded one.',
    },
  );
}

/** Turns what Temporal's client throws on a failed call into our own error, which names the address and what to set. */
export function temporalError(cause: unknown, target: TemporalTarget): VideoError {
  const code = grpcCodeOf(cause);
  const { namespace } = target;
  const address = addressOf(target);
  if (cause instanceof NamespaceNotFoundError || code === NOT_FOUND) {
    return new VideoError(FailureType.ConfigurationInvalid, `Temporal at ${address} has no namespace ${namespace}`, {
      cause,
      nextStep: 'Create it, or name another one in TEMPORAL_NAMESPACE.',
    });
  }
  if (code === UNAUTHENTICATED || code === PERMISSION_DENIED) {
    return new VideoError(FailureType.TemporalUnreachable, `Temporal at ${address} refuses the caller`, {
      cause,
      nextStep: `Check TEMPORAL_API_KEY or the client certificate, and that they may use the namespace ${namespace}.`,
    });
  }
  return temporalUnreachable(target, cause);
}
