import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { sendRequest } from '../../src/client/send-request.js';
import { batchWorkflowId, CANCEL_SIGNAL, slotsWorkflowId } from '../../src/contract/names.js';
import { type Stack, startStack } from '../support/stack.js';

// What one who sends a request learns: its effect, why it has none, or that nobody can know yet.

let stack: Stack;
let batches: WanBatchClient;
beforeAll(async () => {
  stack = await startStack({ settings: { slots: 0 } });
  const { client, store, config } = stack;
  batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
});
afterAll(() => stack?.close());

const eventsOf = async (id: string): Promise<readonly string[]> => {
  const { events } = await stack.client.workflow.getHandle(id).fetchHistory();
  return (events ?? []).flatMap((event) => Object.keys(event).filter((name) => name.endsWith('Attributes')));
};
const reaches = (id: string, stage: string) =>
  expect.poll(async () => (await stack.videos.progress(id)).stage, { timeout: 20_000, interval: 50 }).toBe(stage);

test('a decision without a question is refused with the reason, and is not in the history', async () => {
  const { id } = await stack.videos.start(stack.request(`asks nothing ${randomUUID()}`));
  await reaches(id, 'queued');
  await expect(stack.videos.resolve(id, { buy_again: true })).rejects.toMatchObject({
    id,
    error: { type: 'MessageRefused', message: 'The run waits for no decision' },
  });
  expect((await eventsOf(id)).filter((name) => /update|signaled/i.test(name))).toHaveLength(1); // its slot
  // The task waits for its turn at the provider, so it is free.
  expect(await stack.videos.cancel(id, 'a test')).toMatchObject({ billed: false, reason: 'a test' });
  await expect(stack.videos.result(id)).rejects.toMatchObject({ cancelled: true });
  await expect(stack.videos.cancel(id)).rejects.toMatchObject({ error: { type: 'RunNotFound' } });
});

test('a batch answers what holds after each request, and refuses one that comes too late', async () => {
  const lines = [1, 2].map((n) => ({ ...stack.request(`item ${n} ${randomUUID()}`), item_id: `${n}` }));
  const { batch_id } = await batches.start({ lines }, { window: 1 });
  const lunch = { reason: 'lunch', cause: null, since_ms: expect.any(Number) };
  expect(await batches.pause(batch_id, 'lunch')).toEqual({ pause: lunch, window: 1 });
  expect(await batches.setWindow(batch_id, 2)).toEqual({ pause: lunch, window: 2 });
  expect(await batches.resume(batch_id)).toEqual({ pause: null, window: 2 });
  await expect(batches.setWindow(batch_id, 0)).rejects.toMatchObject({ type: 'InvalidRequest' });
  await expect
    .poll(async () => (await batches.progress(batch_id)).in_flight, { timeout: 20_000, interval: 50 })
    .toBe(2);
  const cancelling = batches.cancel(batch_id, 'a test');
  await expect
    .poll(async () => (await batches.progress(batch_id)).stage, { timeout: 20_000, interval: 20 })
    .toMatch(/^(cancelling|reporting|cancelled)$/);
  await expect(batches.pause(batch_id)).rejects.toMatchObject({
    error: { type: expect.stringMatching(/^(MessageRefused|RunNotFound)$/) },
  });
  expect(await cancelling).toMatchObject({ billed: false, reason: 'a test' });
  // The answer does not wait for Temporal to close the run.
  const run = stack.client.workflow.getHandle(batchWorkflowId(batch_id));
  await expect.poll(async () => (await run.describe()).status.name, { timeout: 20_000 }).toBe('CANCELLED');
});

test('a worker whose version does not know the Update gets the signal', async () => {
  const { providerId, account } = stack.config.provider;
  const id = slotsWorkflowId(providerId, account); // it takes no cancel
  const handle = stack.client.workflow.getHandle(id);
  const request = { name: CANCEL_SIGNAL, argument: { reason: 'a test' }, unanswered: 'fail' } as const;
  expect(await sendRequest(stack.client, { id, handle }, request)).toBeNull();
  const { events } = await handle.fetchHistory();
  const signals = (events ?? []).map((event) => event.workflowExecutionSignaledEventAttributes?.signalName);
  expect(signals.filter((name) => name === CANCEL_SIGNAL)).toHaveLength(1);
});

test('a cancel is kept while no worker runs, and a decision is not', async () => {
  const idle = await startStack({
    worker: false,
    server: { address: stack.env['TEMPORAL_ADDRESS'] ?? '', pid: stack.temporalPid },
    env: { WAN_VIDEO_TASK_QUEUE: 'idle' },
  });
  try {
    const { id } = await idle.videos.start(idle.request(`nobody works ${randomUUID()}`));
    const [cancelled, decided] = await Promise.allSettled([
      idle.videos.cancel(id, 'a test'),
      idle.videos.resolve(id, { buy_again: true }),
    ]);
    expect(cancelled).toEqual({ status: 'fulfilled', value: null });
    expect(decided).toMatchObject({ status: 'rejected', reason: { error: { type: 'NoWorker' } } });
    await idle.startWorker();
    await expect(idle.videos.result(id)).rejects.toMatchObject({ cancelled: true, error: { billed: false } });
  } finally {
    await idle.close();
  }
}, 40_000);
