import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { momentOf, type ServerMoment } from '../async/server-clock.js';
import { NO_PROXIES, type Proxies } from '../net/proxies.js';
import { proxyAgents } from '../net/proxy-agents.js';
import { faultOf, isRefusal } from './s3-errors.js';

/** Longest wait for a connection, which takes below half a second from any continent. */
const CONNECT_MS = 5_000;
/** Longest silence on a connection. A server that assembles a large upload is silent for a while. */
const IDLE_MS = 60_000;

/** The header that makes the store create and never replace. */
export type CreateOnly = 'if-none-match' | 'oss-forbid-overwrite';

export interface S3StoreOptions {
  readonly bucket: string;
  /** Path of the store within the bucket, without slashes at its ends; default: the whole bucket. */
  readonly prefix?: string | undefined;
  /** Which connections go through a proxy; default: none. */
  readonly proxies?: Proxies | undefined;
  /** Called with the time in each answer of the store; must not throw. */
  readonly onMoment?: ((moment: ServerMoment) => void) | undefined;
  /** Endpoint under which others reach the store, for signed addresses; default: the one that is used. */
  readonly presignEndpoint?: string | undefined;
  /** Overrides the settings that the AWS SDK reads from its environment. */
  readonly client?: S3ClientConfig | undefined;
}

export interface SdkHooks {
  /** Connections of an earlier client, which the new one continues to use. */
  readonly requestHandler: S3ClientConfig['requestHandler'];
  readonly createOnly: () => CreateOnly | undefined;
  readonly onMoment: (moment: ServerMoment) => void;
  /** Called when the store does not accept the credentials, or there are none. */
  readonly onRefused: () => void;
}

/** Makes a client of the AWS SDK that reads its environment, as often as it is made. */
export function makeSdk(
  s3: typeof import('@aws-sdk/client-s3'),
  { client: config = {}, proxies = NO_PROXIES }: S3StoreOptions,
  { requestHandler, createOnly, onMoment, onRefused }: SdkHooks,
) {
  const settings: S3ClientConfig & { readonly ignoreCache: boolean } = {
    requestHandler: requestHandler ?? {
      connectionTimeout: CONNECT_MS,
      socketTimeout: IDLE_MS,
      ...proxyAgents(proxies),
    },
    // Its remarks on the environment would go to the console; what fails is reported by the call that fails.
    logger: { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore },
    // For the readers of profiles, which otherwise keep for ever what a file once said.
    ignoreCache: true,
    ...config,
  };
  const client = new s3.S3Client(settings);
  // Servers other than AWS have no host name per bucket; Alibaba OSS has nothing else. Only here is the endpoint known,
  // whether it comes from the environment or from a profile.
  const resolveEndpoint = client.config.endpointProvider;
  client.config.endpointProvider = (params, context) => {
    const custom = params.Endpoint !== undefined && !new URL(params.Endpoint).hostname.endsWith('.aliyuncs.com');
    return resolveEndpoint(custom ? { ...params, ForcePathStyle: true } : params, context);
  };
  client.middlewareStack.add(
    (next) => async (args) => {
      const { headers } = args.request as { headers: Record<string, string> };
      if (createOnly() === 'oss-forbid-overwrite' && headers['if-none-match'] === '*') {
        delete headers['if-none-match'];
        headers['x-oss-forbid-overwrite'] = 'true';
      }
      return next(args);
    },
    { step: 'build', name: 'createOnlyOnOss' }, // before the request is signed
  );
  client.middlewareStack.add(
    (next) => async (args) => {
      const sentMs = performance.now();
      const result = await next(args);
      const { headers = {} } = result.response as { headers?: Record<string, string> };
      const moment = momentOf(headers, sentMs, performance.now());
      if (moment !== undefined) onMoment(moment);
      return result;
    },
    { step: 'finalizeRequest', priority: 'low', name: 'storeClock' }, // once per attempt
  );
  client.middlewareStack.add(
    (next) => async (args) =>
      next(args).catch((error: unknown) => {
        if (isRefusal(faultOf(error))) onRefused();
        throw error;
      }),
    { step: 'initialize', priority: 'high', name: 'renewCredentials' },
  );
  /** Whether the SDK renews the credentials by itself. */
  const expires = async (): Promise<boolean> =>
    client.config.credentials().then(
      ({ expiration }) => expiration !== undefined,
      () => false,
    );
  return { client, s3, expires };
}

const ignore = (): void => undefined;
