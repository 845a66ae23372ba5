import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { batchWorkflowId, slotsWorkflowId, videoWorkflowId } from '../../src/contract/names.js';
import { requestFingerprint } from '../../src/contract/validate.js';
import { command } from '../support/command.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import type { Answer, buy, call } from '../support/nexus-caller-workflow.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';

const NAMESPACE = 'callers';
let stack: Stack;
let callers: Client;
let connection: NativeConnection;
const workers: { readonly worker: Worker; readonly ended: Promise<void> }[] = [];

async function runWorker(taskQueue: string, workflowsPath: string): Promise<void> {
  const worker = await Worker.create({ connection, namespace: NAMESPACE, taskQueue, workflowsPath });
  workers.push({ worker, ended: worker.run() });
}

beforeAll(async () => {
  stack = await startStack({ settings: { speed: 20, slots: 20 }, times: { orphanCheckMs: 500 } });
  const address = stack.env['TEMPORAL_ADDRESS'] ?? '';
  await stack.client.workflowService.registerNamespace({
    namespace: NAMESPACE,
    workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
  });
  callers = new Client({ connection: await Connection.connect({ address }), namespace: NAMESPACE });
  connection = await NativeConnection.connect({ address });
  const setup = () => command(['setup', '--nexus-endpoint', 'wan-video', '--json'], { env: stack.env });
  expect(JSON.parse((await setup()).stdout)).toMatchObject({ nexus_endpoint: 'created' });
  expect(JSON.parse((await setup()).stdout)).toMatchObject({ nexus_endpoint: 'unchanged' });
  await runWorker('caller', fileURLToPath(new URL('../support/nexus-caller-workflow.ts', import.meta.url)));
}, COMPILE_TIMEOUT_MS); // the callers' workflows are bundled

afterAll(async () => {
  for (const { worker } of workers) worker.shutdown();
  await Promise.all(workers.map(({ ended }) => ended));
  await connection?.close();
  await callers?.connection.close();
  await stack?.close();
});

type Caller = typeof buy | typeof call;
const start = <W extends Caller>(type: string, ...args: Parameters<W>): Promise<WorkflowHandle<W>> =>
  callers.workflow.start<W>(type, { taskQueue: 'caller', workflowId: `${type}/${randomUUID()}`, args } as never);
const startBuy = (request: Parameters<typeof buy>[0]) => start<typeof buy>('buy', request);
const answerOf = async (...args: Parameters<typeof call>): Promise<Answer> =>
  (await start<typeof call>('call', ...args)).result();
const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
const idOf = (request: Parameters<typeof buy>[0]) => videoWorkflowId(requestFingerprint(request));
const reaches = (id: string, stage: string) =>
  expect
    .poll(async () => (await stack.videos.progress(id).catch(() => undefined))?.stage, {
      timeout: 30_000,
      interval: 50,
    })
    .toBe(stage);

test('an endpoint that leads elsewhere is not changed', async () => {
  const env = { ...stack.env, WAN_VIDEO_TASK_QUEUE: 'other' };
  const { code, stderr } = await command(['setup', '--nexus-endpoint', 'wan-video'], { env });
  expect(code).toBe(3);
  expect(stderr).toContain('leads elsewhere');
  expect((await command(['setup', '--nexus-endpoint', 'no endpoint'], { env })).code).toBe(2);
});

test('equal calls of another namespace and of a client are one run and one purchase', async () => {
  const request = stack.request(`by Nexus ${randomUUID()}`);
  const runs = await Promise.all([1, 2].map(() => startBuy(request)));
  await reaches(idOf(request), 'rendering');
  expect(await stack.videos.start(request)).toMatchObject({ id: idOf(request), joined: true });
  const [one, two] = await Promise.all(runs.map((run) => run.result()));
  expect(one?.video).toMatchObject({ source: 'generated', task_id: tasksOf(request.prompt)[0]?.task_id });
  expect(two).toEqual(one);
  expect(await (await startBuy(request)).result()).toMatchObject({ video: { source: 'cache' } });
  expect(tasksOf(request.prompt)).toHaveLength(1);
});

test(
  'the example of the documentation returns the address of a video',
  async () => {
    const text = await readFile(join(ROOT, 'docs', 'from-your-workflow.md'), 'utf8');
    const example = /^## Nexus$[\s\S]*?```ts\n([\s\S]*?)```/m.exec(text)?.[1] ?? '';
    // In the package, which may import itself by its name.
    const folder = await mkdtemp(join(ROOT, 'dist', 'example-'));
    try {
      await writeFile(join(folder, 'workflow.ts'), example);
      await runWorker('example', join(folder, 'workflow.ts'));
      const args = [stack.request(`the example ${randomUUID()}`)];
      const workflowId = `example/${randomUUID()}`;
      expect(await callers.workflow.execute('makeTrailer', { taskQueue: 'example', workflowId, args })).toMatch(
        /\.mp4$/,
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  COMPILE_TIMEOUT_MS,
);

describe('what no repetition changes is refused once, with the published failure', () => {
  const request = () => stack.request('x');
  const slots = () => slotsWorkflowId(stack.config.provider.providerId, stack.config.provider.account);
  test.each<[string, Parameters<typeof call>[0], () => unknown, string, object]>([
    [
      'a faulty request',
      'generate',
      () => ({ ...request(), duration: 99 }),
      'BAD_REQUEST',
      { issues: [{ path: 'duration' }] },
    ],
    ['no request', 'generate', () => null, 'BAD_REQUEST', { type: 'InvalidRequest' }],
    ['a list', 'generate', () => [1], 'BAD_REQUEST', { type: 'InvalidRequest' }],
    ['no id', 'status', () => ({}), 'BAD_REQUEST', { issues: [{ path: 'id' }] }],
    ['nothing', 'status', () => undefined, 'BAD_REQUEST', { issues: [{ path: 'id' }] }],
    [
      'an id and a request',
      'status',
      () => ({ id: 'x', request: request() }),
      'BAD_REQUEST',
      { issues: [{ path: 'id' }] },
    ],
    [
      'a run of its own',
      'status',
      () => ({ request: { ...request(), cache: 'off' } }),
      'BAD_REQUEST',
      { issues: [{ path: 'request' }] },
    ],
    ['an unknown id', 'status', () => ({ id: 'video/unknown' }), 'NOT_FOUND', { type: 'RunNotFound' }],
    ['an id that is too long', 'status', () => ({ id: 'x'.repeat(2_000) }), 'NOT_FOUND', {}],
    ['another workflow', 'status', () => ({ id: slots() }), 'BAD_REQUEST', { issues: [{ path: 'id' }] }],
    ['an unknown id', 'cancel', () => ({ id: 'video/unknown' }), 'NOT_FOUND', { type: 'RunNotFound' }],
    [
      'a reason that is no text',
      'cancel',
      () => ({ id: 'x', reason: {} }),
      'BAD_REQUEST',
      { issues: [{ path: 'reason' }] },
    ],
    ['another workflow', 'cancel', () => ({ id: slots() }), 'BAD_REQUEST', { issues: [{ path: 'id' }] }],
    ['no id', 'startBatch', () => ({ items: [request()] }), 'BAD_REQUEST', { issues: [{ path: 'id' }] }],
    ['no items', 'startBatch', () => ({ id: 'a' }), 'BAD_REQUEST', { issues: [{ path: 'manifest_key' }] }],
    [
      'an unusable id',
      'startBatch',
      () => ({ id: '../a', items: [request()] }),
      'BAD_REQUEST',
      { issues: [{ path: 'id' }] },
    ],
  ])('%s for %s', async (_what, operation, input, handler, failure) => {
    expect(await answerOf(operation, input())).toMatchObject({ handler, failure });
  });

  test('the id of a running request of another kind', async () => {
    const ofOther = stack.request(`of another ${randomUUID()}`);
    const id = idOf(ofOther);
    await stack.videos.start({ ...stack.request(`under its id ${randomUUID()}`), duration: 15 }, { id });
    expect(await (await startBuy(ofOther)).result()).toMatchObject({
      handler: 'BAD_REQUEST',
      failure: { type: 'InvalidRequest' },
    });
    await stack.videos.cancel(id);
  });

  test('a run that fails later', async () => {
    const request = stack.request(`refused ${randomUUID()}`);
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'task-failed',
      code: 'DataInspectionFailed',
      match: request.prompt,
    });
    const answer = await (await startBuy(request)).result();
    expect(answer).toMatchObject({ handler: null, failure: { type: 'ContentRejected', billed: false } });
  });
});

describe('an operation that is cancelled by its caller', () => {
  test('before its task has started says that nothing is billed', async () => {
    const request = stack.request(`cancelled early ${randomUUID()}`);
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'status',
      status: 429,
      code: 'Throttling',
      match: request.prompt,
      times: null,
    });
    const run = await startBuy(request);
    await expect
      .poll(() => stack.videos.progress(idOf(request)).catch(() => undefined), { timeout: 20_000 })
      .toBeDefined();
    await run.cancel();
    expect(await run.result()).toMatchObject({ cancelled: { billed: false, reason: null } });
    expect(tasksOf(request.prompt)).toHaveLength(0);
  });

  test('after its task has started says what is billed, and the video is archived', async () => {
    const request = stack.request(`cancelled late ${randomUUID()}`);
    const run = await startBuy(request);
    await reaches(idOf(request), 'rendering');
    await run.cancel();
    const [task] = tasksOf(request.prompt);
    expect(await run.result()).toEqual({
      cancelled: { outcome: expect.stringMatching(/had started/), task_id: task?.task_id, billed: null, reason: null },
    });
    await expect.poll(() => stack.store.head(`videos/${task?.task_id}.mp4`), { timeout: 60_000 }).toBeDefined();
    expect(await stack.videos.generate(request)).toMatchObject({ task_id: task?.task_id });
    expect(tasksOf(request.prompt)).toHaveLength(1);
  });
});

test('a run is looked at and cancelled by its id or its request, and a repetition has the same answer', async () => {
  const request = { ...stack.request(`cancelled by Nexus ${randomUUID()}`), duration: 15 };
  const { id } = await stack.videos.start(request);
  await reaches(id, 'rendering');
  const { task_id } = await stack.videos.progress(id);
  expect(await answerOf('status', { request })).toMatchObject({ value: { stage: 'rendering', task_id } });
  const { value } = await answerOf('cancel', { request, reason: 'a test' });
  expect(value).toMatchObject({ task_id, billed: null, reason: 'a test' });
  expect(await answerOf('cancel', { id })).toEqual({ value });
  expect(await answerOf('status', { id })).toMatchObject({ value: { stage: 'cancelled', cancel: value } });
});

test('a batch is started once, looked at and cancelled', async () => {
  const id = `nexus-${randomUUID()}`;
  const batch = { id, items: [{ ...stack.request(`of a batch ${id}`), duration: 15, item_id: 'one' }] };
  expect(await answerOf('startBatch', batch)).toEqual({ value: { id: batchWorkflowId(id) } });
  expect(await answerOf('startBatch', batch)).toEqual({ value: { id: batchWorkflowId(id) } });
  const other = await answerOf('startBatch', { ...batch, window: 3 });
  expect(other).toMatchObject({ handler: 'BAD_REQUEST', failure: { issues: [{ path: 'id' }] } });
  const status = () => answerOf('status', { id: batchWorkflowId(id) });
  await expect.poll(status, { timeout: 30_000 }).toMatchObject({ value: { in_flight: 1 } });
  expect(await answerOf('cancel', { id: batchWorkflowId(id) })).toMatchObject({
    value: { outcome: expect.any(String) },
  });
  expect(await answerOf('startBatch', batch)).toEqual({ value: { id: batchWorkflowId(id) } });
  expect(tasksOf(batch.items[0]?.prompt ?? '')).toHaveLength(1);
});
