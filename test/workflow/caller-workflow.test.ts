import { fileURLToPath } from 'node:url';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
let worker: Worker;
let running: Promise<void>;

beforeAll(async () => {
  stack = await startStack();
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

test('a workflow of the caller gets its video from a child workflow that it names by its type alone', async () => {
  const url = await stack.client.workflow.execute('makeTrailer', {
    taskQueue: 'caller',
    workflowId: 'order-7',
    args: [stack.request('a child workflow')],
  });
  expect(url).toMatch(/^file:.*\.mp4$/);
  expect(stack.emulator.state().submits).toBe(1);
});

test('a caller that is cancelled ends after its child, which deals with the task', async () => {
  const run = await stack.client.workflow.start('makeTrailer', {
    taskQueue: 'caller',
    workflowId: 'order-8',
    args: [stack.request('a cancelled caller')],
  });
  const child = stack.client.workflow.getHandle('trailer/order-8');
  await expect
    .poll(async () => (await child.query<{ task_id: string | null }>('progress').catch(() => undefined))?.task_id)
    .toBeTruthy();
  await run.cancel();
  await expect(run.result()).rejects.toThrow();
  expect((await run.describe()).status.name).toBe('CANCELLED');
  expect((await child.describe()).status.name).toBe('CANCELLED');
  const progress = await child.query<{ cancel: { outcome: string } | null }>('progress');
  expect(progress.cancel?.outcome).toMatch(/^Task /);
});
