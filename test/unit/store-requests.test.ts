import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, onTestFinished, test } from 'vitest';
import { type ActivityDeps, createActivities } from '../../activities/index.js';
import { systemClock } from '../../src/async/clock.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import type { VideoResult } from '../../src/contract/result.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import { startEmulator } from '../../src/emulator/server.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { RecentImages } from '../../src/media/recent-images.js';
import { stageImage } from '../../src/media/stage-image.js';
import { ResultLinks } from '../../src/polling/result-links.js';
import { MemoryStore } from '../property/memory-store.js';
import { CountingStore } from '../support/counting-store.js';
import { deferred } from '../support/deferred.js';
import { ROOT as FOLDER } from '../support/root.js';

/** The steps of a run on one worker, or on one worker for each, over a store that counts. */
async function setUp({ workers }: { readonly workers: 'one' | 'many' }) {
  const emulator = await startEmulator({ settings: { speed: 1_000 } });
  onTestFinished(() => emulator.close());
  const spoolDir = await mkdtemp(join(tmpdir(), 'wan-video-requests-'));
  onTestFinished(() => rm(spoolDir, { recursive: true, force: true }));
  const store = new CountingStore(new MemoryStore());
  const staged = await stageImage(await readFile(join(FOLDER, 'assets', 'sample.jpg')), store);
  const dashscope = new DashScopeClient({ baseUrl: emulator.baseUrl, apiKey: async () => 'sk-test' });
  /** Looks until the task has ended. */
  const watch = async ({ taskId }: { readonly taskId: string }) => {
    for (;;) {
      const seen = await dashscope.queryTask(taskId, {});
      if (seen.status === 'SUCCEEDED') return seen;
      await systemClock.sleep(5);
    }
  };
  const worker = () =>
    createActivities({
      dashscope,
      providerBaseUrl: emulator.baseUrl,
      store,
      storeId: 'one',
      ledger: new Ledger({ store, scope: { provider: 'emulator', account: 'default' }, now: Date.now }),
      watcher: { watch },
      links: new ResultLinks(),
      images: new RecentImages(),
      allowPrivateUrls: ['127.0.0.1'],
      spoolDir,
      publicBaseUrl: undefined,
      times: { ...DEFAULT_TIMES, nextStepMs: 600_000 }, // a busy machine is not what is tested
      clock: systemClock,
      knowsAttributes: async () => true,
      slots: { workflowId: 'slots', budget: undefined, requestSlot: async () => {}, releaseSlot: async () => {} },
      metrics: { detected: () => undefined, outcomeUnknown: () => undefined },
    } as unknown as ActivityDeps);
  const only = worker();
  const steps = () => (workers === 'one' ? only : worker());
  const info = { workflowExecution: { workflowId: 'w', runId: 'r' }, attempt: 1 };
  const run = <I, O>(step: (input: I) => Promise<O>, input: I): Promise<O> =>
    new MockActivityEnvironment(info).run(step as never, input) as Promise<O>;
  const request = {
    prompt: 'a boat',
    duration: 4,
    fps: 24,
    size: '1280*720',
    reference_image: `asset:${staged.asset.key}`,
  };
  const prepare = () =>
    run(steps().prepareRequest, {
      request,
      buyer: { workflowId: 'w', firstRunId: 'r' },
      startedAtMs: 0,
      batchId: null,
    });
  const generate = async (): Promise<VideoResult> => {
    const prepared = await prepare();
    if (prepared.cached !== null) return prepared.cached;
    const { ready, ...rest } = prepared;
    if (ready?.kind !== 'requested') throw new Error(ready?.kind);
    const { imgUrl, slot } = ready;
    const input = { prepared: rest, unrestorable: [] };
    const step = await run(steps().submitTask, { ...input, imgUrl, afterPurchase: slot.afterPurchase });
    if (step.kind !== 'task') throw new Error(step.kind);
    const end = await run(steps().pollTask, { task: step.task, until: 'ended' as const });
    if (end.kind !== 'archived') throw new Error(end.kind);
    return end.result;
  };
  store.take();
  /** Each request, by operation and kind of object. */
  const requests = () => {
    const kinds = store.requests.map(({ operation, key }) => {
      const [kind] = key.replace(/^ledger\/[^/]+\/[^/]+\//, '').split('/');
      return `${operation} ${kind}`;
    });
    store.take();
    return kinds.sort();
  };
  return { generate, requests, store };
}

test('a fresh generation is 12 requests to the store, none of which reads what was read, and a hit of the cache is 3', async () => {
  const { generate, requests } = await setUp({ workers: 'one' });
  expect((await generate()).source).toBe('generated');
  expect(requests()).toEqual([
    'get cache',
    'get references',
    'list purchases',
    'put cache',
    'put days',
    'put purchases', // intent
    'put purchases', // claim
    'put purchases', // closed
    'put recent',
    'put recent', // its marker
    'put tasks',
    'put videos',
  ]);
  expect((await generate()).source).toBe('cache');
  expect(requests()).toEqual(['get cache', 'head references', 'head videos']);
});

test('with each step on another worker, the watch reads the purchase and whose task it is', async () => {
  const { generate, requests } = await setUp({ workers: 'many' });
  expect((await generate()).source).toBe('generated');
  const all = requests();
  expect(all.filter((request) => request === 'list purchases')).toHaveLength(2);
  expect(all.filter((request) => request === 'get references')).toHaveLength(1);
  expect(all).toHaveLength(16);
});

test('a video is stored while its bill is on its way, and its purchase is closed only after that', async () => {
  const { generate, store } = await setUp({ workers: 'one' });
  const put = store.put.bind(store);
  const stored = deferred<void>();
  const written: string[] = [];
  store.put = async (key, ...rest) => {
    if (key.includes('/days/')) await stored.promise;
    const answer = await put(key, ...rest);
    written.push(key.replace(/^.*\//, key.includes('/days/') ? 'days/' : ''));
    if (key.startsWith('videos/')) stored.resolve();
    return answer;
  };
  const { task_id } = await generate();
  const ends = [`${task_id}.mp4`, `days/${task_id}.json`, 'closed.json'];
  expect(written.filter((name) => ends.includes(name))).toEqual(ends);
});
