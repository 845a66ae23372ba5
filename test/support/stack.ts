import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import { connectClient } from '../../src/client/connect.js';
import { registerSearchAttributes } from '../../src/client/setup.js';
import type { TemporalTarget } from '../../src/client/temporal-target.js';
import { WanVideoClient } from '../../src/client/video-client.js';
import { type Config, loadConfig } from '../../src/config/config.js';
import type { Times } from '../../src/config/times.js';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { type DevServer, freePort, startDevServer } from '../../src/dev/temporal-server.js';
import { type Emulator, type EmulatorSettings, startEmulator } from '../../src/emulator/index.js';
import { stageImage } from '../../src/media/stage-image.js';
import type { AssetStore } from '../../src/storage/asset-store.js';
import { openStore } from '../../src/storage/open-store.js';
import { installLogger } from '../../src/worker/logger.js';
import { runWorker } from '../../src/worker/run-worker.js';
import { QUICK_POLL } from './quick-times.js';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const BUNDLE = join(ROOT, 'dist', 'workflow-bundle.js');
/** The key that the workers of a stack use; no output and no history may ever hold it. */
export const TEST_KEY = 'sk-test-secret-0123456789';

// One runtime per process, and quiet: a test file that fails says so itself.
installLogger({ level: 'fatal', format: 'json' });

export interface StackOptions {
  /** Emulator settings; `speed` (default 100) divides the provider's rendering time. */
  readonly settings?: Partial<EmulatorSettings>;
  /** Deviations from the shipped times. */
  readonly times?: Partial<Times>;
  /** Further environment variables. */
  readonly env?: Record<string, string>;
  /** Whether our search attributes are registered; default true. */
  readonly attributes?: boolean;
  /** Whether a worker starts at once; default true. */
  readonly worker?: boolean;
  /** What the client and the workers encode Temporal's data with. */
  readonly payloadCodec?: PayloadCodec;
  /** Whether the server has its Web UI; default false. */
  readonly ui?: boolean;
  /** A server that runs already, which the stack leaves as it is; default: one of its own. */
  readonly server?: { readonly address: string; readonly pid: number };
  /** SQLite file of the server; default: in memory. */
  readonly dbFilename?: string;
  /** Dynamic configuration of the server: setting to value, as JSON. */
  readonly dynamicConfig?: Readonly<Record<string, string>>;
}

/** A worker in this process. */
export interface RunningWorker {
  stop(): Promise<void>;
}

/** A real Temporal server, an emulator and workers, for one test file. */
export interface Stack {
  readonly client: Client;
  readonly temporal: TemporalTarget;
  readonly videos: WanVideoClient;
  readonly emulator: Emulator;
  readonly config: Config;
  readonly store: AssetStore;
  /** The environment that a process of this stack needs; without TEMPORAL_ADDRESS's key. */
  readonly env: Record<string, string>;
  readonly outputDir: string;
  /** Process id of the Temporal server. */
  readonly temporalPid: number;
  /** Address of the Web UI; undefined without `ui`. */
  readonly uiUrl: string | undefined;
  /** `asset:` reference of the sample image. */
  readonly image: string;
  /** The request that tests vary. */
  request(prompt: string): { prompt: string; duration: number; fps: number; size: string; reference_image: string };
  startWorker(): Promise<RunningWorker>;
  close(): Promise<void>;
}

/** Starts the stack. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const outputDir = await mkdtemp(join(tmpdir(), 'wan-video-test-'));
  const server: Pick<DevServer, 'address' | 'pid' | 'uiUrl' | 'stop'> =
    options.server === undefined
      ? await startDevServer({
          cliPath: await findTemporalCli(process.env),
          port: await freePort(),
          ...(options.ui === true && { uiPort: await freePort() }),
          ...(options.dbFilename !== undefined && { dbFilename: options.dbFilename }),
          dynamicConfig: options.dynamicConfig,
          searchAttributes: {},
        })
      : { ...options.server, stop: async () => undefined };
  const emulator = await startEmulator({ settings: { speed: 100, ...options.settings } });
  const { payloadCodec } = options;
  const temporal = { namespace: 'default', connection: { address: server.address }, payloadCodec };
  const client = await connectClient(temporal);
  if (options.attributes !== false) await registerSearchAttributes(client);
  const env = {
    DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl,
    OUTPUT_DIR: outputDir,
    TEMPORAL_ADDRESS: server.address,
    ...options.env,
  };
  const loaded = loadConfig(env, { cwd: ROOT, homeDir: outputDir });
  const config = { ...loaded, times: { ...loaded.times, ...QUICK_POLL, ...options.times } };
  const store = openStore(config.store);
  const workers = new Set<RunningWorker>();
  const startWorker = async (): Promise<RunningWorker> => {
    const stop = new AbortController();
    let running: Promise<void> | undefined;
    await new Promise<void>((ready, failed) => {
      running = runWorker({
        config,
        temporal,
        signal: stop.signal,
        bundlePath: BUNDLE,
        onReady: ready,
        apiKey: () => TEST_KEY,
      });
      running.catch(failed);
    });
    const worker = {
      stop: async () => {
        workers.delete(worker);
        stop.abort();
        await running;
      },
    };
    workers.add(worker);
    return worker;
  };
  const staged = await stageImage(join(ROOT, 'assets', 'sample.jpg'), store);
  const image = `asset:${staged.asset.key}`;
  if (options.worker !== false) await startWorker();
  return {
    client,
    temporal,
    emulator,
    config,
    store,
    env,
    outputDir,
    image,
    startWorker,
    uiUrl: server.uiUrl,
    temporalPid: server.pid,
    videos: new WanVideoClient({ client, taskQueue: config.taskQueues.generate }),
    request: (prompt) => ({ prompt, duration: 4, fps: 24, size: '1280*720', reference_image: image }),
    async close() {
      await Promise.all([...workers].map((worker) => worker.stop()));
      await client.connection.close();
      await emulator.close();
      await server.stop();
      await rm(outputDir, { recursive: true, force: true });
    },
  };
}
