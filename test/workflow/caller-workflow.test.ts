import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { WorkflowFailedError, WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VideoRequest } from '../../src/contract/request.js';
import type { VideoProgress } from '../../src/contract/result.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
let worker: Worker;
let running: Promise<void>;

beforeAll(async () => {
  stack = await startStack({ times: { orphanCheckMs: 500 }, settings: { speed: 20 } });
  const address = stack.env['TEMPORAL_ADDRESS'] ?? '';
  worker = await Worker.create({
    connection: await NativeConnection.connect({ address }),
    taskQueue: 'caller',
    workflowsPath: fileURLToPath(new URL('../support/caller-workflow.ts', import.meta.url)),
  });
  running = worker.run();
}, COMPILE_TIMEOUT_MS); // the caller's workflow is bundled

afterAll(async () => {
  worker.shutdown();
  await running;
  await stack.close();
});

const start = (type: string, request: VideoRequest) =>
  stack.client.workflow.start(type, { taskQueue: 'caller', workflowId: `order/${randomUUID()}`, args: [request] });

/** The child of a parent; generateVideo names it below its parent. */
async function childOf(parent: WorkflowHandle): Promise<WorkflowHandle> {
  const find = async () => (await parent.describe()).raw.pendingChildren?.[0]?.workflowId;
  const id = await expect.poll(find, { timeout: 20_000, interval: 50 }).toBeTruthy().then(find);
  return stack.client.workflow.getHandle(id ?? '');
}
const reaches = (run: WorkflowHandle, stage: string) =>
  expect
    .poll(async () => (await run.query<VideoProgress>('progress').catch(() => undefined))?.stage, {
      timeout: 20_000,
      interval: 50,
    })
    .toBe(stage);
const submitsOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt).length;

test('a workflow of the caller gets its video from generateVideo, and each stage on the way', async () => {
  const prompt = `a child workflow ${randomUUID()}`;
  const { url, stages } = await (await start('makeTrailer', stack.request(prompt))).result();
  expect(url).toMatch(/^file:.*\.mp4$/);
  expect(stages.filter((stage: string) => ['submitting', 'rendering'].includes(stage))).toEqual([
    'submitting',
    'rendering',
  ]);
  expect(submitsOf(prompt)).toBe(1);
});

test('a cancelled caller waits for its child, and learns what became of the task and whether it is billed', async () => {
  const run = await start('tryTrailer', { ...stack.request(`a cancelled caller ${randomUUID()}`), duration: 15 });
  const child = await childOf(run);
  await reaches(child, 'rendering');
  await run.cancel();
  const { task_id } = await child.query<VideoProgress>('progress');
  expect(await run.result()).toEqual({
    outcome: expect.stringMatching(/^Task .* had started/),
    task_id,
    billed: null,
    reason: null,
  });
  expect((await child.describe()).status.name).toBe('CANCELLED');
});

test('a caller that lets a cancellation or a failure pass ends in the same way, with the same details', async () => {
  const cancelled = await start('makeTrailer', { ...stack.request(`passed on ${randomUUID()}`), duration: 15 });
  await reaches(await childOf(cancelled), 'rendering');
  await cancelled.cancel();
  await expect(cancelled.result()).rejects.toThrow();
  expect((await cancelled.describe()).status.name).toBe('CANCELLED');

  const faulty = { ...stack.request('x'), duration: 99 };
  const failure = { type: 'InvalidRequest', billed: false, issues: [{ path: 'duration' }] };
  expect(await (await start('tryTrailer', faulty)).result()).toMatchObject(failure);
  const failed = await (await start('makeTrailer', faulty)).result().catch((error: WorkflowFailedError) => error.cause);
  expect(failed).toMatchObject({ type: 'InvalidRequest', details: [failure] });
});

describe('the parent of a rendering child', () => {
  test.each([
    ['generateVideo', 'tryTrailer', 'CANCELLED'],
    ["Temporal's default policies", 'plainParent', 'TERMINATED'],
  ])('that is terminated loses no video: %s', async (_how, type, status) => {
    const prompt = `terminated with its parent ${type} ${randomUUID()}`;
    const parent = await start(type, stack.request(prompt));
    const child = await childOf(parent);
    await reaches(child, 'rendering');
    const { task_id } = await child.query<VideoProgress>('progress');
    await parent.terminate('a test');
    await expect.poll(async () => (await child.describe()).status.name, { timeout: 20_000 }).toBe(status);
    // Nobody sweeps: the video is archived all the same, and an equal request has it.
    await expect
      .poll(() => stack.store.head(`videos/${task_id}.mp4`), { timeout: 20_000, interval: 100 })
      .toBeDefined();
    expect(await stack.videos.generate(stack.request(prompt))).toMatchObject({ task_id });
    expect(submitsOf(prompt)).toBe(1);
  });

  test('that is reset has the video of the first child', async () => {
    const prompt = `reset ${randomUUID()}`;
    const parent = await start('makeTrailer', stack.request(prompt));
    const child = await childOf(parent);
    await reaches(child, 'rendering');
    const { task_id } = await child.query<VideoProgress>('progress');
    const { runId } = await parent.describe();
    await stack.client.workflowService.resetWorkflowExecution({
      namespace: stack.client.options.namespace,
      workflowExecution: { workflowId: parent.workflowId, runId },
      workflowTaskFinishEventId: 3 as never,
      reason: 'a test',
      requestId: randomUUID(),
    });
    const { url } = await stack.client.workflow.getHandle(parent.workflowId).result();
    expect(url).toContain(task_id);
    expect(submitsOf(prompt)).toBe(1);
  });
});
