import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WorkflowType } from '../../src/contract/names.js';
import { BRACKETS, HOSTILE_REQUESTS, manyLabels } from '../support/hostile-requests.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';

// A namespace that nobody has prepared: no search attributes, no schedule.
let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 20 }, times: QUICK_LEDGER, attributes: false });
});
afterAll(() => stack?.close());

const start = (workflowId: string, ...args: unknown[]) =>
  stack.client.workflow.start(WorkflowType.videoGenerate, {
    workflowId,
    taskQueue: stack.config.taskQueues.generate,
    args,
  });

test('runs work without search attributes, also those that a plain caller starts', async () => {
  expect((await stack.videos.generate(stack.request(`client ${randomUUID()}`))).source).toBe('generated');
  const plain = await start(`plain/${randomUUID()}`, stack.request(`plain ${randomUUID()}`));
  expect(await plain.result()).toMatchObject({ source: 'generated' });
});

test('a cancelled run is salvaged without search attributes', async () => {
  const request = stack.request(`salvaged ${randomUUID()}`);
  const { id } = await stack.videos.start(request);
  await expect
    .poll(async () => (await stack.videos.progress(id)).stage, { timeout: 20_000, interval: 50 })
    .toBe('rendering');
  await stack.videos.cancel(id);
  await stack.videos.result(id).catch(() => undefined);
  const salvage = /salvage\/[^\s,]+/.exec((await stack.videos.progress(id)).cancel?.outcome ?? '')?.[0] ?? '';
  await stack.client.workflow.getHandle(salvage).result();
  expect((await stack.videos.generate(request)).source).toBe('cache');
});

test.each([[[]], [[null]], [['text']], [[{ deadline_seconds: 'soon' }]]])(
  'a run that is started with %j ends as InvalidRequest instead of waiting for ever',
  async (args) => {
    const run = await start(`odd/${randomUUID()}`, ...args);
    await expect(stack.videos.result(run.workflowId)).rejects.toMatchObject({ error: { type: 'InvalidRequest' } });
  },
);

test.each(HOSTILE_REQUESTS.map(({ what, change, message }) => [what, change, message] as const))(
  'a plain run with %s is refused before anything is bought',
  async (_what, change, message) => {
    const { submits } = stack.emulator.state();
    const run = await start(`hostile/${randomUUID()}`, change(stack.request('')));
    await expect(stack.videos.result(run.workflowId)).rejects.toMatchObject({
      error: { type: 'InvalidRequest', billed: false, message: expect.stringMatching(message) },
    });
    expect(stack.emulator.state().submits).toBe(submits);
  },
);

/** What a run has failed with, itself or in a step. */
async function failureOf(workflowId: string): Promise<unknown> {
  const error = await stack.client.workflow
    .getHandle(workflowId)
    .result()
    .catch((thrown: unknown) => thrown);
  return (error as { cause?: unknown }).cause;
}

test.each<[string, () => unknown]>([
  [WorkflowType.salvageVideo, () => null],
  [WorkflowType.salvageVideo, () => ({ purchase: { key: { toString: 1 }, n: 'x' }, task: null })],
  [WorkflowType.deliverWebhook, () => null],
  [WorkflowType.accountSlots, () => ({ limit: 'many' })],
  [WorkflowType.videoBatch, () => ({ items: BRACKETS })],
  [WorkflowType.videoBatch, () => manyLabels(10_000, 90)],
])('the workflow %s fails with a malformed input instead of being repeated for ever', async (type, input) => {
  const { workflowId } = await stack.client.workflow.start(type, {
    workflowId: `odd/${randomUUID()}`,
    taskQueue: stack.config.taskQueues.generate,
    args: [input()],
  });
  expect(await failureOf(workflowId)).toMatchObject({ type: 'InvalidRequest' });
});

test('the longest workflow id that Temporal takes is one to generate, salvage and batch with', async () => {
  const id = (kind: string) => `${kind}/${'é'.repeat(480)}`;
  const run = await start(id('plain'), stack.request(`long id ${randomUUID()}`));
  expect(await run.result()).toMatchObject({ source: 'generated' });
  const batch = await stack.client.workflow.start(WorkflowType.videoBatch, {
    workflowId: id('batch'),
    taskQueue: stack.config.taskQueues.generate,
    args: [{ items: [stack.request(`long batch ${randomUUID()}`)] }],
  });
  expect(await failureOf(batch.workflowId)).toMatchObject({
    type: 'InvalidRequest',
    message: expect.stringMatching(/id is too long/),
  });
});

test('a line with labels that Temporal does not index fails by name, and stops no other line', async () => {
  const lines = [
    { item_id: 'good', ...stack.request(`good line ${randomUUID()}`) },
    { item_id: 'bad', ...stack.request(`bad line ${randomUUID()}`), labels: manyLabels(30, 100) },
  ];
  const batch = await stack.client.workflow.start(WorkflowType.videoBatch, {
    workflowId: `batch/${randomUUID()}`,
    taskQueue: stack.config.taskQueues.generate,
    args: [{ items: lines, allow_invalid: true }],
  });
  expect(await batch.result()).toMatchObject({ counts: { total: 2, generated: 1, invalid: 1 } });
});
