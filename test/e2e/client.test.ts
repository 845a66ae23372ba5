import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type FollowedProgress, followVideo } from '../../src/client/follow.js';
import { VideoRunError } from '../../src/client/run-error.js';
import { WanVideoClient } from '../../src/client/video-client.js';
import { runWorker } from '../../src/worker/run-worker.js';
import { BUNDLE, ROOT, type Stack, startStack, TEST_KEY } from '../support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 100 } });
});
afterAll(() => stack?.close());

const SAMPLE = join(ROOT, 'assets', 'sample.jpg');
const local = (prompt: string) => ({ ...stack.request(prompt), reference_image: SAMPLE });

test('of ten equal starts at once exactly one has started the run, and all get its video', async () => {
  const started = await Promise.all(Array.from({ length: 10 }, () => stack.videos.start(stack.request('ten at once'))));
  expect(started.filter(({ joined }) => !joined)).toHaveLength(1);
  expect(new Set(started.map(({ runId }) => runId)).size).toBe(1);
  const results = await Promise.all(started.map(({ id, runId }) => stack.videos.result(id, { runId })));
  expect(new Set(results.map(({ sha256 }) => sha256)).size).toBe(1);
  expect(stack.emulator.state().tasks.filter(({ prompt }) => prompt === 'ten at once')).toHaveLength(1);
});

test('a start is one call, and one that meets a run in its last moment starts the next one', async () => {
  const { connection, options } = stack.client;
  const calls: string[] = [];
  let first = '';
  const videos = new WanVideoClient({
    client: new Client({
      connection,
      namespace: options.namespace,
      interceptors: {
        workflow: [
          {
            startWithDetails: (input, next) => {
              calls.push('start');
              return next(input);
            },
            describe: async (input, next) => {
              calls.push('describe');
              await stack.videos.result(first); // ended before it is looked at
              return next(input);
            },
          },
        ],
      },
    }),
  });
  const one = await videos.start(stack.request('its last moment'));
  expect(calls).toEqual(['start']);
  first = one.id;
  const other = await videos.start(stack.request('its last moment'));
  expect(calls).toEqual(['start', 'start', 'describe', 'start']);
  expect(other).toMatchObject({ id: one.id, joined: false });
  expect(other.runId).not.toBe(one.runId);
  expect(await stack.videos.result(other.id, { runId: other.runId })).toMatchObject({ source: 'cache' });
});

test('a start whose answer is lost and that is sent again has started one run, not joined it, also when it has ended since', async () => {
  const { connection, options } = stack.client;
  const service = connection.workflowService;
  let meanwhile: (id: string) => Promise<unknown> = async () => undefined;
  const twice = Object.create(service, {
    startWorkflowExecution: {
      value: async (...call: Parameters<typeof service.startWorkflowExecution>) => {
        await service.startWorkflowExecution(...call);
        await meanwhile(call[0].workflowId ?? '');
        return service.startWorkflowExecution(...call);
      },
    },
  });
  const videos = new WanVideoClient({
    client: new Client({
      connection: Object.create(connection, { workflowService: { value: twice } }),
      namespace: options.namespace,
    }),
  });
  const one = await videos.start(stack.request('a lost answer'));
  expect(one.joined).toBe(false);
  expect((await stack.videos.describe(one.id)).run_id).toBe(one.runId);
  meanwhile = (id) => stack.videos.result(id);
  const other = await videos.start(stack.request('a lost answer and an end'));
  expect(other.joined).toBe(false);
  expect((await stack.videos.describe(other.id)).run_id).toBe(other.runId);
});

test('an equal request after the end is a run of its own, answered from the cache', async () => {
  const first = await stack.videos.start(stack.request('twice'));
  await stack.videos.result(first.id);
  const second = await stack.videos.start(stack.request('twice'));
  expect(second).toMatchObject({ id: first.id, joined: false });
  expect(second.runId).not.toBe(first.runId);
  expect(await stack.videos.result(second.id, { runId: second.runId })).toMatchObject({ source: 'cache' });
  expect(await stack.videos.result(first.id, { runId: first.runId })).toMatchObject({ source: 'generated' });
});

test('with "off" every start is a run of its own', async () => {
  const request = { ...stack.request('off'), cache: 'off' as const };
  const [a, b] = await Promise.all([stack.videos.start(request), stack.videos.start(request)]);
  expect(a.id).not.toBe(b.id);
  expect([a.joined, b.joined]).toEqual([false, false]);
});

test('an image is taken as path, bytes or Blob when there is a store, and refused without one', async () => {
  const videos = new WanVideoClient({ client: stack.client, store: stack.store });
  const bytes = await readFile(SAMPLE);
  const ids: string[] = [];
  for (const reference_image of [SAMPLE, new Uint8Array(bytes), new Blob([new Uint8Array(bytes)])]) {
    ids.push((await videos.start({ ...stack.request('any form'), reference_image })).id);
  }
  expect(new Set(ids).size).toBe(1);
  await expect(stack.videos.start(local('any form'))).rejects.toMatchObject({ type: 'ConfigurationInvalid' });
  const wrong = { ...stack.request('x'), duration: 99, reference_image: new Uint8Array([1, 2, 3]) };
  await expect(videos.start(wrong)).rejects.toMatchObject({
    type: 'InvalidRequest',
    issues: [expect.objectContaining({ path: 'duration' }), expect.objectContaining({ path: 'reference_image' })],
  });
});

test('the Web UI shows the request, and a list finds the run by tenant and labels', async () => {
  const request = {
    ...stack.request('shown in the UI'),
    tenant: 'ui "team"',
    labels: { 'it\\s': "o'hara", crew: '"a"' },
  };
  const { id } = await stack.videos.start(request);
  const description = await stack.client.workflow.getHandle(id).describe();
  expect(await description.staticSummary()).toBe('4 s 1280*720: shown in the UI');
  expect(await description.staticDetails()).toMatch(/^shown in the UI\n[\s\S]*- tenant: `ui "team"`/);
  const found = async () => {
    const ids: string[] = [];
    for await (const run of stack.videos.list({ tenant: request.tenant, labels: request.labels })) ids.push(run.id);
    return ids;
  };
  await expect.poll(found, { timeout: 10_000 }).toEqual([id]);
  expect((await stack.videos.list({ tenant: 'nobody "x"' }).next()).done).toBe(true);
});

test('a namespace without search attributes runs videos all the same, and a list by them says what to do', async () => {
  const namespace = 'bare';
  const day = { seconds: 86_400 as unknown as Long, nanos: 0 };
  await stack.client.workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: day });
  const client = new Client({ connection: stack.client.connection, namespace });
  const start = () => new WanVideoClient({ client }).start({ ...stack.request('bare'), tenant: 'film' });
  // A new namespace reaches every part of the server within seconds.
  await expect.poll(() => start().then(() => 'started', String), { timeout: 30_000 }).toBe('started');
  const stop = new AbortController();
  const { config, temporal } = stack;
  const running = runWorker({
    config,
    signal: stop.signal,
    bundlePath: BUNDLE,
    apiKey: () => TEST_KEY,
    temporal: { ...temporal, namespace },
  });
  onTestFinished(async () => {
    stop.abort();
    await running;
  });
  const videos = new WanVideoClient({ client });
  const { id, joined } = await videos.start({ ...stack.request('bare'), tenant: 'film' });
  expect(await videos.result(id)).toMatchObject({ duration: 4 });
  expect(joined).toBe(true);
  await expect(videos.list({ tenant: 'film' }).next()).rejects.toMatchObject({
    type: 'ConfigurationInvalid',
    nextStep: expect.stringContaining('wan-video setup'),
  });
});
type Long = never;

test('following reports the stages in their order and ends with the video', async () => {
  stack.emulator.changeSettings({ speed: 10 });
  onTestFinished(() => void stack.emulator.changeSettings({ speed: 100 }));
  const { id, runId } = await stack.videos.start(stack.request('followed'));
  const seen: FollowedProgress[] = [];
  const result = await followVideo(stack.videos, id, (progress) => seen.push(progress), { runId });
  expect(result.source).toBe('generated');
  const order = [
    'preparing',
    'uploading',
    'waiting_for_slot',
    'submitting',
    'queued',
    'rendering',
    'archiving',
    'done',
  ];
  const places = seen.map(({ stage }) => order.indexOf(stage));
  expect(places).toEqual(places.toSorted((a, b) => a - b)); // within one task it never goes backwards
  expect(places).toContain(order.indexOf('rendering'));
  expect(places[0]).toBeGreaterThanOrEqual(0);
  expect(seen.at(-1)?.task_id).toBe(result.task_id);
  expect(seen.every(({ problem }) => problem === null)).toBe(true);
});

test('following ends with the reason of its signal, and the run goes on', async () => {
  stack.emulator.changeSettings({ speed: 10 });
  onTestFinished(() => void stack.emulator.changeSettings({ speed: 100 }));
  const { id } = await stack.videos.start(stack.request('left alone'));
  const stop = new AbortController();
  const following = followVideo(stack.videos, id, () => stop.abort(new Error('enough')), { signal: stop.signal });
  await expect(following).rejects.toThrow('enough');
  expect(await stack.videos.result(id)).toMatchObject({ source: 'generated' });
});

test('a cancelled run says what became of its task, in its error and in its description', async () => {
  stack.emulator.changeSettings({ speed: 2 });
  onTestFinished(() => void stack.emulator.changeSettings({ speed: 100 }));
  const { id, runId } = await stack.videos.start(stack.request('cancelled'));
  await expect.poll(async () => (await stack.videos.progress(id)).task_id, { timeout: 20_000 }).not.toBeNull();
  await stack.videos.cancel(id, 'a test', { runId });
  const error = await stack.videos.result(id).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(VideoRunError);
  expect(error).toMatchObject({ id, cancelled: true, error: { type: 'Cancelled', task_id: expect.any(String) } });
  const status = await stack.videos.describe(id);
  expect(status).toMatchObject({
    status: 'cancelled',
    result: null,
    error: (error as VideoRunError).error,
    problem: null,
  });
  await expect(stack.videos.cancel(id)).rejects.toMatchObject({ error: { type: 'RunNotFound' } });
});

test('an unknown run is reported as RunNotFound by every method', async () => {
  const { videos } = stack;
  const calls = [
    videos.result('no/run'),
    videos.progress('no/run'),
    videos.cancel('no/run'),
    videos.describe('no/run'),
  ];
  for (const end of await Promise.allSettled<unknown>(calls)) {
    const reason = expect.objectContaining({
      name: 'VideoRunError',
      error: expect.objectContaining({ type: 'RunNotFound' }),
    });
    expect(end).toEqual({ status: 'rejected', reason });
  }
});
