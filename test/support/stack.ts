import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import { connectClient } from '../../src/client/connect.js';
import { registerSearchAttributes } from '../../src/client/setup.js';
import { WanVideoClient } from '../../src/client/video-client.js';
import { loadConfig } from '../../src/config/config.js';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { freePort, startDevServer } from '../../src/dev/temporal-server.js';
import { type Emulator, startEmulator } from '../../src/emulator/index.js';
import { stageImageFile } from '../../src/media/stage-image.js';
import { openStore } from '../../src/storage/open-store.js';
import { runWorker } from '../../src/worker/run-worker.js';

/** A real Temporal server, an emulator and a worker, for one test file. */
export interface Stack {
  readonly client: Client;
  readonly videos: WanVideoClient;
  readonly emulator: Emulator;
  readonly outputDir: string;
  /** `asset:` reference of the sample image. */
  readonly image: string;
  close(): Promise<void>;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Starts the stack; `speed` divides the provider's rendering time. */
export async function startStack({ speed = 100 } = {}): Promise<Stack> {
  const outputDir = await mkdtemp(join(tmpdir(), 'wan-video-test-'));
  const server = await startDevServer({
    cliPath: await findTemporalCli(process.env),
    port: await freePort(),
    searchAttributes: {},
  });
  const emulator = await startEmulator({ settings: { speed } });
  const target = { namespace: 'default', connection: { address: server.address } };
  const client = await connectClient(target);
  await registerSearchAttributes(client);
  const config = loadConfig(
    { DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl, OUTPUT_DIR: outputDir },
    { cwd: ROOT, homeDir: outputDir },
  );
  const stop = new AbortController();
  const running = runWorker({
    config,
    temporal: target,
    apiKey: () => 'sk-test-secret',
    signal: stop.signal,
    bundlePath: join(ROOT, 'dist', 'workflow-bundle.js'),
  });
  running.catch(() => undefined);
  const staged = await stageImageFile(join(ROOT, 'assets', 'sample.jpg'), openStore(config.store));
  return {
    client,
    videos: new WanVideoClient({ client, taskQueue: config.taskQueues.generate }),
    emulator,
    outputDir,
    image: `asset:${staged.asset.key}`,
    async close() {
      stop.abort();
      await running;
      await client.connection.close();
      await emulator.close();
      await server.stop();
      await rm(outputDir, { recursive: true, force: true });
    },
  };
}
