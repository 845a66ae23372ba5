import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmulatorFault } from '../../src/emulator/index.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
let worker: WorkerProcess;
beforeAll(async () => {
  // As many places at the provider as runs at once: whose turn it is has tests of its own.
  const env = { WAN_VIDEO_MAX_RUNNING: '20' };
  stack = await startStack({ settings: { speed: 40, slots: 20 }, worker: false, env });
  worker = await startWorkerProcess(stack, QUICK_LEDGER);
});
afterAll(async () => {
  await worker?.end('SIGTERM');
  await stack?.close();
});

const freshPrompt = () => `a boat ${randomUUID()}`;
const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
const taskIdsOf = (prompt: string) => tasksOf(prompt).map(({ task_id }) => task_id);
const onSubmit = (match: string, fault: Partial<EmulatorFault>) =>
  stack.emulator.queueFaults({ on: 'submit', match, ...fault } as EmulatorFault);
const isBought = (prompt: string) =>
  expect.poll(() => tasksOf(prompt).length, { timeout: 20_000, interval: 50 }).toBe(1);

// At once, because nobody's lost reply may be taken for another's.
describe.concurrent('when the reply to a submit is lost', () => {
  test.each<[string, Partial<EmulatorFault>]>([
    ['the connection closed', { fault: 'drop-reply' }],
    ['a TCP reset', { fault: 'reset', when: 'after' }],
    ['a gateway’s 502', { fault: 'gateway', status: 502, when: 'after' }],
    ['a gateway’s 504', { fault: 'gateway', status: 504, when: 'after' }],
    ['an unreadable 200', { fault: 'malformed' }],
  ])('by %s, its task is found and the video is bought once', async (_how, fault) => {
    const prompt = freshPrompt();
    onSubmit(prompt, fault);
    const { id } = await stack.videos.start(stack.request(prompt));
    const result = await stack.videos.result(id);
    expect(taskIdsOf(prompt)).toEqual([result.task_id]);
    expect(result.source).toBe('generated');
  });

  test('before the task exists, it is sent again once the list has shown that there is none', async () => {
    const prompt = freshPrompt();
    onSubmit(prompt, { fault: 'drop-reply', when: 'before' });
    const result = await stack.videos.generate(stack.request(prompt));
    expect(result.source).toBe('generated');
    expect(tasksOf(prompt)).toHaveLength(1);
  });

  test('a task of other software with the same prompt but another length is neither adopted nor cancelled', async () => {
    const prompt = freshPrompt();
    onSubmit(prompt, { fault: 'drop-reply', when: 'before' });
    const parameters = { duration: 7, resolution: '720P', audio: false };
    const foreign = stack.emulator.addTask({ prompt, parameters });
    const result = await stack.videos.generate(stack.request(prompt));
    expect(result.task_id).not.toBe(foreign.task_id);
    expect(tasksOf(prompt)).toHaveLength(2);
    expect(stack.emulator.state().cancels).toBe(0);
  });
});

describe.concurrent('one request under many runs', () => {
  test('twenty of them with twenty ids at once make one purchase and have twenty results', async () => {
    const prompt = freshPrompt();
    const ids = Array.from({ length: 20 }, () => `twenty/${randomUUID()}`);
    const results = await Promise.all(ids.map((id) => stack.videos.generate(stack.request(prompt), { id })));
    expect(tasksOf(prompt)).toHaveLength(1);
    expect(new Set(results.map(({ sha256 }) => sha256)).size).toBe(1);
    expect(results.filter(({ source }) => source === 'generated')).toHaveLength(1);
  });

  test('one that was terminated after its submit and is started again adopts what was bought', async () => {
    const request = { ...stack.request(freshPrompt()), duration: 15 };
    const { id } = await stack.videos.start(request);
    await isBought(request.prompt);
    await stack.client.workflow.getHandle(id).terminate('a test');
    const result = await stack.videos.generate(request);
    expect(result.source).toBe('adopted');
    expect(taskIdsOf(request.prompt)).toEqual([result.task_id]);
  });

  test('one that was reset to before its submit goes on with what was bought', async () => {
    const request = { ...stack.request(freshPrompt()), duration: 15 };
    const { id } = await stack.videos.start(request);
    await isBought(request.prompt);
    const { runId } = await stack.client.workflow.getHandle(id).describe();
    await stack.client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      requestId: randomUUID(),
      reason: 'a test',
      workflowExecution: { workflowId: id, runId },
      workflowTaskFinishEventId: 4 as never, // the first workflow task: everything is done again
    });
    const result = await stack.videos.result(id);
    expect(taskIdsOf(request.prompt)).toEqual([result.task_id]);
  });

  test.each([
    // Other answers: every one is a cell of the matrix.
    { fault: 'status', status: 429, code: 'Throttling.RateQuota' },
    { fault: 'reset' },
  ] as const)('one whose query once meets $fault $status buys nothing more', async (fault) => {
    const prompt = freshPrompt();
    stack.emulator.queueFaults({ on: 'query', match: prompt, ...fault });
    await stack.videos.generate(stack.request(prompt));
    expect(tasksOf(prompt)).toHaveLength(1);
  });
});

test('when the reply is lost and the list lags, pages and is refused for a moment, the task is found all the same', async () => {
  const prompt = freshPrompt();
  stack.emulator.changeSettings({ list_lag_ms: 800, list_page_max: 1 });
  stack.emulator.queueFaults({ on: 'list', fault: 'status', status: 403, code: 'AccessDenied', times: 2 });
  try {
    onSubmit(prompt, { fault: 'drop-reply' });
    const result = await stack.videos.generate(stack.request(prompt));
    expect(taskIdsOf(prompt)).toEqual([result.task_id]);
  } finally {
    stack.emulator.changeSettings({ list_lag_ms: 0, list_page_max: 100 });
  }
});

test('a worker killed while its submit is on the wire is replaced, and the video is bought once', async () => {
  const prompt = freshPrompt();
  const times = { ...QUICK_LEDGER, submitStartToCloseMs: 4_000 };
  await worker.end('SIGTERM');
  worker = await startWorkerProcess(stack, times);
  onSubmit(prompt, { fault: 'delay', when: 'after', delay_ms: 5_000 });
  const { id } = await stack.videos.start(stack.request(prompt));
  await isBought(prompt);
  await worker.end('SIGKILL');
  worker = await startWorkerProcess(stack, times);
  const result = await stack.videos.result(id);
  expect(taskIdsOf(prompt)).toEqual([result.task_id]);
});
