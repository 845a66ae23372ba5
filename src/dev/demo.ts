import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Runtime } from '@temporalio/worker';
import { errorText, exitCodeOf, resultText } from '../cli/output.js';
import { progressLine } from '../cli/progress-line.js';
import { connectClient } from '../client/connect.js';
import { followVideo } from '../client/follow.js';
import { WanVideoClient } from '../client/video-client.js';
import { loadConfig } from '../config/config.js';
import { QUICK_START } from '../contract/model.js';
import { startEmulator } from '../emulator/index.js';
import { stageImageFile } from '../media/stage-image.js';
import { openStore } from '../storage/open-store.js';
import { runWorker } from '../worker/run-worker.js';
import { embeddedTemporal } from './stack.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** A 4 s video renders some 25 s at the provider; at this speed about three, long enough to watch. */
const SPEED = 8;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** One durable generation on this machine alone: own Temporal, emulated provider, a worker, a video. */
async function demo(): Promise<void> {
  const { values } = parseArgs({
    options: { image: { type: 'string' }, 'keep-open': { type: 'boolean' }, prompt: { type: 'string' } },
  });
  Runtime.install({
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error: (text: string) => say(text) } as never,
  });
  const directory = join(ROOT, '.wan-video', 'demo');
  const temporal = await embeddedTemporal(directory, say);
  const emulator = await startEmulator({ stateFile: join(directory, 'emulator.json'), settings: { speed: SPEED } });
  // Only OUTPUT_DIR is taken from outside: a configured Temporal or provider is not touched.
  const config = loadConfig(
    { DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl, OUTPUT_DIR: process.env['OUTPUT_DIR'] },
    { cwd: ROOT, homeDir: ROOT },
  );
  const stop = new AbortController();
  const worker = new Promise<void>((ready, failed) => {
    running = runWorker({
      config,
      temporal: temporal.target,
      apiKey: () => 'sk-demo',
      signal: stop.signal,
      onReady: ready,
    });
    running.catch(failed);
  });
  await worker;
  const client = await connectClient(temporal.target);
  try {
    const image = resolve(process.env['INIT_CWD'] ?? process.cwd(), values.image ?? join(ROOT, 'assets', 'sample.jpg'));
    const staged = await stageImageFile(image, openStore(config.store));
    const videos = new WanVideoClient({ client, taskQueue: config.taskQueues.generate });
    const started = await videos.start({
      ...QUICK_START,
      prompt: values.prompt ?? 'the boat drifts slowly over the calm lake, ripples in the water',
      reference_image: `asset:${staged.asset.key}`,
    });
    say(`Web UI    ${temporal.uiUrl}/namespaces/default/workflows/${encodeURIComponent(started.id)}`);
    if (started.joined) say('An interrupted generation was found and goes on.');
    const line = progressLine(process.stderr, process.env);
    const result = await followVideo(videos, started.id, (progress) => line.show(progress, Date.now()));
    line.end();
    process.stdout.write(
      `${resultText(result)}\nWeb UI    ${temporal.uiUrl}\nfile      ${fileURLToPath(result.video_url)}\n`,
    );
    if (values['keep-open']) {
      say('Worker and emulator stay until Ctrl-C.');
      await running;
    }
  } finally {
    stop.abort();
    await running?.catch(() => undefined);
    await client.connection.close();
    await emulator.close();
  }
}

let running: Promise<void> | undefined;

demo().then(
  () => process.exit(0),
  (error: unknown) => {
    say(errorText(error));
    process.exit(exitCodeOf(error));
  },
);
