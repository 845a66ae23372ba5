// What the benches through Temporal run on: a Temporal server, emulators behind recorders, and workers, each a
// process of its own.
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connectClient } from '../dist/src/client/connect.js';
import { registerSearchAttributes } from '../dist/src/client/setup.js';
import { WanVideoClient } from '../dist/src/client/video-client.js';
import { loadConfig } from '../dist/src/config/config.js';
import { findTemporalCli } from '../dist/src/dev/temporal-cli.js';
import { freePort, startDevServer } from '../dist/src/dev/temporal-server.js';
import { stageImage } from '../dist/src/media/stage-image.js';
import { openStore } from '../dist/src/storage/open-store.js';

export const at = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Sends a child one message and resolves its answer. */
export function ask(child, message) {
  return new Promise((resolve, reject) => {
    const gone = (code) => reject(new Error(`${child.spawnargs.slice(1).join(' ')} ended with ${code}`));
    child.once('exit', gone);
    child.once('message', (answer) => {
      child.off('exit', gone);
      resolve(answer);
    });
    child.send(message);
  });
}

/**
 * Starts the server and one emulator per cell; `cells` as provider.mjs takes them, each with the `accounts` of its
 * keys. What it started ends with `close`, or with this process.
 */
export async function startStack(cells) {
  const folder = mkdtempSync(join(tmpdir(), 'wan-video-bench-'));
  const children = new Set();
  const keep = (child) => {
    children.add(child);
    child.once('exit', () => children.delete(child));
    return child;
  };
  process.once('exit', () => {
    for (const child of children) child.kill('SIGKILL');
  });
  const server = await startDevServer({
    cliPath: await findTemporalCli(process.env),
    port: await freePort(),
    searchAttributes: {},
  });
  const { address } = server;
  const client = await connectClient({ namespace: 'default', connection: { address } });
  await registerSearchAttributes(client);
  const provider = keep(fork(at('provider.mjs')));
  const accounts = Object.assign({}, ...cells.map((cell) => cell.accounts));
  const { origins } = await ask(provider, { cells, accounts });
  const origin = (cell) => origins.find(({ name }) => name === cell).origin;
  const control = async (cell, path, body) => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const answer = await fetch(`${origin(cell)}/_emulator/${path}`, init);
    if (!answer.ok) throw new Error(`the emulator refuses ${path}: ${await answer.text()}`);
    return answer.json();
  };
  const logs = new Map();
  let asking = Promise.resolve();
  /** One at a time: cells run side by side, and each gets what the others asked for as well. */
  const gather = () => {
    asking = asking.then(async () => {
      const { log } = await ask(provider, 'log');
      for (const entry of log) logs.set(entry.cell, [...(logs.get(entry.cell) ?? []), entry]);
    });
    return asking;
  };

  /** The product as one cell uses it: queues, account and store of its own, so that cells run side by side. */
  async function product(cell, env = {}) {
    const outputDir = join(folder, cell);
    mkdirSync(outputDir);
    const variables = {
      PATH: process.env.PATH,
      HOME: outputDir,
      OUTPUT_DIR: outputDir,
      TEMPORAL_ADDRESS: address,
      LOG_LEVEL: 'error',
      DASHSCOPE_HTTP_BASE_URL: `${origin(cell)}/api/v1`,
      WAN_VIDEO_ACCOUNT: cell,
      WAN_VIDEO_TASK_QUEUE: cell,
      ...env,
    };
    const config = loadConfig(variables, { cwd: outputDir, homeDir: outputDir });
    const store = openStore(config.store);
    const { asset } = await stageImage(at('../assets/sample.jpg'), store);
    const taskQueue = config.taskQueues.generate;
    return {
      config,
      env: variables,
      store,
      taskQueue,
      videos: new WanVideoClient({ client, taskQueue }),
      request: (prompt, change) => ({
        prompt,
        duration: 5,
        fps: 30,
        size: '1280*720',
        reference_image: `asset:${asset.key}`,
        ...change,
      }),
      /** The worker as it is shipped. */
      async startWorker(key) {
        const child = spawn(process.execPath, [at('../dist/src/cli/main.js'), 'worker'], {
          env: { ...variables, DASHSCOPE_API_KEY: key },
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        await Promise.race([once(createInterface({ input: keep(child).stdout }), 'line'), failed(child)]);
        return child;
      },
      /** The same, with an address where it serves its metrics. */
      async startMetered(key) {
        const port = await freePort();
        const child = keep(fork(at('worker.mjs'), [String(port)], { env: { ...variables, DASHSCOPE_API_KEY: key } }));
        await Promise.race([once(child, 'message'), failed(child)]);
        return { metrics: () => fetch(`http://127.0.0.1:${port}/metrics`).then((answer) => answer.text()) };
      },
    };
  }

  return {
    client,
    address,
    folder,
    product,
    control,
    origin,
    /** The plain workflow with a worker of its own; `store`: as `startSlowS3` gives it, default a folder. */
    async plain(cell, { key, store, pollMs = 250 }) {
      const path = join(folder, `${cell}-plain`);
      mkdirSync(path);
      const location = JSON.stringify(store?.location ?? { path });
      const args = [address, `${origin(cell)}/api/v1`, key, String(pollMs), location, `bench-plain-${cell}`];
      const worker = await this.start('plain-worker.mjs', args);
      const taskQueue = `bench-plain-${cell}`;
      return {
        worker,
        async generate(prompt) {
          const workflowId = `plain/${prompt}`;
          const image = at('../assets/sample.jpg');
          await client.workflow.execute('plainGenerate', { workflowId, taskQueue, args: [{ prompt, image }] });
          return workflowId;
        },
      };
    },
    /** A script of this folder as a process; resolves when it says that it is ready. */
    async start(script, args = [], options = {}) {
      const child = keep(fork(at(script), args, options));
      await Promise.race([once(child, 'message'), failed(child)]);
      return child;
    },
    /** What the emulator of a cell was asked since the last call. */
    async log(cell) {
      await gather();
      const own = logs.get(cell) ?? [];
      logs.delete(cell);
      return own;
    },
    async events(workflowId, runId) {
      return (await client.workflow.getHandle(workflowId, runId).fetchHistory()).events ?? [];
    },
    async close() {
      await Promise.all(
        [...children].map((child) => {
          const gone = once(child, 'exit');
          child.kill('SIGKILL');
          return gone;
        }),
      );
      await client.connection.close();
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function failed(child) {
  const [code] = await once(child, 'exit');
  throw new Error(`${child.spawnargs.slice(1).join(' ')} ended with ${code} before it was ready`);
}
