import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { connectClient } from '../../src/client/connect.js';
import { loadPayloadCodec } from '../../src/client/payload-codec.js';
import { WanVideoClient } from '../../src/client/video-client.js';
import { freePort } from '../../src/dev/temporal-server.js';
import { command, startCommand } from '../support/command.js';
import { scrape } from '../support/metrics.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { BUNDLE, ROOT, type Stack, startStack } from '../support/stack.js';

// Runs whose workflow task fails again and again. Everybody who looks has neither the codec nor the other code.

const CODEC = join(ROOT, 'docs', 'examples', 'encrypting-codec.mjs');
/** The workflow code of another version: it begins with a timer, not with a step. */
const OTHER_CODE = `{
  const { importWorkflows } = __TEMPORAL__;
  __TEMPORAL__.importWorkflows = () => ({
    ...importWorkflows(),
    videoGenerate: () => new Promise(() => setTimeout(() => undefined, 86_400_000)),
  });
}`;
const GIVE_CODEC = 'give each of them its payload codec (WAN_VIDEO_PAYLOAD_CODEC) with every key';
/** Ids of runs, and what is said of each: the failure and the cure. */
const RUNS = {
  'stuck/codec': ['Unknown encoding: binary/encrypted', GIVE_CODEC],
  'stuck/converter': ['Unknown encoding: binary/foreign', GIVE_CODEC],
  'stuck/other-code': ['Nondeterminism error', 'start a worker of that version again (docs/versioning.md)'],
  'stuck/unknown-type': [
    'no such function is exported',
    'start a worker of a version that has it (docs/versioning.md)',
  ],
  'batch/stuck': ['Unknown encoding: binary/encrypted', GIVE_CODEC],
} as const;
const cases = Object.entries(RUNS).map(([id, [failure, cure]]) => ({ id, failure, cure }));

let folder: string;
let stack: Stack;
let worker: WorkerProcess;
let metrics: string;
let log = '';
/** With the codec. */
let foreign: Client;

/** Starts a run as another SDK or converter may: the server takes any type and any bytes. */
const startRaw = (workflowId: string, type: string, encoding: string) =>
  stack.client.workflowService.startWorkflowExecution({
    namespace: 'default',
    workflowId,
    requestId: randomUUID(),
    workflowType: { name: type },
    taskQueue: { name: stack.config.taskQueues.generate },
    input: { payloads: [{ metadata: { encoding: Buffer.from(encoding) }, data: Buffer.from('{}') }] },
  });

/** Begins a run with a worker of the other code. */
async function startOnOtherCode(workflowId: string): Promise<void> {
  const connection = await NativeConnection.connect({ address: stack.env['TEMPORAL_ADDRESS'] ?? '' });
  const taskQueue = stack.config.taskQueues.generate;
  const code = await readFile(BUNDLE, 'utf8');
  const sourceMapAt = code.lastIndexOf('//# sourceMappingURL');
  const workflowBundle = { code: `${code.slice(0, sourceMapAt)}${OTHER_CODE}\n${code.slice(sourceMapAt)}` };
  const other = await Worker.create({ connection, taskQueue, workflowBundle, maxCachedWorkflows: 0 });
  const run = stack.client.workflow.getHandle(workflowId);
  await other.runUntil(async () => {
    await stack.videos.start(stack.request(workflowId), { id: workflowId });
    // Started, a workflow task of three events, and the timer.
    await vi.waitUntil(async () => (await run.describe()).historyLength >= 5, { timeout: 30_000 });
  });
  await connection.close();
  await run.signal('anything'); // what wakes it up, for the workers of our code
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-stuck-'));
  await writeFile(join(folder, 'codec.key'), randomBytes(32).toString('base64'));
  process.env['WAN_VIDEO_CODEC_KEYS'] = join(folder, 'codec.key');
  stack = await startStack({
    worker: false,
    settings: { speed: 40 },
    // Five by default, which takes the server most of a minute.
    dynamicConfig: { 'system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute': '2' },
  });
  foreign = await connectClient({ ...stack.temporal, payloadCodec: await loadPayloadCodec(CODEC, ROOT) });
  await startOnOtherCode('stuck/other-code');
  await new WanVideoClient({ client: foreign }).start(stack.request('codec'), { id: 'stuck/codec' });
  await new WanBatchClient({ client: foreign, store: stack.store }).start(
    { lines: [stack.request('line')] },
    { id: 'stuck' },
  );
  await startRaw('stuck/converter', 'videoGenerate', 'binary/foreign');
  await startRaw('stuck/unknown-type', 'videoOfTomorrow', 'json/plain');
  metrics = `127.0.0.1:${await freePort()}`;
  worker = await startWorkerProcess(
    stack,
    { metricsEveryMs: 300 },
    {
      env: { WAN_VIDEO_METRICS: metrics, LOG_LEVEL: 'info', LOG_FORMAT: 'json' },
      onLog: (text) => {
        log += text;
      },
    },
  );
}, 60_000);
afterAll(async () => {
  await worker?.end('SIGKILL');
  await foreign?.connection.close();
  await stack?.close();
  delete process.env['WAN_VIDEO_CODEC_KEYS'];
  await rm(folder, { recursive: true, force: true });
});

describe.each(cases)('the stuck run $id', ({ id, failure, cure }) => {
  test('is reported by status, with the cure', async () => {
    const words = id.startsWith('batch/') ? ['batch', 'status', 'stuck'] : ['status', id];
    const problem = async () =>
      /^problem +(.*)$/m.exec((await command(words, { env: stack.env })).stdout)?.[1] ?? 'none';
    await expect.poll(problem, { timeout: 60_000 }).toContain('its workflow task fails again and again (attempt');
    expect(await problem()).toContain(failure);
    expect(await problem()).toContain(cure);
  });

  test('is reported by watch, with the cure', async () => {
    const words = id.startsWith('batch/') ? ['batch', 'watch', 'stuck'] : ['watch', id];
    const watching = startCommand(words, stack.env);
    const line = /.*its workflow task fails again and again.*/;
    // Only what has a video can be watched.
    if (id === 'stuck/unknown-type') {
      expect(await watching.ended).toMatchObject({ code: 1, stderr: expect.stringContaining('videoOfTomorrow') });
      return;
    }
    const said = await watching.said(line);
    watching.process.kill('SIGINT');
    expect(said).toContain(failure);
    expect(said).toContain(cure);
    await watching.ended;
  });

  test('is logged once by the worker, with the cure', async () => {
    const entries = () =>
      log
        .split('\n')
        .filter((line) => line.includes('A run is stuck'))
        .map((line) => JSON.parse(line) as { workflowId: string; problem: string })
        .filter(({ workflowId }) => workflowId === id);
    await expect.poll(() => entries().length, { timeout: 60_000 }).toBe(1);
    expect(entries()[0]?.problem).toContain(failure);
    expect(entries()[0]?.problem).toContain(cure);
  });
});

test('doctor names the stuck runs and the cure', async () => {
  const { code, stdout } = await command(['doctor', '--json'], { env: stack.env });
  expect(code).toBe(3);
  expect(stdout).toMatch(/"5 of \d+ running runs are stuck: /);
  for (const { failure } of new Map(cases.map((one) => [one.cure, one])).values()) expect(stdout).toContain(failure);
  for (const { cure } of cases) expect(stdout).toContain(cure);
});

test('the metric counts them, and the alert rule asks for that metric', async () => {
  const stuck = async () => (await scrape(metrics)).value('wan_video_runs_stuck');
  await expect.poll(stuck, { timeout: 60_000 }).toBe(cases.length);
  const { groups } = parse(await readFile(join(ROOT, 'docs', 'alerts.yml'), 'utf8')) as {
    groups: { rules: { alert: string; expr: string }[] }[];
  };
  const rule = groups.flatMap(({ rules }) => rules).find(({ alert }) => alert === 'WanVideoRunsStuck');
  expect(rule?.expr).toContain('wan_video_runs_stuck');
});
