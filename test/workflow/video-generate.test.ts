import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { VideoRunError } from '../../src/client/run-error.js';
import { CANCEL_SIGNAL } from '../../src/contract/names.js';
import { activitiesOf, historyText } from '../support/history.js';
import { measureMp4 } from '../support/measure-mp4.js';
import { type Stack, startStack, TEST_KEY } from '../support/stack.js';

let stack: Stack;
beforeAll(async () => {
  // At 20 times the provider's speed a video of 4 s takes about 1.3 s: long enough to meet a run in each stage.
  stack = await startStack({ settings: { speed: 20 }, times: { retryInitialMs: 100 } });
});
afterAll(() => stack?.close());

const submits = () => stack.emulator.state().submits;
let before = 0;
beforeEach(() => {
  before = submits();
});

const fails = async (id: string): Promise<VideoRunError> => {
  const error = await stack.videos.result(id).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(VideoRunError);
  return error as VideoRunError;
};
const statusOf = async (id: string) => (await stack.client.workflow.getHandle(id).describe()).status.name;
const stageOf = async (id: string) => (await stack.videos.progress(id)).stage;
const reaches = (id: string, stage: string) =>
  expect.poll(() => stageOf(id), { timeout: 20_000, interval: 50 }).toBe(stage);

test('one request becomes one archived video whose measures come from the file', async () => {
  const { id } = await stack.videos.start({ ...stack.request('a boat drifts'), seed: 7, motion_strength: 0.5 });
  const result = await stack.videos.result(id);
  const file = fileURLToPath(result.video_url);
  const measured = await measureMp4(file);
  expect(result).toMatchObject({
    duration: 4,
    fps: 30,
    width: 1280,
    height: 720,
    has_audio: false,
    source: 'generated',
    seed: 7,
    requested: { duration: 4, fps: 24, size: '1280*720' },
    usage: { billed_seconds: 4, resolution: '720P', audio: false },
  });
  expect(result).toMatchObject({ duration: measured.durationSeconds, width: measured.width, height: measured.height });
  expect((await readFile(file)).length).toBe(result.bytes);
  expect(result.warnings.map(({ code }) => code).sort()).toEqual(['fps_not_honoured', 'motion_strength_unsupported']);
  expect(await statusOf(id)).toBe('COMPLETED');
  const { historyLength, searchAttributes } = await stack.client.workflow.getHandle(id).describe();
  expect(historyLength).toBeLessThanOrEqual(50);
  expect(searchAttributes).toMatchObject({ VideoTaskId: [result.task_id], VideoOutcome: ['generated'] });
});

test('no key, no signed address and no upload policy of the provider enters history', async () => {
  const { id } = await stack.videos.start(stack.request('nothing secret'));
  await stack.videos.result(id);
  const text = await historyText(stack.client, id);
  expect(text).toContain('nothing secret'); // the text really is the decoded history
  for (const secret of [TEST_KEY, 'Signature=', 'OSSAccessKeyId', '/results/', 'x-oss-']) {
    expect(text).not.toContain(secret);
  }
});

test('the identical request again is answered from the cache and buys nothing', async () => {
  const first = await stack.videos.generate(stack.request('cached twice'));
  const second = await stack.videos.generate({ ...stack.request('cached twice'), size: '1280x720' });
  const usage = { ...first.usage, billed_seconds: 0, original_billed_seconds: first.usage.billed_seconds };
  expect(second).toEqual({ ...first, source: 'cache', usage });
  expect(submits()).toBe(before + 1);
});

test('twenty callers with one request share one run and one purchase', async () => {
  const started = await Promise.all(
    Array.from({ length: 20 }, () => stack.videos.start(stack.request('twenty callers'))),
  );
  expect(new Set(started.map(({ id }) => id)).size).toBe(1);
  await stack.videos.result(started[0]?.id ?? '');
  expect(submits()).toBe(before + 1);
});

test('a request that the contract forbids ends the run as InvalidRequest with every fault, and nothing is sent', async () => {
  const id = `video/${randomUUID()}`;
  await stack.client.workflow.start('videoGenerate', {
    workflowId: id,
    taskQueue: stack.config.taskQueues.generate,
    args: [{ ...stack.request('x'), duration: 99, fps: 'fast' }],
  });
  const { error } = await fails(id);
  expect(error).toMatchObject({ type: 'InvalidRequest', billed: false });
  expect(error.issues?.map(({ path }) => path).sort()).toEqual(['duration', 'fps']);
  expect(submits()).toBe(before);
});

describe('a submit', () => {
  test('that the provider refuses with 4xx is not tried again and keeps code and next step', async () => {
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'status',
      status: 400,
      code: 'DataInspectionFailed',
      match: 'refused',
    });
    const { id } = await stack.videos.start(stack.request('refused'));
    const { error } = await fails(id);
    expect(error).toMatchObject({ type: 'ContentRejected', code: 'DataInspectionFailed' });
    expect(error.next_step).toMatch(/Change the prompt or the image/);
    expect(submits()).toBe(before + 1);
    expect(await activitiesOf(stack.client, id)).toEqual(['prepareRequest', 'submitTask']);
  });

  test('that is throttled is tried again until it is accepted, once', async () => {
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'status',
      status: 429,
      code: 'Throttling.RateQuota',
      times: 2,
      match: 'throttled',
    });
    const { source } = await stack.videos.generate(stack.request('throttled'));
    expect(source).toBe('generated');
    expect(submits()).toBe(before + 3);
    expect(stack.emulator.state().tasks.filter(({ prompt }) => prompt === 'throttled')).toHaveLength(1);
  });
});

test('queries that fail in every way do not end a run once its task is bought', async () => {
  const hit = { on: 'query', match: 'faulty queries' } as const;
  stack.emulator.queueFaults([
    { ...hit, fault: 'status', status: 500, code: 'InternalError' },
    { ...hit, fault: 'reset' },
    { ...hit, fault: 'status', status: 401, code: 'InvalidApiKey' },
  ]);
  const result = await stack.videos.generate(stack.request('faulty queries'));
  expect(result.source).toBe('generated');
  expect(submits()).toBe(before + 1);
});

describe('a task that FAILED at the provider', () => {
  const fault = { on: 'query', fault: 'task-failed' } as const;
  const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);

  test.each([
    { prompt: 'fails with a code', code: 'InternalError' },
    { prompt: 'fails without a code', code: undefined },
  ])('for a fault of the provider ($prompt) is free and is bought again', async ({ prompt, code }) => {
    stack.emulator.queueFaults({ ...fault, match: prompt, ...(code !== undefined && { code }) });
    const { id } = await stack.videos.start(stack.request(prompt));
    expect((await stack.videos.result(id)).source).toBe('generated');
    expect((await stack.videos.progress(id)).attempt).toBe(2);
    expect(tasksOf(prompt).map(({ billed_seconds }) => billed_seconds)).toEqual([0, 4]);
  });

  test('three times ends the run as TaskFailed, with nothing billed', async () => {
    stack.emulator.queueFaults({ ...fault, match: 'fails thrice', code: 'InternalError', times: 3 });
    const { id } = await stack.videos.start(stack.request('fails thrice'));
    const { error } = await fails(id);
    expect(error).toMatchObject({ type: 'TaskFailed', code: 'InternalError', billed: false });
    expect(error.task_id).toBe(tasksOf('fails thrice').at(-1)?.task_id);
    expect(tasksOf('fails thrice')).toHaveLength(3);
  });

  test.each([
    ['DataInspectionFailed', 'ContentRejected'],
    ['InvalidParameter', 'InvalidRequest'],
    ['InternalError.Timeout', 'TaskFailed'],
  ])('with %s is not bought again', async (code, type) => {
    stack.emulator.queueFaults({ ...fault, match: `fails with ${code}`, code });
    const { id } = await stack.videos.start(stack.request(`fails with ${code}`));
    const { error } = await fails(id);
    expect(error).toMatchObject({ type, code, billed: false });
    expect(error.next_step).not.toBe('');
    expect(tasksOf(`fails with ${code}`)).toHaveLength(1);
    expect(await statusOf(id)).toBe('FAILED');
  });
});

describe('cancelling', () => {
  const cancel = async (id: string, way: string): Promise<number> => {
    const startedMs = Date.now();
    const answer = way === 'update' ? await stack.videos.cancel(id, 'a test') : undefined;
    if (way === 'signal') await stack.client.workflow.getHandle(id).signal(CANCEL_SIGNAL, { reason: 'a test' });
    if (way === 'native') await stack.client.workflow.getHandle(id).cancel();
    expect((await fails(id)).cancelled).toBe(true);
    if (answer !== undefined) expect((await stack.videos.progress(id)).cancel).toEqual(answer);
    expect(await statusOf(id)).toBe('CANCELLED');
    return Date.now() - startedMs;
  };

  test.each(['update', 'signal', 'native'])(
    'by %s while rendering ends the run as Cancelled and says what goes on',
    async (way) => {
      const { id } = await stack.videos.start({ ...stack.request(`cancel by ${way}`), duration: 15 });
      await reaches(id, 'rendering');
      expect(await cancel(id, way)).toBeLessThan(2_000);
      const { cancel: outcome, stage } = await stack.videos.progress(id);
      expect(stage).toBe('cancelled');
      expect(outcome?.outcome).toMatch(/billed if it succeeds, and salvage/);
    },
  );

  test.each(['update', 'native'])(
    'by %s while the task is PENDING cancels it at the provider, unbilled',
    async (way) => {
      stack.emulator.changeSettings({ slots: 0 });
      try {
        const { id } = await stack.videos.start(stack.request(`pending ${way}`));
        await reaches(id, 'queued');
        await cancel(id, way);
        const { cancel: outcome, task_id } = await stack.videos.progress(id);
        expect(outcome).toMatchObject({ billed: false });
        expect(stack.emulator.state().tasks.find((task) => task.task_id === task_id)?.status).toBe('CANCELED');
      } finally {
        stack.emulator.changeSettings({ slots: 5 });
      }
    },
  );

  test.each(['update', 'native'])('by %s before the submit buys nothing', async (way) => {
    stack.emulator.queueFaults([
      { on: 'policy', fault: 'status', status: 503, code: 'ModelUnavailable' },
      { on: 'policy', fault: 'delay', delay_ms: 3_000 },
    ]);
    const { id } = await stack.videos.start(stack.request(`early ${way}`));
    await reaches(id, 'uploading');
    await cancel(id, way);
    expect((await stack.videos.progress(id)).cancel).toMatchObject({ outcome: 'Nothing was bought.', billed: false });
    expect(submits()).toBe(before);
  });

  test('while the submit is on the wire waits for its answer, so that the task is known', async () => {
    stack.emulator.changeSettings({ slots: 0 });
    try {
      stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms: 1_000, match: 'on the wire' });
      const { id } = await stack.videos.start(stack.request('on the wire'));
      await expect.poll(submits).toBe(before + 1);
      await cancel(id, 'native');
      const task = stack.emulator.state().tasks.find(({ prompt }) => prompt === 'on the wire');
      expect(task?.status).toBe('CANCELED');
    } finally {
      stack.emulator.changeSettings({ slots: 5 });
    }
  });
});

test('a run of a plain caller that fails in its first step is found by its outcome and its error', async () => {
  const workflowId = `plain/${randomUUID()}`;
  const { taskQueues } = stack.config;
  await stack.client.workflow.start('videoGenerate', { workflowId, taskQueue: taskQueues.generate, args: [{}] });
  expect((await fails(workflowId)).error.type).toBe('InvalidRequest');
  const found = async (): Promise<unknown> => {
    for await (const run of stack.videos.list({ outcome: 'failed' })) if (run.id === workflowId) return run.error_code;
    return undefined;
  };
  await expect.poll(found, { timeout: 10_000 }).toBe('InvalidRequest');
});

test('a run of a plain caller, also one that says nothing of search attributes, is found by its tenant and its labels', async () => {
  const workflowId = `plain/${randomUUID()}`;
  const tenant = `tenant-${randomUUID()}`;
  const request = { ...stack.request(`plain ${randomUUID()}`), tenant, labels: { film: 'harbour' } };
  const { taskQueues } = stack.config;
  const run = await stack.client.workflow.start('videoGenerate', {
    workflowId,
    taskQueue: taskQueues.generate,
    args: [request],
  });
  await run.result();
  const found = async (): Promise<unknown> => {
    const ids: string[] = [];
    for await (const { id } of stack.videos.list({ tenant, labels: { film: 'harbour' } })) ids.push(id);
    return ids;
  };
  await expect.poll(found, { timeout: 10_000 }).toEqual([workflowId]);
});
