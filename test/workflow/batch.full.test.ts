import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';

const ITEMS = 300;
const times = {
  ...QUICK_LEDGER,
  retryInitialMs: 100,
  heartbeatTimeoutMs: 3_000,
  heartbeatThrottleMs: 500,
  batchSweepMs: 5_000,
  submitHttpMs: 2_000,
  submitStartToCloseMs: 3_000,
  slotCheckMs: 2_000,
};

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    settings: { speed: 400, slots: 20, submit_rate: 0, query_rate: 0 },
    env: { WAN_VIDEO_SUBMIT_RATE: '100', WAN_VIDEO_QUERY_RATE: '100', WAN_VIDEO_MAX_RUNNING: '20' },
    worker: false,
  });
});
afterAll(() => stack?.close());

test('three hundred items while one of two workers is killed again and again: totals exact, nothing lost, nothing twice', async () => {
  const batches = new WanBatchClient({
    client: stack.client,
    store: stack.store,
    taskQueue: stack.config.taskQueues.generate,
  });
  const name = randomUUID();
  const lines = Array.from({ length: ITEMS }, (_, n) => ({ ...stack.request(`${name} ${n}`), item_id: `item-${n}` }));
  const start = () => startWorkerProcess(stack, times);
  const workers: WorkerProcess[] = await Promise.all([start(), start()]);
  const { batch_id, id } = await batches.start({ lines }, { window: 30, pageItems: 40 });
  let kills = 0;
  let ended = false;
  const summary = batches.result(batch_id).finally(() => {
    ended = true;
  });
  const done = (): Promise<number> =>
    batches.progress(batch_id).then(
      ({ counts: { generated, cache, adopted } }) => generated + cache + adopted,
      () => 0, // no worker answers for a moment
    );
  while (!ended && kills < 6) {
    const before = await done();
    await expect
      .poll(async () => ended || (await done()) >= before + ITEMS / 8, { timeout: 120_000, interval: 500 })
      .toBe(true);
    if (ended) break;
    await workers.shift()?.end('SIGKILL');
    kills += 1;
    workers.push(await start());
  }
  const { counts, billed } = await summary;
  await Promise.all(workers.map((worker) => worker.end('SIGTERM')));
  expect(kills).toBeGreaterThanOrEqual(3);
  expect(counts).toMatchObject({ total: ITEMS, failed: 0, cancelled: 0, needs_attention: 0, duplicate: 0 });
  expect(counts.generated + counts.adopted + counts.cache).toBe(ITEMS);
  const tasks = stack.emulator.state().tasks.filter(({ prompt }) => prompt.startsWith(name));
  expect(new Set(tasks.filter(({ status }) => status === 'SUCCEEDED').map(({ prompt }) => prompt)).size).toBe(ITEMS);
  expect(tasks.filter(({ status }) => status === 'SUCCEEDED')).toHaveLength(ITEMS); // one purchase each
  expect(billed.reduce((sum, { seconds }) => sum + seconds, 0)).toBeLessThanOrEqual(
    stack.emulator.state().billed_seconds,
  );

  const seen = new Set<string>();
  for await (const row of batches.report(batch_id)) {
    expect(row.video_url, row.item_id).not.toBeNull();
    seen.add(row.item_id);
  }
  expect(seen.size).toBe(ITEMS);
  for await (const { runId } of stack.client.workflow.list({ query: `WorkflowId = '${id}'` })) {
    const { events } = await stack.client.workflow.getHandle(id, runId).fetchHistory();
    expect(events?.length ?? 0).toBeLessThan(10_000);
    // A payload is at most 256 kB; a signal or a result is one event.
    for (const event of events ?? []) expect(JSON.stringify(event).length).toBeLessThan(512 * 1024);
  }
}, 600_000);
