import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { aborted } from '../async/aborted.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { lockDirectory } from './directory-lock.js';
import { stopEmbeddedTemporal } from './embedded-temporal.js';
import { startLocalStack } from './local-stack.js';

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
}

/**
 * Runs Temporal with its Web UI, the emulator and a worker until `signal` aborts or SIGINT or SIGTERM stops the worker.
 * Runs and tasks are kept for the next time. Install a logger (`installLogger`) before.
 * @throws VideoError `ConfigurationInvalid` when another one runs in the same directory, or as `startLocalStack` does.
 */
export async function runDev(options: DevOptions): Promise<void> {
  const { live, say, signal, env = process.env } = options;
  // A live worker must never meet runs that were started for the emulator: it would buy their videos.
  const directory = options.directory ?? resolve('.wan-video', live ? 'dev-live' : 'dev');
  await mkdir(directory, { recursive: true });
  const unlock = await lockDirectory(directory, (pid) => {
    throw new VideoError(FailureType.ConfigurationInvalid, `Another "wan-video dev" runs in ${directory}`, {
      nextStep: `Use it, or end process ${pid} first.`,
    });
  });
  try {
    const where = { cwd: process.cwd(), homeDir: homedir() };
    const stack = await startLocalStack({ directory, env, where, live, speed: 1, say });
    try {
      const { temporal, emulator } = stack;
      say(`Temporal  ${temporal.address}`);
      say(`Web UI    ${temporal.uiUrl}`);
      say(emulator === undefined ? `Provider  ${stack.config.provider.baseUrl}` : `Emulator  ${emulator.baseUrl}`);
      // A command that knows only this Temporal would read the ledger of the real provider.
      const provider =
        emulator === undefined ? '' : ` DASHSCOPE_HTTP_BASE_URL=${emulator.baseUrl} DASHSCOPE_API_KEY=any`;
      // The default is below the folder in which a command is started.
      const { store } = stack.config;
      const place = store.kind === 'file' ? ` ASSET_STORE=${shellWord(`file:${store.path}`)}` : '';
      say(`For other commands:  export TEMPORAL_ADDRESS=${temporal.address}${provider}${place}`);
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
    await stopEmbeddedTemporal(directory);
    await unlock();
  }
}

/** Text as one word of a POSIX shell, quoted only where it must be. */
const shellWord = (text: string): string =>
  /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
