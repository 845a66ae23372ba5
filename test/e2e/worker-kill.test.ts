import { afterAll, beforeAll, expect, test } from 'vitest';
import { startWorkerProcess } from '../support/processes.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 4 }, worker: false });
});
afterAll(() => stack?.close());

// The shipped heartbeat time-out of 30 s, shortened: what is tested is the hand-over, not the wait for it.
const times = { heartbeatTimeoutMs: 2_000, heartbeatThrottleMs: 500 };

test('a worker killed in mid-poll is replaced by another one, which goes on with the same task', async () => {
  const first = await startWorkerProcess(stack, times);
  const { id } = await stack.videos.start(stack.request('killed in mid-poll'));
  await expect.poll(() => stack.emulator.state().queries, { timeout: 30_000 }).toBeGreaterThan(0);
  const taskId = stack.emulator.state().tasks[0]?.task_id;
  await first.end('SIGKILL');
  expect(stack.emulator.state().tasks[0]?.status).toBe('RUNNING');

  const second = await startWorkerProcess(stack, times);
  const result = await stack.videos.result(id);
  expect(result).toMatchObject({ task_id: taskId, source: 'generated', duration: 4 });
  expect(stack.emulator.state()).toMatchObject({ submits: 1, billed_seconds: 4 });
  expect(await second.end('SIGTERM')).toBe(0);
});

test('a worker that gets SIGTERM while a submit is on the wire finishes it, and ends with 0', async () => {
  const { submits } = stack.emulator.state();
  stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms: 2_000, match: 'on the wire' });
  const first = await startWorkerProcess(stack, times);
  const { id } = await stack.videos.start(stack.request('on the wire'));
  await expect.poll(() => stack.emulator.state().submits, { timeout: 30_000 }).toBe(submits + 1);
  expect(await first.end('SIGTERM')).toBe(0);

  const second = await startWorkerProcess(stack, times);
  expect((await stack.videos.result(id)).source).toBe('generated');
  expect(stack.emulator.state().submits).toBe(submits + 1);
  await second.end('SIGTERM');
});
