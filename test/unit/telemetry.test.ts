import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import type { Worker } from '@temporalio/worker';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/dev/temporal-server.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { WorkerMetrics } from '../../src/metrics/worker-metrics.js';
import { FileStore } from '../../src/storage/file-store.js';
import { WorkerHealth } from '../../src/worker/health.js';
import { monitorPurchases } from '../../src/worker/purchase-monitor.js';
import { startTelemetryServer } from '../../src/worker/telemetry-server.js';
import { parseScrape } from '../support/metrics.js';

const SCOPE = { provider: 'emulator', account: 'default' };
const IDENTITY = '1@here';

/** As much of Temporal as is asked: who polls, and how many runs wait for a person. */
function temporal(polls: () => { identity: string; lastAccessTime: { seconds: number } }[], count = async () => 2) {
  let asked = 0;
  const client = {
    options: { namespace: 'default' },
    withDeadline: (_deadline: number, call: () => Promise<unknown>) => call(),
    workflow: { count: async () => ({ count: await count() }) },
    workflowService: {
      describeTaskQueue: async () => {
        asked += 1;
        return { pollers: polls() };
      },
    },
  };
  return { client: client as unknown as Client, asked: () => asked };
}

const workerIn = (state: () => string) => ({ options: { identity: IDENTITY }, getState: state }) as unknown as Worker;
const nowSeconds = () => Date.now() / 1000;

test('a worker is ready once its store is proven, both workers run and Temporal sees it poll; then no longer when it drains', async () => {
  let polls: { identity: string; lastAccessTime: { seconds: number } }[] = [];
  let state = 'RUNNING';
  const { client, asked } = temporal(() => polls);
  const health = new WorkerHealth();
  expect(await health.readiness()).toEqual({
    ready: false,
    checks: { store: 'not proven yet', workers: 'starting', temporal: 'not connected yet' },
  });
  health.storeProven();
  health.polling([workerIn(() => state), workerIn(() => 'RUNNING')], client, 'video-generate');
  polls = [{ identity: '2@there', lastAccessTime: { seconds: nowSeconds() } }];
  expect((await health.readiness()).checks.temporal).toMatch(/^has not seen this worker/);
  polls = [{ identity: IDENTITY, lastAccessTime: { seconds: nowSeconds() - 600 } }];
  expect((await health.readiness()).checks.temporal).toMatch(/^saw the last poll \d+ s ago$/);
  polls = [{ identity: IDENTITY, lastAccessTime: { seconds: nowSeconds() } }];
  expect(await health.readiness()).toMatchObject({ ready: true, checks: { temporal: 'ok' } });
  // However often it is requested, Temporal is not asked again at once.
  const before = asked();
  await Promise.all([health.readiness(), health.readiness(), health.readiness()]);
  expect(asked()).toBe(before);
  state = 'DRAINING';
  expect(await health.readiness()).toMatchObject({ ready: false, checks: { workers: 'draining, running' } });
  state = 'RUNNING';
  health.stopping();
  expect(await health.readiness()).toMatchObject({ ready: false, checks: { workers: 'shutting down' } });
});

test('a Temporal that cannot be asked makes a worker not ready, and readiness does not reject', async () => {
  const { client } = temporal(() => {
    throw new Error('14 UNAVAILABLE');
  });
  const health = new WorkerHealth();
  health.storeProven();
  health.polling([workerIn(() => 'RUNNING')], client, 'video-generate');
  expect(await health.readiness()).toMatchObject({ ready: false, checks: { temporal: 'not reachable' } });
});

test('while a worker starts, /readyz is 503 and names what is missing; metrics come without those of a Temporal that is away', async () => {
  const port = await freePort();
  const sources = {
    metrics: async () => 'ours 1\n',
    temporalMetrics: `127.0.0.1:${await freePort()}`, // nobody is there
    health: new WorkerHealth(),
  };
  const server = await startTelemetryServer({ host: '127.0.0.1', port }, sources);
  onTestFinished(() => server.close());
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
    return { status: response.status, text: await response.text() };
  };
  expect(await get('/metrics')).toEqual({ status: 200, text: 'ours 1\n' });
  expect((await get('/healthz')).status).toBe(200);
  const { status, text } = await get('/readyz');
  expect([status, JSON.parse(text)]).toEqual([503, expect.objectContaining({ ready: false })]);
  expect((await get('/elsewhere')).status).toBe(404);
  expect((await get('/metrics', 'POST')).status).toBe(405);
  await expect(startTelemetryServer({ host: '127.0.0.1', port }, sources)).rejects.toMatchObject({
    type: 'ConfigurationInvalid',
    message: expect.stringContaining(`WAN_VIDEO_METRICS=127.0.0.1:${port}`),
  });
});

const NO_STEPS = () => ({ begun: 0, running: 0 });

test('an idle worker asks the store nothing after its first look, and looks again once it has run a step', async () => {
  let steps = { begun: 3, running: 1 };
  let found = { open: [{ intent: { written_at_ms: Date.now() } }], damaged: [], unmarked: [] };
  let [looks, counts] = [0, 0];
  const listOpen = async () => {
    looks += 1;
    return found;
  };
  const { client } = temporal(
    () => [],
    async () => {
      counts += 1;
      return 0;
    },
  );
  const metrics = new WorkerMetrics(SCOPE);
  const ledger = { listOpen } as unknown as Ledger;
  const deps = { metrics, ledger, client, taskQueue: 'video-generate', everyMs: 5, steps: () => steps };
  onTestFinished(monitorPurchases(deps));
  const openIn = async () => parseScrape(await metrics.text()).value('wan_video_open_purchases');
  const looksDuring = async (ticks: number) => {
    const [looksBefore, countsBefore] = [looks, counts];
    await expect.poll(() => counts).toBeGreaterThan(countsBefore + ticks);
    return looks - looksBefore;
  };
  // A step runs, then a purchase is open: both are reasons to look.
  expect(await looksDuring(3)).toBeGreaterThan(2);
  steps = { begun: 3, running: 0 };
  expect(await looksDuring(3)).toBeGreaterThan(2);
  expect(await openIn()).toBe(1);
  found = { ...found, open: [] };
  await looksDuring(3);
  expect(await looksDuring(10)).toBe(0);
  expect(await openIn()).toBe(0);
  steps = { begun: 4, running: 0 };
  await looksDuring(3);
  expect(await looksDuring(10)).toBe(0);
  expect(looks).toBeGreaterThan(7);
});

test('when store and Temporal cannot be read, their gauges are absent and the time of the last look stays', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-look-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  let isAway = false;
  let looks = 0;
  const fault = () => {
    if (isAway) throw new Error('away');
  };
  const ledger = new Ledger({ store: new FileStore(folder), scope: SCOPE, now: Date.now });
  const listOpen = ledger.listOpen.bind(ledger);
  ledger.listOpen = async (...input) => {
    looks += 1;
    fault();
    return listOpen(...input);
  };
  await ledger.openIntent(
    { key: 'a'.repeat(64), n: 1 },
    {
      cache_key: 'a'.repeat(64),
      workflow_id: 'w',
      first_run_id: 'r',
      key_fingerprint: null,
      attempt: 1,
      seed: 1,
      tenant: null,
      memo: {},
      expects: { prompt: 'p', duration: 4, resolution: '720P', audio: false, image: null },
    },
  );
  const metrics = new WorkerMetrics(SCOPE);
  const { client } = temporal(
    () => [],
    async () => {
      fault();
      return 2;
    },
  );
  const stop = monitorPurchases({ metrics, ledger, client, taskQueue: 'video-generate', everyMs: 20, steps: NO_STEPS });
  onTestFinished(stop);
  const seen = async () => parseScrape(await metrics.text());
  const look = 'wan_video_last_look_timestamp_seconds';
  await expect.poll(async () => (await seen()).value(look, { at: 'ledger' })).toBeGreaterThan(0);
  await expect.poll(async () => (await seen()).value('wan_video_runs_needing_attention')).toBe(2);
  const before = await seen();
  expect(before.value('wan_video_open_purchases', { age: 'below_10m' })).toBe(1);
  expect(before.value('wan_video_open_purchases')).toBe(1);

  isAway = true;
  await expect.poll(async () => (await seen()).value('wan_video_runs_needing_attention')).toBeUndefined();
  await expect.poll(async () => (await seen()).value('wan_video_open_purchases')).toBeUndefined();
  const away = await seen();
  expect(away.value('wan_video_oldest_open_purchase_age_seconds')).toBeUndefined();
  expect(away.value('wan_video_damaged_records')).toBeUndefined();
  const stamp = away.value(look, { at: 'ledger' });
  const looksThen = looks;
  await expect.poll(() => looks).toBeGreaterThan(looksThen + 1); // it goes on looking
  expect((await seen()).value(look, { at: 'ledger' })).toBe(stamp);

  isAway = false;
  await expect.poll(async () => (await seen()).value('wan_video_open_purchases')).toBe(1);
});

test('as long as no look has succeeded there is no time of a last one, which is what the alerts ask for', async () => {
  const metrics = new WorkerMetrics(SCOPE);
  metrics.readyWhen(async () => true);
  let looks = 0;
  const listOpen = async () => {
    looks += 1;
    throw new Error('away');
  };
  const { client } = temporal(
    () => [],
    async () => {
      throw new Error("no search attribute 'VideoOutcome'");
    },
  );
  const ledger = { listOpen } as unknown as Ledger;
  onTestFinished(
    monitorPurchases({ metrics, ledger, client, taskQueue: 'video-generate', everyMs: 5, steps: NO_STEPS }),
  );
  await expect.poll(() => looks).toBeGreaterThan(2);
  const { value } = parseScrape(await metrics.text());
  expect(value('wan_video_last_look_timestamp_seconds')).toBeUndefined();
  expect(value('wan_video_worker_ready')).toBe(1);
});
