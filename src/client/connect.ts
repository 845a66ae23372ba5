import { rootCertificates } from 'node:tls';
import { Client, Connection, isGrpcServiceError, NamespaceNotFoundError, ServiceError } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { readNetwork } from '../config/network.js';
import { FailureType } from '../contract/failure-type.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { proxyName, proxyOf } from '../net/proxies.js';
import { readAuthorities } from '../net/trust.js';
import { type ConnectFault, connectFault } from './connect-fault.js';
import { dataConverterOf } from './payload-codec.js';

/** How a Temporal is reached: Temporal's own connection options (for client and worker alike), and the namespace. */
export interface TemporalTarget {
  readonly namespace: string;
  readonly connection: { readonly address?: string } & Record<string, unknown>;
  /** The proxy that leads there; default: none. */
  readonly proxy?: URL | undefined;
  /** Certificate authorities (PEM) that are trusted beside the usual ones. Node knows them by itself; the worker's own connection does not. */
  readonly authorities?: string | undefined;
  /** Goes over every payload (`loadPayloadCodec`); without one they are plain JSON. */
  readonly payloadCodec?: PayloadCodec | undefined;
}

/** Where Temporal is looked for when nothing says otherwise; the SDK's own default. */
const DEFAULT_PORT = 7233;
const DEFAULT_ADDRESS = `localhost:${DEFAULT_PORT}`;
/** A command has to say within 10 s that Temporal does not answer, and may need some seconds for its own start. */
const CONNECT_TIMEOUT_MS = 6_000;
/** gRPC status codes (https://grpc.io/docs/guides/status-codes/). */
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;
const REFUSALS: readonly number[] = [NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED];

/**
 * Reads `TEMPORAL_*` and profiles by Temporal's own environment configuration, and the proxy and the authorities of `HTTPS_PROXY`,
 * `NO_PROXY` and `NODE_EXTRA_CA_CERTS`; empty variables count as unset.
 * @param env - The variables; by default those of the process.
 * @throws VideoError `ConfigurationInvalid` when the profile, its file or a certificate in it cannot be read, or when the proxy or
 * the file of authorities cannot be used.
 */
export function temporalFromEnv(env?: Readonly<Record<string, string | undefined>>): TemporalTarget {
  const target = profileOf(env);
  const issues: Issue[] = [];
  const fail = (path: string, message: string) => void issues.push({ path, message });
  const { proxies, authoritiesFile } = readNetwork(env ?? process.env, process.cwd(), fail);
  if (issues.length > 0) {
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `The environment is not usable: ${issues.map(({ path, message }) => `${path} ${message}`).join('; ')}`,
      { issues, nextStep: 'Correct the named environment variables and start again.' },
    );
  }
  const proxy = proxyOf(new URL(`https://${addressOf(target)}`), proxies);
  return {
    ...target,
    ...(proxy !== undefined && { proxy }),
    ...(authoritiesFile !== undefined && { authorities: readAuthorities(authoritiesFile).pem }),
  };
}

function profileOf(env: Readonly<Record<string, string | undefined>> | undefined): TemporalTarget {
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
export const addressOf = ({ connection }: TemporalTarget): string => {
  const { address = DEFAULT_ADDRESS } = connection;
  return /:\d+$/.test(address) ? address : `${address}:${DEFAULT_PORT}`;
};

/** What the client connects with. */
function clientOptionsOf(target: TemporalTarget): Record<string, unknown> {
  const { connection, proxy } = target;
  // grpc-js has its own way with the environment, in which loopback goes through the proxy: the decision is made here.
  const channelArgs = { ...(connection['channelArgs'] as object | undefined), 'grpc.enable_http_proxy': 0 };
  if (proxy === undefined) return { ...connection, channelArgs };
  const address = addressOf(target);
  const user = userOf(proxy);
  return {
    ...connection,
    address: proxyAddress(proxy),
    channelArgs: {
      'grpc.http_connect_target': `dns:${address}`,
      'grpc.default_authority': address,
      ...(user !== undefined && { 'grpc.http_connect_creds': `${user.username}:${user.password}` }),
      ...channelArgs,
    },
  };
}

/** What the worker connects with. */
export function workerOptionsOf(target: TemporalTarget): Record<string, unknown> {
  const { connection, proxy, authorities } = target;
  const user = proxy === undefined ? undefined : userOf(proxy);
  const tls = connection['tls'] as { serverRootCACertificate?: Uint8Array } | boolean | null | undefined;
  const given = typeof tls === 'object' && tls !== null ? tls : {};
  const wantsTls = typeof tls === 'object' ? tls !== null : (tls ?? connection['apiKey'] !== undefined);
  const trust = wantsTls && authorities !== undefined && given.serverRootCACertificate === undefined;
  // What is named here replaces the usual authorities, so they are named as well.
  const pem = trust ? Buffer.from([authorities, ...rootCertificates].join('\n')) : undefined;
  return {
    ...connection,
    ...(pem !== undefined && { tls: { ...given, serverRootCACertificate: pem } }),
    ...(proxy !== undefined && {
      proxy: { type: 'http-connect', targetHost: proxyAddress(proxy), ...(user !== undefined && { basicAuth: user }) },
    }),
  };
}

const proxyAddress = ({ hostname, port }: URL): string => `${hostname}:${port || '80'}`;

function userOf({ username, password }: URL): { readonly username: string; readonly password: string } | undefined {
  if (username === '') return undefined;
  return { username: decodeURIComponent(username), password: decodeURIComponent(password) };
}

/**
 * Connects to Temporal.
 * @param options - `timeoutMs` bounds the whole attempt in milliseconds; default 6 000.
 * @throws VideoError `TemporalUnreachable`, naming the address, when it does not answer in time or refuses the caller.
 */
export async function connectClient(
  target: TemporalTarget,
  options: { readonly timeoutMs?: number } = {},
): Promise<Client> {
  const { timeoutMs = CONNECT_TIMEOUT_MS } = options;
  const { namespace } = target;
  const connection = Connection.lazy({ ...clientOptionsOf(target), connectTimeout: timeoutMs } as never);
  try {
    await connection.ensureConnected();
    return new Client({ connection, namespace, dataConverter: dataConverterOf(target.payloadCodec) });
  } catch (cause) {
    await connection.close();
    if (isAnswer(cause)) throw temporalError(cause, target);
    // The library gives up without a word why.
    throw unreachable(target, cause, await connectFault(addressOf(target), target));
  }
}

/** Whether `error` is a failed call to Temporal, rather than an answer about a run. */
export const isTemporalError = (error: unknown): boolean =>
  error instanceof ServiceError || error instanceof NamespaceNotFoundError || isGrpcServiceError(error);

/** Whether a server answered, if only with a refusal. */
const isAnswer = (error: unknown): boolean =>
  error instanceof NamespaceNotFoundError || REFUSALS.includes(grpcCodeOf(error) ?? Number.NaN);

function grpcCodeOf(error: unknown): number | undefined {
  const grpc = error instanceof ServiceError ? error.cause : error;
  return isGrpcServiceError(grpc) ? grpc.code : undefined;
}

/** Temporal is not there, or nobody gets through to it. */
export function unreachable(target: TemporalTarget, cause: unknown, found: ConnectFault | undefined): VideoError {
  const by = target.proxy === undefined ? '' : ` through the proxy ${proxyName(target.proxy)}`;
  const why = found === undefined ? '' : `: ${found.fault}`;
  return new VideoError(
    FailureType.TemporalUnreachable,
    `Temporal cannot be reached at ${addressOf(target)}${by}${why}`,
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
  return unreachable(target, cause, undefined);
}
