// Memory and time around the store: archiving, staging, cache hits. Real worker process, real Temporal server, emulator
// in this process, local store; every figure next to something measured in the same run:
//   node bench/storage.mjs [--json FILE]
// Needs the build (dist/). Memory is the process's resident set (/proc, Linux), sampled every 20 ms.
import '../scripts/require-node.mjs';
import { fork, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connectClient } from '../dist/src/client/connect.js';
import { registerSearchAttributes } from '../dist/src/client/setup.js';
import { WanVideoClient } from '../dist/src/client/video-client.js';
import { findTemporalCli } from '../dist/src/dev/temporal-cli.js';
import { freePort, startDevServer } from '../dist/src/dev/temporal-server.js';
import { startEmulator } from '../dist/src/emulator/index.js';
import { stageImage } from '../dist/src/media/stage-image.js';
import { FileStore } from '../dist/src/storage/file-store.js';
import { median } from './figures.mjs';

const at = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values } = parseArgs({ options: { json: { type: 'string' }, hits: { type: 'string', default: '30' } } });
const MIB = 1024 * 1024;
const figures = [];
const show = (what, value, comparison) => {
  figures.push({ what, value, comparison });
  process.stdout.write(`${what.padEnd(58)} ${value.padStart(12)}   ${comparison}\n`);
};

const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

/** Largest growth of a process's memory while `work` runs, in bytes. */
async function growth(pid, work) {
  const before = rss(pid);
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, rss(pid));
  }, 20);
  await work().finally(() => clearInterval(timer));
  return peak - before;
}

const mib = (bytes) => `${Math.round(bytes / MIB)} MiB`;

const folder = mkdtempSync(join(tmpdir(), 'wan-video-bench-'));
const server = await startDevServer({
  cliPath: await findTemporalCli(process.env),
  port: await freePort(),
  searchAttributes: {},
});
const emulator = await startEmulator({ settings: { speed: 200, submit_rate: 0, query_rate: 0, slots: 50 } });
const client = await connectClient({ namespace: 'default', connection: { address: server.address } });
await registerSearchAttributes(client);
const env = {
  PATH: process.env.PATH,
  HOME: folder,
  OUTPUT_DIR: folder,
  TEMPORAL_ADDRESS: server.address,
  DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl,
  DASHSCOPE_API_KEY: 'sk-bench',
  LOG_LEVEL: 'error',
  WAN_VIDEO_QUERY_RATE: '200',
  WAN_VIDEO_SUBMIT_RATE: '50',
  WAN_VIDEO_MAX_RUNNING: '50',
};
const worker = spawn(process.execPath, [at('../dist/src/cli/main.js'), 'worker'], {
  env,
  stdio: ['ignore', 'pipe', 'inherit'],
});
await once(createInterface({ input: worker.stdout }), 'line');

const store = new FileStore(join(folder, 'ai-video-wan-video'));
const staged = await stageImage(at('../assets/sample.jpg'), store);
const videos = new WanVideoClient({ client });
const request = (prompt) => ({
  prompt,
  duration: 2,
  fps: 30,
  size: '1280*720',
  reference_image: `asset:${staged.asset.key}`,
});
const generate = () => videos.generate(request(randomUUID()));

async function archiving(sizeBytes, count) {
  emulator.changeSettings({ result_min_bytes: sizeBytes });
  const grown = await growth(worker.pid, () => Promise.all(Array.from({ length: count }, generate)));
  emulator.changeSettings({ result_min_bytes: 0 });
  return grown;
}

/** The same download into one buffer, in a fresh process. */
async function intoOneBuffer(sizeBytes) {
  emulator.changeSettings({ result_min_bytes: sizeBytes });
  const { task_id } = await generate();
  const answer = await fetch(`${emulator.baseUrl}/tasks/${task_id}`, { headers: { authorization: 'Bearer sk-bench' } });
  const { output } = await answer.json();
  emulator.changeSettings({ result_min_bytes: 0 });
  const child = fork(at('./one-buffer.mjs'), [join(folder, 'one-buffer.mp4')]);
  await once(child, 'message');
  const grown = await growth(child.pid, async () => {
    child.send(output.video_url);
    await once(child, 'message');
  });
  child.disconnect();
  return grown;
}

try {
  for (let i = 0; i < 5; i += 1) await generate(); // compiled, connected, learned

  const buffer = await intoOneBuffer(200 * MIB);
  show('one buffer, 200 MiB: growth', mib(buffer), 'the way not taken');
  const small = await archiving(20 * MIB, 1);
  const large = await archiving(200 * MIB, 1);
  show('archive 20 MiB: growth of the worker', mib(small), `${(small / buffer).toFixed(2)} of one buffer`);
  show(
    'archive 200 MiB: growth of the worker',
    mib(large),
    `${(large / buffer).toFixed(2)} of one buffer; at most 64 MiB`,
  );
  const many = await archiving(50 * MIB, 20);
  show('20 archives of 50 MiB at once: growth', mib(many), 'at most 256 MiB');

  const image = join(folder, 'large.bmp');
  writeFileSync(image, bitmap(2600, 2600));
  const stager = fork(at('./stage.mjs'), [join(folder, 'staging')]);
  await once(stager, 'message');
  const staging = await growth(stager.pid, async () => {
    stager.send(image);
    await once(stager, 'message');
  });
  stager.disconnect();
  show('stage a 20 MB image: growth', mib(staging), 'at most 64 MiB');

  const noop = await startNoop();
  const [hits, noops] = [[], []];
  const cached = request('asked for again and again');
  await videos.generate(cached);
  for (let i = 0; i < Number(values.hits); i += 1) {
    hits.push(await timed(() => videos.generate(cached)));
    noops.push(await timed(() => noop.run()));
  }
  await noop.stop();
  const ratio = median(hits) / median(noops);
  show(
    'cache hit, median',
    `${median(hits).toFixed(0)} ms`,
    `${ratio.toFixed(2)} x a workflow of one no-op activity; at most 1.5`,
  );
} finally {
  worker.kill('SIGTERM');
  await once(worker, 'exit');
  await client.connection.close();
  await emulator.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
process.exit(0);

async function timed(work) {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** A workflow of one activity that does nothing, on a worker process of its own. */
async function startNoop() {
  const child = fork(at('./noop-worker.mjs'), [server.address]);
  await once(child, 'message');
  return {
    run: () =>
      client.workflow.execute('noop', { workflowId: `noop/${randomUUID()}`, taskQueue: 'bench-noop', args: [] }),
    stop: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** A 24-bit BMP of noise. */
function bitmap(width, height) {
  const row = Math.ceil((width * 3) / 4) * 4;
  const head = Buffer.alloc(54);
  head.write('BM', 0, 'latin1');
  head.writeUInt32LE(54 + row * height, 2);
  head.writeUInt32LE(54, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(width, 18);
  head.writeInt32LE(height, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(24, 28);
  return Buffer.concat([head, randomBytes(row * height)]);
}
