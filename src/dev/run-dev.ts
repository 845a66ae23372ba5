import { mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { aborted } from '../async/aborted.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { DEV_FOLDERS, type DevEnvironment, environmentFile } from './dev-environment.js';
import { lockDirectory } from './directory-lock.js';
import { type DevPorts, stopEmbeddedTemporal } from './embedded-temporal.js';
import { startLocalStack } from './local-stack.js';
import { isPortFree } from './temporal-server.js';

/** Addresses of the parts of `wan-video dev`, as published by `--json`. */
interface DevAddresses {
  readonly ready: true;
  /** `host:port`. */
  readonly temporal_address: string;
  readonly web_ui: string | undefined;
  /** The provider's base, with `/api/v1`: the emulator's, or the configured one. */
  readonly provider_base_url: string;
}

/** How `wan-video dev` runs. */
export interface DevOptions {
  /** Uses the configured provider, which costs money, instead of the emulator. */
  readonly live: boolean;
  /** Called with every line for people. */
  readonly say: (line: string) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Called once, when everything is running. */
  readonly onReady?: (addresses: DevAddresses) => void;
  /** Configures store and, when live, the provider; `TEMPORAL_*` is not read. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Keeps the state of its Temporal and emulator; default `.wan-video/dev`, live `.wan-video/dev-live`. */
  readonly directory?: string;
  /** TCP port of Temporal; its Web UI has the one a thousand above, the emulator the one two thousand above. */
  readonly port?: number | undefined;
}

/**
 * Runs Temporal with its Web UI, the emulator and a worker until `signal` aborts or SIGINT or SIGTERM stops the worker.
 * Runs and tasks are kept for the next time. Install a logger (`installLogger`) before.
 * @throws VideoError `ConfigurationInvalid` when another one runs in the same directory, or as `startLocalStack` does.
 */
export async function runDev(options: DevOptions): Promise<void> {
  const { live, say, signal, env = process.env } = options;
  // A live worker must never meet runs that were started for the emulator: it would buy their videos.
  const directory = options.directory ?? resolve(live ? DEV_FOLDERS.live : DEV_FOLDERS.emulator);
  await mkdir(directory, { recursive: true });
  const unlock = await lockDirectory(directory, (pid) => {
    throw new VideoError(FailureType.ConfigurationInvalid, `Another "wan-video dev" runs in ${directory}`, {
      nextStep: `Use it, or end process ${pid} first.`,
    });
  });
  try {
    const ports = await choosePorts(options.port, directory);
    const where = { cwd: process.cwd(), homeDir: homedir() };
    const stack = await startLocalStack({ directory, env, where, live, speed: 1, say, ports });
    try {
      const { temporal, emulator } = stack;
      say(`Temporal  ${temporal.address}`);
      say(`Web UI    ${temporal.uiUrl}`);
      say(emulator === undefined ? `Provider  ${stack.config.provider.baseUrl}` : `Emulator  ${emulator.baseUrl}`);
      const { store } = stack.config;
      const variables: DevEnvironment = {
        TEMPORAL_ADDRESS: temporal.address,
        // A command that knows only this Temporal would read the ledger of the real provider.
        ...(emulator !== undefined && { DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl, DASHSCOPE_API_KEY: 'any' }),
        // The default is below the folder in which a command is started.
        ...(store.kind === 'file' && { ASSET_STORE: `file:${store.path}` }),
      };
      await writeFile(environmentFile(directory), JSON.stringify(variables));
      const words = Object.entries(variables).map(([name, value]) => `${name}=${shellWord(value)}`);
      say('Commands in this folder find it; "wan-video temporal" is the command line of this Temporal.');
      say(`For other folders:  export ${words.join(' ')}`);
      say('Worker ready; Ctrl-C ends it.');
      options.onReady?.({
        ready: true,
        temporal_address: temporal.address,
        web_ui: temporal.uiUrl,
        provider_base_url: stack.config.provider.baseUrl,
      });
      await Promise.race([stack.worker, aborted(signal)]);
    } finally {
      await stack.close();
    }
  } finally {
    await rm(environmentFile(directory), { force: true });
    await stopEmbeddedTemporal(directory);
    await unlock();
  }
}

/** Temporal's own defaults, and the emulator's port in the compose file. */
const USUAL_PORTS = { temporal: 7233, webUi: 8233, emulator: 8090 } as const;

/**
 * The ports of the parts: those of `port`, else each usual one that is free.
 * @throws VideoError `ConfigurationInvalid` when a port that was given is in use.
 */
async function choosePorts(port: number | undefined, directory: string): Promise<DevPorts> {
  // A Temporal that a crash has left would keep its own ports.
  if (port !== undefined) await stopEmbeddedTemporal(directory);
  const wanted = port === undefined ? USUAL_PORTS : { temporal: port, webUi: port + 1_000, emulator: port + 2_000 };
  const choose = async (one: number): Promise<number | undefined> => {
    if (await isPortFree(one)) return one;
    if (port === undefined) return undefined;
    throw new VideoError(FailureType.ConfigurationInvalid, `The port ${one} is in use`, {
      nextStep: 'Give another one with --port, or none: then free ones are used.',
    });
  };
  return {
    temporal: await choose(wanted.temporal),
    webUi: await choose(wanted.webUi),
    emulator: await choose(wanted.emulator),
  };
}

/** Text as one word of a POSIX shell, quoted only where it must be. */
const shellWord = (text: string): string =>
  /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
