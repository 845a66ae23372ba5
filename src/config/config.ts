import { isIP } from 'node:net';
import { join } from 'node:path';
import { FailureType } from '../contract/failure-type.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import type { StoreLocation } from '../storage/open-store.js';
import { type Network, readNetwork } from './network.js';
import { DOCUMENTED_QUOTA, largestRate, type QuotaKind } from './quotas.js';
import { absolutePath, type Directories, readStoreLocation } from './store-location.js';
import { DEFAULT_TIMES, type Times } from './times.js';
import { readTracing, type TracingSettings } from './tracing.js';

/** Least important lines that are logged; `silent`: none. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** Where a server of this process listens. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Everything that the environment decides, except the key (see `resolveApiKey`). */
export interface Config extends Network {
  readonly provider: {
    /** With `/api/v1`, without a trailing slash. */
    readonly baseUrl: string;
    /** Name of the provider in ledger and cache: its region, or `emulator` for every loopback address. */
    readonly providerId: string;
    readonly workspace?: string | undefined;
    readonly account: string;
  };
  readonly store: StoreLocation;
  /** The operator states that every worker host sees the same `file:` directory. */
  readonly sharedFileStore: boolean;
  readonly publicBaseUrl?: string | undefined;
  /** Endpoint of signed addresses of an S3 store. */
  readonly presignEndpoint?: string | undefined;
  /** Where the runbook is published, for links in the Web UI. */
  readonly runbookUrl?: string | undefined;
  readonly taskQueues: { readonly generate: string; readonly submit: string; readonly conform: string };
  /** Queries and submits per second; tasks at a time. */
  readonly rates: { readonly query: number; readonly submit: number; readonly maxRunning: number };
  readonly allowPrivateUrls: string[];
  /** Worker Versioning: which deployment the worker is of, and which version of it; none: plain workers. */
  readonly deployment?: { readonly name: string; readonly buildId: string } | undefined;
  /** Module of the payload codec: a path, or a package's name. */
  readonly payloadCodec?: string | undefined;
  /** Path of the price list (`readPrices`). */
  readonly pricesFile?: string | undefined;
  /** Path of the webhook's file (`readWebhook`). */
  readonly webhookFile?: string | undefined;
  /** Where metrics and health are served; none: nowhere. */
  readonly metrics?: ListenAddress | undefined;
  /** Where spans are sent; none: nothing is traced. */
  readonly tracing?: TracingSettings | undefined;
  /** Path of the budgets (`readBudgets`). */
  readonly budgetsFile?: string | undefined;
  /** The program that makes other files from archived videos, a path or a name on `searchPath`; none: not here. */
  readonly ffmpeg?: { readonly program: string; readonly searchPath: string } | undefined;
  readonly log: { readonly level: LogLevel; readonly format?: 'pretty' | 'json' | undefined };
  readonly times: Times;
}

const BEIJING = 'https://dashscope.aliyuncs.com/api/v1';
const LEVELS: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
const SHARED_HOSTS = new Map([
  ['dashscope.aliyuncs.com', 'cn-beijing'],
  ['dashscope-intl.aliyuncs.com', 'ap-southeast-1'],
  ['dashscope-us.aliyuncs.com', 'us-east-1'],
]);

/** The provider's name in the ledger; for a host that is not Alibaba's, the host itself. */
export function providerIdOf(baseUrl: string): string {
  const { hostname, host } = new URL(baseUrl);
  if (isLoopbackHost(hostname)) return 'emulator';
  const region =
    /^[\w-]+\.([a-z0-9-]+)\.maas\.aliyuncs\.com$/.exec(hostname)?.[1] ??
    /^([a-z0-9-]+)\.dashscope\.aliyuncs\.com$/.exec(hostname)?.[1];
  return SHARED_HOSTS.get(hostname) ?? region ?? host.replace(/[^a-z0-9.-]/g, '-');
}

/** The payload codec of Temporal's data; commands that need nothing else of the configuration read it alone. */
export const payloadCodecOf = (env: Readonly<Record<string, string | undefined>>): string | undefined =>
  env['WAN_VIDEO_PAYLOAD_CODEC']?.trim() || undefined;

/**
 * Reads the whole configuration; pure. An empty variable counts as unset.
 * @param where - Directories that relative paths and `~/` refer to.
 * @throws VideoError `ConfigurationInvalid` with every fault at once; `path` is the variable's name.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>, where: Directories): Config {
  const issues: Issue[] = [];
  const fail = (path: string, message: string) => void issues.push({ path, message });
  const read = (name: string) => env[name]?.trim() || undefined;
  const path = (value: string) => absolutePath(value, where);
  const name = (variable: string, fallback: string) => {
    const value = read(variable) ?? fallback;
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value)) {
      fail(variable, 'must be 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first');
    }
    return value;
  };

  const baseUrl = (read('DASHSCOPE_HTTP_BASE_URL') ?? BEIJING).replace(/\/+$/, '');
  const baseFault = faultOfBase(baseUrl);
  if (baseFault !== undefined) fail('DASHSCOPE_HTTP_BASE_URL', baseFault);
  const providerId = baseFault === undefined ? providerIdOf(baseUrl) : '';

  const rate = (kind: QuotaKind, variable: string, fallback: number) => {
    const text = read(variable);
    if (text === undefined) return fallback;
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    const most = largestRate(kind, providerId === 'emulator');
    const whole = kind === 'maxRunning';
    if (value > 0 && value <= most && (!whole || Number.isInteger(value))) return value;
    fail(variable, `must be a ${whole ? 'whole number' : 'number'} above 0 and up to ${most}`);
    return fallback;
  };

  const address = read('ASSET_STORE');
  const found = address === undefined ? undefined : readStoreLocation(address, where);
  if (address !== undefined && found === undefined) fail('ASSET_STORE', 'must be file:PATH or s3://bucket/prefix');
  const directory = join(read('OUTPUT_DIR') ?? 'output', 'ai-video-wan-video');
  const store: StoreLocation = found ?? { kind: 'file', path: path(directory) };

  const webAddress = (variable: string): string | undefined => {
    const text = read(variable);
    if (text !== undefined && !/^https?:$/.test(urlOf(text)?.protocol ?? '')) {
      fail(variable, 'must be an http or https address');
    }
    return text;
  };
  const publicBaseUrl = webAddress('ASSET_PUBLIC_BASE_URL');
  const presignEndpoint = webAddress('WAN_VIDEO_PRESIGN_ENDPOINT');
  const runbookUrl = webAddress('WAN_VIDEO_RUNBOOK_URL');
  const workspace = read('DASHSCOPE_WORKSPACE');
  if (workspace !== undefined && !/^[\w-]+$/.test(workspace)) {
    fail('DASHSCOPE_WORKSPACE', 'must be a workspace id: letters, digits, dashes, underscores');
  }
  const allowPrivateUrls = (read('WAN_VIDEO_ALLOW_PRIVATE_URLS') ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  for (const entry of allowPrivateUrls) {
    if (!isHostOrCidr(entry))
      fail('WAN_VIDEO_ALLOW_PRIVATE_URLS', `has "${entry}", which is neither a host nor a CIDR block`);
  }
  const shared = read('WAN_VIDEO_SHARED_FILE_STORE');
  if (shared !== undefined && shared !== '1') fail('WAN_VIDEO_SHARED_FILE_STORE', 'must be 1, or be left out');
  const level = read('LOG_LEVEL') ?? 'info';
  if (!LEVELS.includes(level)) fail('LOG_LEVEL', `must be one of ${LEVELS.join(', ')}`);
  const format = read('LOG_FORMAT');
  if (format !== undefined && format !== 'pretty' && format !== 'json') fail('LOG_FORMAT', 'must be pretty or json');

  const metricsText = read('WAN_VIDEO_METRICS');
  const metrics = metricsText === undefined ? undefined : listenAddress(metricsText);
  if (metricsText !== undefined && metrics === undefined) {
    fail('WAN_VIDEO_METRICS', 'must be host:port with a port from 1 to 65535, such as 127.0.0.1:9464');
  }
  const prices = read('WAN_VIDEO_PRICES');
  const codec = payloadCodecOf(env);
  const deployment = readDeployment(read, fail);
  const webhook = read('WAN_VIDEO_WEBHOOK');
  const budgets = read('WAN_VIDEO_BUDGETS');
  const tracing = readTracing(env, fail);
  const ffmpeg = read('WAN_VIDEO_FFMPEG') ?? 'ffmpeg';
  if (/[\\/]/.test(ffmpeg) && !/^([/\\~]|[A-Za-z]:)/.test(ffmpeg)) {
    fail('WAN_VIDEO_FFMPEG', 'must be an absolute path, a name on PATH, or off');
  }
  const prefix = name('WAN_VIDEO_TASK_QUEUE', 'video');
  const config: Config = {
    provider: {
      baseUrl,
      providerId,
      account: name('WAN_VIDEO_ACCOUNT', 'default'),
      ...(workspace !== undefined && { workspace }),
    },
    store,
    sharedFileStore: shared === '1',
    ...(publicBaseUrl !== undefined && { publicBaseUrl: publicBaseUrl.replace(/\/+$/, '') }),
    ...(presignEndpoint !== undefined && { presignEndpoint }),
    ...(runbookUrl !== undefined && { runbookUrl }),
    taskQueues: { generate: `${prefix}-generate`, submit: `${prefix}-submit`, conform: `${prefix}-conform` },
    rates: {
      query: rate('query', 'WAN_VIDEO_QUERY_RATE', 10),
      submit: rate('submit', 'WAN_VIDEO_SUBMIT_RATE', 4),
      maxRunning: rate('maxRunning', 'WAN_VIDEO_MAX_RUNNING', DOCUMENTED_QUOTA.maxRunning),
    },
    allowPrivateUrls,
    ...readNetwork(env, where.cwd, fail, providerId === 'emulator'),
    ...(deployment !== undefined && { deployment }),
    ...(codec !== undefined && { payloadCodec: codec }),
    ...(prices !== undefined && { pricesFile: path(prices) }),
    ...(webhook !== undefined && { webhookFile: path(webhook) }),
    ...(metrics !== undefined && { metrics }),
    ...(budgets !== undefined && { budgetsFile: path(budgets) }),
    ...(tracing !== undefined && { tracing }),
    ...(ffmpeg !== 'off' && {
      ffmpeg: { program: /[\\/]/.test(ffmpeg) ? path(ffmpeg) : ffmpeg, searchPath: read('PATH') ?? '' },
    }),
    log: { level: level as LogLevel, ...(format !== undefined && { format: format as 'pretty' | 'json' }) },
    times: DEFAULT_TIMES,
  };
  if (issues.length > 0) {
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `The environment is not usable: ${issues.map((issue) => `${issue.path} ${issue.message}`).join('; ')}`,
      { issues, nextStep: 'Correct the named environment variables and start again.' },
    );
  }
  return config;
}

type Fail = (path: string, message: string) => void;

/** The names are those that Temporal's worker controller sets. */
function readDeployment(read: (name: string) => string | undefined, fail: Fail): Config['deployment'] {
  const name = read('TEMPORAL_DEPLOYMENT_NAME');
  const buildId = read('TEMPORAL_WORKER_BUILD_ID');
  if (name === undefined && buildId === undefined) return undefined;
  // Temporal joins the two with a dot or a colon, and splits them there again.
  if (name === undefined) fail('TEMPORAL_DEPLOYMENT_NAME', 'must be set together with TEMPORAL_WORKER_BUILD_ID');
  else if (!/^[\w-]{1,100}$/.test(name)) {
    fail('TEMPORAL_DEPLOYMENT_NAME', 'must be 1 to 100 letters, digits, dashes or underscores');
  }
  if (buildId === undefined) fail('TEMPORAL_WORKER_BUILD_ID', 'must be set together with TEMPORAL_DEPLOYMENT_NAME');
  else if (!/^[\w.-]{1,100}$/.test(buildId)) {
    fail('TEMPORAL_WORKER_BUILD_ID', 'must be 1 to 100 letters, digits, dots, dashes or underscores');
  }
  return { name: name ?? '', buildId: buildId ?? '' };
}

function faultOfBase(baseUrl: string): string | undefined {
  // A form or a tool may have encoded the braces, and a URL's host takes them either way.
  const decoded = baseUrl.replace(/%(7b|7d|3c|3e)/gi, (encoded) => decodeURIComponent(encoded));
  const placeholder = /\{[^}]*\}|<[^>]*>/.exec(decoded)?.[0];
  if (placeholder !== undefined) return `has the placeholder ${placeholder.slice(0, 40)}; write your own value there`;
  const url = urlOf(baseUrl);
  if (url === undefined || !/^https?:$/.test(url.protocol))
    return 'must be an http or https address that ends with /api/v1';
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname))
    return 'must be https: http would send the key unencrypted';
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    return 'must not carry a user, a query or a fragment';
  if (!url.pathname.endsWith('/api/v1')) {
    // `/compatible-mode/v1` and others are interfaces of the same host that know no tasks.
    return `must end with /api/v1, such as ${url.origin}/api/v1`;
  }
  return undefined;
}

function listenAddress(text: string): ListenAddress | undefined {
  const [, host = '', digits = ''] = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === '' || port < 1 || port > 65_535) return undefined;
  return { host: host.replace(/^\[|\]$/g, ''), port };
}

function urlOf(value: string): URL | undefined {
  return URL.canParse(value) ? new URL(value) : undefined;
}

function isLoopbackHost(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname)
  );
}

function isHostOrCidr(value: string): boolean {
  const [address = '', bits, ...rest] = value.split('/');
  const family = isIP(address);
  if (bits !== undefined)
    return family !== 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
  return family !== 0 || /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(value);
}
