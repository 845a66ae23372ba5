import { homedir } from 'node:os';
import type { DataConverter } from '@temporalio/common';
import type { BundlerPlugin, WorkerInterceptors, WorkerPlugin } from '@temporalio/worker';
import { loadPayloadCodec } from '../client/payload-codec.js';
import { type TemporalTarget, temporalFromEnv } from '../client/temporal-target.js';
import { type Config, loadConfig } from '../config/config.js';
import { resolveApiKey } from '../config/credentials.js';
import {
  A_FLAG,
  A_FUNCTION,
  A_LIST,
  A_SIGNAL,
  A_TEXT,
  AN_ENVIRONMENT,
  AN_OBJECT,
  checkOptions,
  type OptionRules,
} from '../contract/options.js';
import { type SpanSource, TRACER_OPTIONS } from '../tracing/span-source.js';

/** How a worker runs. Without any option it is the one of the command `wan-video worker`. */
export interface WorkerOptions {
  /** The variables that configure it, as docs/configuration.md lists them; default: those of the process. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Instead of what `env` says; `loadConfig` makes one. */
  readonly config?: Config | undefined;
  /** Where Temporal is, instead of what `env` says. */
  readonly temporal?: TemporalTarget | undefined;
  /**
   * Reads address and credentials of Temporal again, so that renewed ones are used; default: `env` is read again,
   * unless `temporal` is given.
   */
  readonly readTemporal?: (() => Promise<TemporalTarget>) | undefined;
  /** Called for each request, so that a changed key file is used at once; default: the key that `env` names. */
  readonly apiKey?: (() => Promise<string> | string) | undefined;
  /**
   * Plugins of Temporal's worker, for both of its queues. With them the workflow code is bundled at the start, which
   * takes some seconds.
   */
  readonly plugins?: readonly (WorkerPlugin & Partial<BundlerPlugin>)[] | undefined;
  /** Interceptors in addition to ours; `workflowModules` are bundled at the start as well. */
  readonly interceptors?: WorkerInterceptors | undefined;
  /**
   * Temporal's data converter, for workflows, steps and the worker's own calls. Its `payloadCodecs` replace the codec
   * that `env` names; every client needs the same converter.
   */
  readonly dataConverter?: DataConverter | undefined;
  /**
   * What spans of runs, steps and requests to the provider are made with, instead of what `env` says; OpenTelemetry's
   * SDK must be started. With it, too, the workflow code is bundled at the start.
   */
  readonly tracerProvider?: SpanSource | undefined;
  /** Workflow code; the prebuilt file unless given. */
  readonly bundlePath?: string | undefined;
  /** Ends the worker as SIGTERM does, also while it starts. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether the process is this worker's own; default false. Then errors that nothing caught are logged and counted,
   * and end it after a drain instead of at once.
   */
  readonly ownsProcess?: boolean | undefined;
  /** Called once all its queues are polled. */
  readonly onReady?: (() => void) | undefined;
}

/** The same with everything that a worker cannot do without. */
export interface ReadyOptions extends WorkerOptions {
  readonly config: Config;
  readonly temporal: TemporalTarget;
  readonly apiKey: () => Promise<string> | string;
}

const RULES: OptionRules = {
  env: AN_ENVIRONMENT,
  config: AN_OBJECT,
  temporal: AN_OBJECT,
  readTemporal: A_FUNCTION,
  apiKey: A_FUNCTION,
  plugins: A_LIST,
  interceptors: AN_OBJECT,
  dataConverter: AN_OBJECT,
  ...TRACER_OPTIONS,
  bundlePath: A_TEXT,
  signal: A_SIGNAL,
  ownsProcess: A_FLAG,
  onReady: A_FUNCTION,
};

/**
 * Checks the options of a worker, and fills in what the environment says. Nothing is connected.
 * @throws VideoError `ConfigurationInvalid` with every option or variable that cannot be used; `CredentialsMissing`.
 */
export async function readyOptions(options: WorkerOptions): Promise<ReadyOptions> {
  checkOptions('runWorker', options, RULES);
  const { env = process.env, dataConverter } = options;
  const where = { cwd: process.cwd(), homeDir: homedir() };
  const config = options.config ?? loadConfig(env, where);
  const { payloadCodec: codec } = config;
  const payloadCodec = codec === undefined ? undefined : await loadPayloadCodec(codec, where.cwd);
  const read = async (): Promise<TemporalTarget> => ({ ...temporalFromEnv(options.env), payloadCodec });
  const apiKey = options.apiKey ?? (async () => (await resolveApiKey(env, where)).reveal());
  if (options.apiKey === undefined) await apiKey(); // a missing key is reported now, not by the first run
  const temporal = options.temporal ?? (await read());
  return {
    ...options,
    config,
    temporal: dataConverter === undefined ? temporal : { ...temporal, dataConverter },
    readTemporal: options.readTemporal ?? (options.temporal === undefined ? read : undefined),
    apiKey,
  };
}
