import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../src/dev/temporal-server.js';
import type { EmulatorTask } from '../../src/emulator/index.js';
import { rejectedKey, videoKey } from '../../src/storage/keys.js';
import { type EmulatorProcess, startEmulatorProcess } from '../support/emulator-process.js';
import { timeoutsOf } from '../support/history.js';
import { type HostileTenant, startHostileTenant } from '../support/hostile-tenant.js';
import { scrape } from '../support/metrics.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { servedSha256, sha256Of } from '../support/served-video.js';
import { type Stack, startStack } from '../support/stack.js';

/** The neighbour's generations, and how far apart they begin: with their length they last two minutes. */
const GENERATIONS = 20;
const EVERY_MS = 5_300;
const RENDER_SECONDS = 15;
/** How much longer they may take next to the hostile tenant. */
const LONGER_MAX = 1.5;
/**
 * A third of the shipped times: the SDK sends a heartbeat every five seconds, and one that is five seconds late is
 * seen.
 */
const TIMES = { heartbeatTimeoutMs: 10_000, heartbeatThrottleMs: 5_000, rejectEveryMs: 1_000 };
/** What the hostile tenant does. */
const KINDS = [
  'requests',
  'inputs of workflows',
  'signals',
  'queries',
  'updates',
  'batches',
  'requests to the metrics port',
];
/** The hostile tenant's own runs end by then, paid ones with a salvage. */
const END_MS = 240_000;

let stack: Stack;
let emulator: EmulatorProcess;
let workers: WorkerProcess[];
let metrics: string[];
let hostile: HostileTenant | undefined;
beforeAll(async () => {
  stack = await startStack({ worker: false });
  // A process of its own: what slows the tests' own process is not to slow the provider.
  emulator = await startEmulatorProcess(join(stack.outputDir, 'emulator.json'), {
    render_seconds: RENDER_SECONDS,
    jitter: 0,
    slots: 60,
  });
  metrics = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  workers = await Promise.all(
    metrics.map((address) =>
      startWorkerProcess(stack, TIMES, {
        env: {
          DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl,
          WAN_VIDEO_ALLOW_PRIVATE_URLS: '127.0.0.1',
          WAN_VIDEO_METRICS: address,
          // Whose turn it is is not what is tested: there is a slot for every run.
          WAN_VIDEO_MAX_RUNNING: '60',
        },
      }),
    ),
  );
});
afterAll(async () => {
  await Promise.all((workers ?? []).map((worker) => worker.end('SIGKILL')));
  hostile?.close();
  await emulator?.kill();
  await stack?.close();
});

/** The neighbour's generations, one after the other begun; how long each took, in milliseconds by Temporal's clock. */
async function generateAll(name: string, onStart: (id: string) => void = () => undefined) {
  const ids: string[] = [];
  for (let n = 0; n < GENERATIONS; n += 1) {
    const { id } = await stack.videos.start({ ...stack.request(`${name} ${n}`), tenant: 'neighbour' });
    ids.push(id);
    onStart(id);
    await delay(EVERY_MS);
  }
  const ended = ids.map(async (id) => {
    expect(await stack.videos.result(id)).toMatchObject({ source: 'generated' });
    const { startTime, closeTime } = await stack.client.workflow.getHandle(id).describe();
    return (closeTime?.getTime() ?? Number.POSITIVE_INFINITY) - startTime.getTime();
  });
  return { ids, lengths: await Promise.all(ended) };
}

/** The 95th percentile: of twenty the second largest. */
const p95 = (lengths: readonly number[]): number =>
  [...lengths].sort((a, b) => a - b)[Math.ceil(0.95 * lengths.length) - 1] ?? Number.NaN;

/** Drops the faults that were for a few requests; a file that every request leads to is what was bought. */
async function keepResultsOnly(): Promise<void> {
  const lasting = (await emulator.queuedFaults()).filter(({ times }) => times === null);
  await fetch(`${emulator.origin}/_emulator/faults`, { method: 'DELETE' });
  if (lasting.length > 0) await emulator.queueFaults(lasting);
}

/** What is stored of a task: its video, or the file that was refused as none. */
async function storedHash({ task_id }: EmulatorTask): Promise<string | undefined> {
  for (const key of [videoKey(task_id), rejectedKey(task_id)]) {
    if ((await stack.store.head(key)) === undefined) continue;
    return sha256Of(await stack.store.get(key));
  }
  return undefined;
}

const runningNow = async (): Promise<string[]> => {
  const ids: string[] = [];
  const query = 'ExecutionStatus = "Running" AND WorkflowType IN ("videoGenerate", "salvageVideo", "videoBatch")';
  for await (const { workflowId } of stack.client.workflow.list({ query })) ids.push(workflowId);
  return ids;
};

test('twenty generations next to a tenant that sends everything hostile are as quick as without it, and nothing is lost', async () => {
  const alone = await generateAll('alone');
  const tenant = await startHostileTenant({ stack, emulator, metrics });
  hostile = tenant;
  const shared = await generateAll('next to it', tenant.aimAt);
  await tenant.stop();
  const figures = { alone: p95(alone.lengths), shared: p95(shared.lengths), hostile: Object.fromEntries(tenant.done) };
  process.stdout.write(`${JSON.stringify(figures)}\n`);

  expect(figures.shared / figures.alone).toBeLessThanOrEqual(LONGER_MAX);
  expect(workers.map(({ process: { exitCode, signalCode } }) => ({ exitCode, signalCode }))).toEqual(
    workers.map(() => ({ exitCode: null, signalCode: null })),
  );
  for (const address of metrics) expect((await scrape(address)).value('wan_video_uncaught_errors_total') ?? 0).toBe(0);
  expect((await Promise.all(shared.ids.map((id) => timeoutsOf(stack.client, id)))).flat()).toEqual([]);
  // Each thing was tried, and each of its kinds.
  expect(tenant.done.get('signals to one run')).toBe(10_000);
  expect(tenant.done.get('images')).toBeGreaterThanOrEqual(44);
  expect(tenant.done.get('results')).toBeGreaterThanOrEqual(15);
  expect(tenant.done.get('answers of the provider')).toBeGreaterThanOrEqual(11);
  for (const kind of KINDS) expect({ kind, times: tenant.done.get(kind) ?? 0 }).not.toMatchObject({ times: 0 });

  const going = async () => {
    await tenant.cancelRuns();
    return runningNow();
  };
  await expect.poll(going, { timeout: END_MS, interval: 2_000 }).toEqual([]);
  await keepResultsOnly();
  const { tasks } = await emulator.state();
  const billed = tasks.filter(({ billed_seconds }) => billed_seconds > 0);
  const prompts = billed.map(({ prompt }) => prompt);
  expect(prompts.filter((prompt, at) => prompts.indexOf(prompt) !== at)).toEqual([]);
  expect(prompts.filter((prompt) => !prompt.startsWith('hostile')).length).toBe(2 * GENERATIONS);
  const lost: string[] = [];
  for (const task of billed) {
    // Below the provider's rate of queries.
    await delay(100);
    if ((await storedHash(task)) !== (await servedSha256(emulator, task.task_id)))
      lost.push(`${task.task_id}: ${task.prompt}`);
  }
  expect(lost).toEqual([]);
}, 900_000);
