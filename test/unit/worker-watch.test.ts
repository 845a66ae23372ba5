import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { expect, onTestFinished, test } from 'vitest';
import type { ServerMoment } from '../../src/async/server-clock.js';
import type { TemporalTarget } from '../../src/client/temporal-target.js';
import { loadConfig } from '../../src/config/config.js';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import { startEmulator } from '../../src/emulator/index.js';
import { ClockWatch } from '../../src/worker/clock-watch.js';
import { WorkerHealth } from '../../src/worker/health.js';
import { runWorker } from '../../src/worker/run-worker.js';
import { type WorkerWatchOptions, watchWorker } from '../../src/worker/worker-watch.js';
import { MemoryStore } from '../property/memory-store.js';
import { CountingStore } from '../support/counting-store.js';
import { deferred } from '../support/deferred.js';

const TARGET: TemporalTarget = { namespace: 'default', connection: { address: '127.0.0.1:1', apiKey: 'first' } };

/** A worker that is watched, with servers that answer until a test changes them. */
function watched(change: Partial<WorkerWatchOptions> = {}) {
  const keys: string[] = [];
  const fault = deferred<VideoError>();
  const state = { target: TARGET, away: false, looks: 0, pollers: [] as unknown[] };
  const setApiKey = (key: string) => void keys.push(key);
  const client = {
    options: { namespace: 'default' },
    connection: { setApiKey },
    withDeadline: (_deadline: number, call: () => Promise<unknown>) => call(),
    workflowService: {
      describeTaskQueue: async () => {
        state.looks += 1;
        if (state.away) throw new Error('14 UNAVAILABLE');
        return { pollers: state.pollers };
      },
    },
  } as unknown as Client;
  const clocks = new ClockWatch({
    startLimitMs: 1,
    driftLimitMs: 2,
    onFault: fault.resolve,
    onWarning: () => undefined,
  });
  const stop = watchWorker({
    client,
    connection: { setApiKey } as unknown as NativeConnection,
    taskQueue: 'video-generate',
    identity: 'me',
    temporal: TARGET,
    readTemporal: async () => state.target,
    store: new MemoryStore(),
    steps: () => ({ begun: 1, running: 1 }),
    clocks,
    times: { watchEveryMs: 5, temporalAwayMs: 20, storeRefusedMs: 20, connectTemporalMs: 200 },
    onNewTarget: () => undefined,
    onFault: fault.resolve,
    ...change,
  });
  onTestFinished(stop);
  let hasEnded = false;
  void fault.promise.then(() => {
    hasEnded = true;
  });
  return { state, keys, looks: () => state.looks, fault: fault.promise, ended: () => hasEnded };
}

test('a renewed API key of Temporal is used by both connections of a running worker', async () => {
  const { state, keys } = watched();
  state.target = { ...TARGET, connection: { ...TARGET.connection, apiKey: 'second' } };
  await expect.poll(() => keys).toEqual(['second', 'second']);
});

test('settings that changed and do not work yet leave the connections as they are', async () => {
  let reads = 0;
  const changed: unknown[] = [];
  watched({
    onNewTarget: (target) => void changed.push(target),
    readTemporal: async () => {
      reads += 1;
      if (reads === 1) throw new VideoError(FailureType.ConfigurationInvalid, 'half of a pair of files');
      return { ...TARGET, connection: { ...TARGET.connection, tls: { serverNameOverride: 'other' } } };
    },
  });
  await expect.poll(() => reads).toBeGreaterThan(2);
  expect(changed).toEqual([]);
});

test("only a poll that is new shows Temporal's time: the age of an earlier one is not known", async () => {
  const moments: ServerMoment[] = [];
  const clocks = {
    observe: (_server: string, moment: ServerMoment) => void moments.push(moment),
  } as unknown as ClockWatch;
  const beganMs = performance.now();
  const { state, looks } = watched({ clocks });
  const looksOnce = async () => {
    const before = looks();
    await expect.poll(looks).toBeGreaterThan(before + 3);
  };
  const polledAt = (seconds: number) => [{ identity: 'me', lastAccessTime: { seconds } }];
  state.pollers = polledAt(1_000);
  await looksOnce();
  // All places are taken: the worker does not poll, however long it is looked at.
  const quietMs = performance.now();
  await looksOnce();
  const newMs = performance.now();
  state.pollers = polledAt(1_240);
  await looksOnce();
  // Another server of Temporal's that has seen the earlier poll alone.
  state.pollers = polledAt(1_000);
  await looksOnce();
  state.pollers = polledAt(1_240);
  await looksOnce();
  const last = moments.at(-1)!;
  expect(moments.filter(({ earliestMs }) => earliestMs === 1_240_000)).toHaveLength(1);
  expect(moments.filter(({ earliestMs }) => earliestMs === 1_000_000).length).toBeLessThanOrEqual(1);
  expect(last).toMatchObject({ earliestMs: 1_240_000, latestMs: 1_241_000 });
  expect(last.sentMs).toBeGreaterThan(quietMs);
  expect(last.sentMs).toBeLessThan(last.answeredMs);
  expect(last.answeredMs).toBeGreaterThan(newMs);
  expect(moments.every(({ sentMs }) => sentMs > beganMs)).toBe(true);
});

test('a worker without Temporal ends with the reason, instead of staying up without work', async () => {
  const { state, fault } = watched();
  state.away = true;
  expect(await fault).toMatchObject({ type: 'TemporalUnreachable', message: expect.stringContaining('ECONNREFUSED') });
});

test('a worker without work asks the store once, and again for each step', async () => {
  const store = new CountingStore(new MemoryStore());
  let steps = { begun: 0, running: 0 };
  const { looks } = watched({ store, steps: () => steps });
  const ticks = async () => {
    const before = looks();
    await expect.poll(looks).toBeGreaterThan(before + 5);
  };
  await ticks();
  const first = store.take().all;
  expect(first).toBeGreaterThan(0);
  await ticks();
  expect(store.take().all).toBe(0);
  steps = { begun: 1, running: 0 };
  await ticks();
  expect(store.take().all).toBe(first);
});

test('a worker that the store refuses ends with the reason; one whose store is away waits', async () => {
  const store = new MemoryStore();
  const away = { retryable: true, nextStep: 'Wait.' };
  let looks = 0;
  store.get = () => {
    looks += 1;
    return Promise.reject(new VideoError(FailureType.StoreUnavailable, 'the store is away', away));
  };
  const { fault, ended } = watched({ store });
  await expect.poll(() => looks).toBeGreaterThan(10); // ten times 5 ms are more than the 20 ms of a refusal
  expect(ended()).toBe(false);
  store.get = () => Promise.reject(new VideoError(FailureType.ConfigurationInvalid, 'the access key is unknown', away));
  expect(await fault).toMatchObject({
    type: 'ConfigurationInvalid',
    message: expect.stringMatching(/^the access key is unknown, and has done so/),
  });
});

test('readiness says why the store cannot be used, and liveness that the process must be replaced', async () => {
  const store = new MemoryStore();
  const health = new WorkerHealth();
  health.storeProven(store);
  expect((await health.readiness()).checks.store).toBe('ok');
  const later = new WorkerHealth();
  later.storeProven(store);
  store.get = () => Promise.reject(new VideoError(FailureType.ConfigurationInvalid, 'the access key is unknown'));
  expect((await later.readiness()).checks.store).toBe('the access key is unknown');
  expect(later.fault).toBeUndefined();
  later.failing('the clock is wrong');
  expect(later.fault).toBe('the clock is wrong');
  expect((await later.readiness()).checks.workers).toBe('the clock is wrong');
});

test.each([3, -3])('a worker whose clock is %d hours from the provider refuses to start', async (hours) => {
  const emulator = await startEmulator({ settings: { date_skew_ms: -hours * 3_600_000 } });
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-clock-'));
  onTestFinished(async () => {
    await emulator.close();
    await rm(folder, { recursive: true });
  });
  const env = { DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl, OUTPUT_DIR: folder };
  const config = loadConfig(env, { cwd: folder, homeDir: folder });
  const temporal = { namespace: 'default', connection: { address: '127.0.0.1:1' } };
  await expect(runWorker({ config, temporal, apiKey: () => 'sk-any' })).rejects.toMatchObject({
    type: 'ConfigurationInvalid',
    message: expect.stringMatching(hours > 0 ? /1(0800|0799) s ahead of the provider's/ : /s behind the provider's/),
  });
});
