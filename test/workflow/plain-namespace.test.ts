import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WorkflowType } from '../../src/contract/names.js';
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
