import { rootCertificates } from 'node:tls';
import type { DataConverter, PayloadCodec } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { readNetwork } from '../config/network.js';
import { readTracing, type TracingSettings } from '../config/tracing.js';
import { FailureType } from '../contract/failure-type.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { proxyOf } from '../net/proxies.js';
import { readAuthorities } from '../net/trust.js';
import { connectionInterceptors } from './connection-interceptors.js';

/** How Temporal is reached: its own connection options, which client and worker share, and the namespace. */
export interface TemporalTarget {
  readonly namespace: string;
  readonly connection: { readonly address?: string } & Record<string, unknown>;
  /** The proxy for this connection; default: none. */
  readonly proxy?: URL | undefined;
  /**
   * Certificate authorities (PEM) that are trusted in addition to the usual ones. Node applies them by itself; the
   * worker's own connection does not.
   */
  readonly authorities?: string | undefined;
  /** Encodes and decodes every payload (`loadPayloadCodec`); without one, payloads are plain JSON. */
  readonly payloadCodec?: PayloadCodec | undefined;
  /** Temporal's data converter, where payloads are more than JSON; its `payloadCodecs` replace `payloadCodec`. */
  readonly dataConverter?: DataConverter | undefined;
  /** Where the spans of calls to Temporal are sent; default: nothing is traced. */
  readonly tracing?: TracingSettings | undefined;
}

/** The codecs of every payload, the first to encode first. */
export const codecsOf = ({ payloadCodec, dataConverter }: TemporalTarget): readonly PayloadCodec[] =>
  dataConverter?.payloadCodecs ?? (payloadCodec === undefined ? [] : [payloadCodec]);

/** The default address of Temporal's SDK. */
const DEFAULT_PORT = 7233;
const DEFAULT_ADDRESS = `localhost:${DEFAULT_PORT}`;

/**
 * Reads `TEMPORAL_*` and profiles with Temporal's own environment configuration, and the proxy and the certificate
 * authorities from `HTTPS_PROXY`, `NO_PROXY` and `NODE_EXTRA_CA_CERTS`, and where spans are sent
 * (`OTEL_EXPORTER_OTLP_ENDPOINT`); an empty variable counts as unset.
 * @param env - The variables; by default those of the process.
 * @throws VideoError `ConfigurationInvalid` when the profile, its file or a certificate in it cannot be read, or when
 * the proxy or the file of authorities cannot be used.
 * @example
 * ```ts
 * const { namespace } = temporalFromEnv({ TEMPORAL_ADDRESS: 'temporal.example.com:7233' });
 * ```
 */
export function temporalFromEnv(env?: Readonly<Record<string, string | undefined>>): TemporalTarget {
  const target = readProfile(env);
  const issues: Issue[] = [];
  const fail = (path: string, message: string) => void issues.push({ path, message });
  const { proxies, authoritiesFile } = readNetwork(env ?? process.env, process.cwd(), fail);
  const tracing = readTracing(env ?? process.env, fail);
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
    ...(tracing !== undefined && { tracing }),
    ...(authoritiesFile !== undefined && { authorities: readAuthorities(authoritiesFile).pem }),
  };
}

function readProfile(env: Readonly<Record<string, string | undefined>> | undefined): TemporalTarget {
  const isSet = (entry: [string, string | undefined]): entry is [string, string] => (entry[1] ?? '') !== '';
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig(
      env === undefined ? {} : { overrideEnvVars: Object.fromEntries(Object.entries(env).filter(isSet)) },
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

/** The address of `target`, as `host:port`. */
export const addressOf = ({ connection }: TemporalTarget): string => {
  const { address = DEFAULT_ADDRESS } = connection;
  return /:\d+$/.test(address) ? address : `${address}:${DEFAULT_PORT}`;
};

/** Connection options of the client, which connects through grpc-js. */
export function clientOptionsOf(target: TemporalTarget): Record<string, unknown> {
  const { connection, proxy } = target;
  // grpc-js reads the proxy variables in its own way and sends loopback through the proxy, so it must not decide.
  const channelArgs = { ...(connection['channelArgs'] as object | undefined), 'grpc.enable_http_proxy': 0 };
  const common = { ...connection, channelArgs, interceptors: connectionInterceptors() };
  if (proxy === undefined) return common;
  const address = addressOf(target);
  const user = userOf(proxy);
  return {
    ...common,
    address: proxyAddress(proxy),
    channelArgs: {
      'grpc.http_connect_target': `dns:${address}`,
      'grpc.default_authority': address,
      ...(user !== undefined && { 'grpc.http_connect_creds': `${user.username}:${user.password}` }),
      ...channelArgs,
    },
  };
}

/** Connection options of the worker, which connects through Temporal's native core. */
export function workerOptionsOf(target: TemporalTarget): Record<string, unknown> {
  const { connection, proxy, authorities } = target;
  const user = proxy === undefined ? undefined : userOf(proxy);
  const tls = connection['tls'] as { serverRootCACertificate?: Uint8Array } | boolean | null | undefined;
  const tlsOptions = typeof tls === 'object' && tls !== null ? tls : {};
  const usesTls = typeof tls === 'object' ? tls !== null : (tls ?? connection['apiKey'] !== undefined);
  const addsTrust = usesTls && authorities !== undefined && tlsOptions.serverRootCACertificate === undefined;
  // Authorities that are named here replace the usual ones, so the usual ones are named as well.
  const pem = addsTrust ? Buffer.from([authorities, ...rootCertificates].join('\n')) : undefined;
  return {
    ...connection,
    ...(pem !== undefined && { tls: { ...tlsOptions, serverRootCACertificate: pem } }),
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
