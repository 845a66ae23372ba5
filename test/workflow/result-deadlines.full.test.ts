import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { ALL_LEDGERS } from '../../src/ledger/paths.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type RunningWorker, type Stack, startStack } from '../support/stack.js';

const HOUR_MS = 3_600_000;
/** In place of the 20 h for which a task is polled. */
const POLLED_MS = 4_000;

let stack: Stack;
let worker: RunningWorker;
beforeAll(async () => {
  const times = { ...QUICK_LEDGER, pollScheduleToCloseMs: POLLED_MS, retryMaximumMs: 500 };
  stack = await startStack({ worker: false, settings: { speed: 100 }, times });
  worker = await stack.startWorker();
});
afterAll(() => stack?.close());

const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
const reaches = (id: string, stage: string) =>
  expect.poll(async () => (await stack.videos.progress(id)).stage, { timeout: 60_000, interval: 100 }).toBe(stage);
async function keysOf(kind: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of stack.store.list(ALL_LEDGERS)) if (key.endsWith(`/${kind}.json`)) keys.push(key);
  return keys;
}

/** Dates the purchase of a prompt back, as if it had been made so long ago, for a worker that remembers nothing. */
async function makeOlder(prompt: string, ageMs: number): Promise<void> {
  await worker.stop();
  for (const key of await keysOf('intent')) {
    const intent = (await json(await stack.store.get(key))) as { expects: { prompt: string } };
    if (intent.expects.prompt !== prompt) continue;
    await stack.store.put(key, Buffer.from(JSON.stringify({ ...intent, written_at_ms: Date.now() - ageMs })));
  }
  worker = await stack.startWorker();
}

test('the limits end two and four hours before the provider deletes the result', () => {
  const { pollScheduleToCloseMs, resultAlarmAgeMs, ledger } = DEFAULT_TIMES;
  expect([pollScheduleToCloseMs, resultAlarmAgeMs, ledger.resultLifeMs]).toEqual([20, 22, 24].map((h) => h * HOUR_MS));
});

test('a task without an end is a person’s once it was polled for its time, is polled further, and is archived in the end', async () => {
  const { emulator, videos } = stack;
  emulator.changeSettings({ slots: 0 });
  const prompt = 'never starts';
  const { id } = await videos.start(stack.request(prompt));
  await reaches(id, 'needs_attention');
  const { attention, task_id } = await videos.progress(id);
  expect(attention).toMatchObject({
    cause: 'ResultUnreachable',
    candidates: [{ task_id, evidence: expect.stringContaining('no end was seen') }],
    reason: expect.stringContaining('Nothing is bought meanwhile'),
  });
  expect(tasksOf(prompt)).toHaveLength(1);
  expect(await keysOf('closed')).toEqual([]);
  emulator.changeSettings({ slots: 5 });
  expect((await videos.result(id)).task_id).toBe(task_id);
  expect(tasksOf(prompt)).toHaveLength(1);
});

test('a result that cannot be had is a person’s at an age of 22 hours, however short it was tried, and stays open', async () => {
  const { emulator, videos } = stack;
  const prompt = 'refused for long';
  emulator.queueFaults({ on: 'download', fault: 'status', status: 451, times: null, match: prompt });
  const first = await videos.start(stack.request(prompt));
  await reaches(first.id, 'archiving');
  await stack.client.workflow.getHandle(first.id).terminate('a test');
  const closed = (await keysOf('closed')).length;
  // Ten seconds below the age; the alarm after an hour of trying is far away.
  await makeOlder(prompt, DEFAULT_TIMES.resultAlarmAgeMs - 10_000);
  const { id } = await videos.start(stack.request(prompt), { id: 'refused for long, again' });
  await reaches(id, 'needs_attention');
  const { attention, task_id } = await videos.progress(id);
  expect(attention).toMatchObject({
    cause: 'ResultUnreachable',
    candidates: [{ task_id, evidence: expect.stringMatching(/HTTP 451.*\(\d+ times/) }],
    next_step: expect.stringContaining('--buy'),
  });
  expect(tasksOf(prompt).map((task) => task.task_id)).toEqual([task_id]);
  expect(await keysOf('closed')).toHaveLength(closed);
  emulator.clearFaults();
  expect((await videos.result(id)).task_id).toBe(task_id);
  expect(tasksOf(prompt)).toHaveLength(1);
});
