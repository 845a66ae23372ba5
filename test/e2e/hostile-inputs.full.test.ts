import { createHash, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../src/dev/temporal-server.js';
import { rejectedKey, videoKey } from '../../src/storage/keys.js';
import { type EmulatorProcess, startEmulatorProcess } from '../support/emulator-process.js';
import { timeoutsOf } from '../support/history.js';
import { HOSTILE_RESULTS, PAGE_INSTEAD, serveResults } from '../support/hostile-results.js';
import { HOSTILE_SERVERS, startHostileServer } from '../support/hostile-servers.js';
import { scrape } from '../support/metrics.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { servedSha256, sha256Of } from '../support/served-video.js';
import { type Stack, startStack } from '../support/stack.js';

// Every hostile server and file that we know, through one real worker: none ends it, none keeps it from its work.

/** In proportion to one another as the shipped times are. */
const TIMES = {
  nextStepMs: 3_000,
  referenceFetchMs: 3_000,
  downloadIdleMs: 1_000,
  retryMaximumMs: 1_000,
  rejectEveryMs: 200,
  archiveLateMs: 500,
  heartbeatTimeoutMs: 10_000,
  heartbeatThrottleMs: 5_000,
};
const SERVERS = Object.entries(HOSTILE_SERVERS);
const END_MS = 300_000;

let stack: Stack;
let emulator: EmulatorProcess;
let metrics: string;
let worker: WorkerProcess;
let servers: readonly { readonly url: string; close(): void }[] = [];
let files: Awaited<ReturnType<typeof serveResults>>;
beforeAll(async () => {
  stack = await startStack({ worker: false });
  emulator = await startEmulatorProcess(join(stack.outputDir, 'emulator.json'), { render_seconds: 1, slots: 100 });
  metrics = `127.0.0.1:${await freePort()}`;
  worker = await startWorkerProcess(stack, TIMES, {
    env: {
      DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl,
      WAN_VIDEO_ALLOW_PRIVATE_URLS: '127.0.0.1',
      WAN_VIDEO_METRICS: metrics,
      WAN_VIDEO_MAX_RUNNING: '100',
    },
  });
  servers = await Promise.all(SERVERS.map(([, behave]) => startHostileServer(behave)));
  files = await serveResults();
}, 120_000);
afterAll(async () => {
  for (const { close } of servers) close();
  files?.close();
  await worker?.end('SIGKILL');
  await emulator?.kill();
  await stack?.close();
});

/** Lets generations of somebody else run one after the other until `others` has ended; returns their ids. */
async function runNextTo(others: Promise<unknown>): Promise<string[]> {
  let isOver = false;
  void others
    .catch(() => undefined)
    .finally(() => {
      isOver = true;
    });
  const ids: string[] = [];
  do {
    const { id } = await stack.videos.start(stack.request(`a neighbour ${randomUUID()}`));
    ids.push(id);
    expect(await stack.videos.result(id)).toMatchObject({ source: 'generated' });
  } while (!isOver);
  await others;
  return ids;
}

async function expectUnhindered(neighbours: readonly string[]): Promise<void> {
  expect((await Promise.all(neighbours.map((id) => timeoutsOf(stack.client, id)))).flat()).toEqual([]);
  expect({ code: worker.process.exitCode, signal: worker.process.signalCode }).toEqual({ code: null, signal: null });
  expect((await scrape(metrics)).value('wan_video_uncaught_errors_total') ?? 0).toBe(0);
}

test(
  'an image from any hostile server fails its own run alone, before anything is bought',
  async () => {
    const runs = Promise.all(
      servers.map(async ({ url }, at) => {
        const prompt = `image of a server that ${SERVERS[at]?.[0]}`;
        const request = { ...stack.request(prompt), reference_image: `${url}/a.png` };
        await expect(stack.videos.generate(request), prompt).rejects.toMatchObject({
          error: { type: expect.stringMatching(/^Reference(Rejected|Unreachable)$/), billed: false },
        });
        return prompt;
      }),
    );
    await expectUnhindered(await runNextTo(runs));
    const bought = (await emulator.state()).tasks.map(({ prompt }) => prompt);
    expect(bought.filter((prompt) => prompt.startsWith('image of'))).toEqual([]);
  },
  END_MS,
);

test(
  'a result at any hostile server leaves its purchase open, and is archived once it comes',
  async () => {
    const started = await Promise.all(
      servers.map(async ({ url }, at) => {
        const prompt = `result at a server that ${SERVERS[at]?.[0]}`;
        const changes = [{ kind: 'set' as const, path: 'output.video_url', value: `${url}/a.mp4` }];
        await emulator.queueFaults({ on: 'query', match: prompt, fault: 'drift', changes, times: null });
        const { id } = await stack.videos.start(stack.request(prompt));
        return { id, prompt };
      }),
    );
    const tried = Promise.all(
      started.map(({ id, prompt }) =>
        expect
          .poll(() => stack.videos.progress(id), { message: prompt, timeout: END_MS / 2, interval: 500 })
          .toMatchObject({ stage: expect.stringMatching(/^(archiving|needs_attention)$/) }),
      ),
    );
    const neighbours = await runNextTo(tried);
    await fetch(`${emulator.origin}/_emulator/faults`, { method: 'DELETE' });
    for (const { id, prompt } of started) {
      const { task_id, sha256 } = await stack.videos.result(id);
      expect({ prompt, sha256 }).toEqual({ prompt, sha256: await servedSha256(emulator, task_id) });
    }
    await expectUnhindered(neighbours);
    const { tasks } = await emulator.state();
    for (const { prompt } of started) expect(tasks.filter((task) => task.prompt === prompt)).toHaveLength(1);
  },
  END_MS,
);

test(
  'any hostile file as a result is kept as it came, or set aside, and bought once',
  async () => {
    const names = Object.keys(HOSTILE_RESULTS).filter((name) => name !== PAGE_INSTEAD);
    const runs = Promise.all(
      names.map(async (name) => {
        const prompt = `result that is ${name}`;
        const changes = [{ kind: 'set' as const, path: 'output.video_url', value: files.urlOf(name) }];
        await emulator.queueFaults({ on: 'query', match: prompt, fault: 'drift', changes, times: null });
        const { id } = await stack.videos.start(stack.request(prompt));
        const end = await stack.videos.result(id).catch((error: unknown) => error);
        const [task] = (await emulator.state()).tasks.filter((one) => one.prompt === prompt);
        const served = createHash('sha256')
          .update(HOSTILE_RESULTS[name] ?? '')
          .digest('hex');
        const isKept = (end as { sha256?: string }).sha256 !== undefined;
        if (isKept) expect(end, name).toMatchObject({ sha256: served, source: 'generated' });
        else expect(end, name).toMatchObject({ error: { type: 'ResultRejected', billed: true } });
        const key = (isKept ? videoKey : rejectedKey)(task?.task_id ?? '');
        expect(await sha256Of(await stack.store.get(key)), name).toBe(served);
        return prompt;
      }),
    );
    await expectUnhindered(await runNextTo(runs));
    const { tasks } = await emulator.state();
    for (const prompt of await runs) expect(tasks.filter((task) => task.prompt === prompt)).toHaveLength(1);
  },
  END_MS,
);
