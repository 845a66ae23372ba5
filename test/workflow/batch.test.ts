import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { BatchRow } from '../../src/batch/batch-files.js';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { batchItemWorkflowId } from '../../src/contract/names.js';
import { batchManifestKey } from '../../src/storage/keys.js';
import { startWorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type RunningWorker, type Stack, startStack } from '../support/stack.js';

let stack: Stack;
let batches: WanBatchClient;
let worker: RunningWorker;
const times = {
  retryInitialMs: 100,
  heartbeatTimeoutMs: 2_000,
  heartbeatThrottleMs: 500,
  batchSweepMs: 2_000,
  submitHttpMs: 2_000,
  submitStartToCloseMs: 3_000,
};
beforeAll(async () => {
  // Renders of about half a second on as many slots as requested: a window of three is the only bound.
  stack = await startStack({
    settings: { speed: 60, slots: 50, submit_rate: 0, query_rate: 0 },
    times: { ...QUICK_LEDGER, ...times },
    env: { WAN_VIDEO_SUBMIT_RATE: '100', WAN_VIDEO_QUERY_RATE: '100', WAN_VIDEO_MAX_RUNNING: '50' },
    worker: false,
  });
  worker = await stack.startWorker();
  batches = new WanBatchClient({
    client: stack.client,
    store: stack.store,
    taskQueue: stack.config.taskQueues.generate,
  });
});
afterAll(() => stack?.close());

type Line = Record<string, unknown>;
/** Requests that no other test has made. */
const linesOf = (count: number, name = randomUUID()) =>
  Array.from({ length: count }, (_, n) => ({ item_id: `item-${n + 1}`, ...stack.request(`${name} ${n + 1}`) }));
const reportRows = async (batchId: string): Promise<BatchRow[]> => {
  const rows: BatchRow[] = [];
  for await (const row of batches.report(batchId)) rows.push(row);
  return rows;
};
const tasksOf = (lines: readonly { readonly prompt: string }[]) => {
  const prompts = new Set(lines.map(({ prompt }) => prompt));
  return stack.emulator.state().tasks.filter(({ prompt }) => prompts.has(prompt));
};
const statusOf = async (id: string) => (await stack.client.workflow.getHandle(id).describe()).status.name;

test('twelve items with a window of three over several runs, and a worker killed in the middle, are twelve videos', async () => {
  await worker.stop();
  const first = await startWorkerProcess(stack, { ...QUICK_LEDGER, ...times });
  const lines = linesOf(10);
  const twins = [
    { ...lines[1], item_id: 'twin-1', labels: { team: 'film' } },
    { ...lines[4], item_id: 'twin-2' },
  ];
  const { batch_id } = await batches.start({ lines: [...lines, ...twins] }, { window: 3, pageItems: 4 });
  const peak = { inFlight: 0 };
  const watch = setInterval(() => {
    const running = tasksOf(lines).filter(({ status }) => status === 'RUNNING' || status === 'PENDING').length;
    peak.inFlight = Math.max(peak.inFlight, running);
  }, 20);
  await expect.poll(() => tasksOf(lines).length, { timeout: 20_000, interval: 20 }).toBeGreaterThanOrEqual(5);
  await first.end('SIGKILL');
  worker = await stack.startWorker();
  const summary = await batches.result(batch_id).finally(() => clearInterval(watch));

  expect(summary.counts).toEqual({
    total: 12,
    generated: 10,
    cache: 0,
    adopted: 0,
    failed: 0,
    cancelled: 0,
    needs_attention: 0,
    budget_reached: 0,
    duplicate: 2,
    invalid: 0,
  });
  expect(summary).toMatchObject({ outcome: 'completed', billed: [{ resolution: '720P', audio: false, seconds: 40 }] });
  expect(tasksOf(lines)).toHaveLength(10); // one purchase per distinct line
  expect(peak.inFlight).toBeLessThanOrEqual(3);
  const runs: string[] = [];
  for await (const { runId } of stack.client.workflow.list({ query: `WorkflowId = 'batch/${batch_id}'` }))
    runs.push(runId);
  expect(runs.length).toBeGreaterThanOrEqual(3);
  const rows = await reportRows(batch_id);
  expect(rows.map(({ item_id }) => item_id)).toEqual([...lines, ...twins].map(({ item_id }) => item_id));
  expect(rows.map(({ outcome }) => outcome)).toEqual(Array(12).fill('generated'));
  expect(rows.reduce((sum, { billed_seconds }) => sum + billed_seconds, 0)).toBe(40);
  expect(rows[10]).toMatchObject({
    same_as: 'item-2',
    billed_seconds: 0,
    video_url: rows[1]?.video_url,
    labels: { team: 'film' },
  });
  expect(await batches.status(batch_id)).toMatchObject({ status: 'completed', summary });
});

test('a worker killed between two copies is replaced, every video is under its name, and a retry fills what was missing', async () => {
  const [first, second] = linesOf(2);
  const twins = Array.from({ length: 60 }, (_, n) => ({ ...first, item_id: `twin-${n + 1}` }));
  // The provider fails the second video as often as one run buys it again.
  const hit = { on: 'submit', fault: 'task-failed', code: 'InternalError' } as const;
  stack.emulator.queueFaults({ ...hit, match: second?.prompt ?? '', times: 3 });
  const id = `delivered-${randomUUID()}`;
  const folder = fileURLToPath(stack.store.url(`out/${id}`));
  await mkdir(folder, { recursive: true });
  const copied = async () => (await readdir(folder)).filter((name) => name.endsWith('.mp4')).length;
  await worker.stop();
  const killed = await startWorkerProcess(stack, { ...QUICK_LEDGER, ...times });
  const lines = [first, second, ...twins].map((line) => ({ ...line, labels: { scene: 'Sea 1' } }));
  const firstCopy = once(watch(folder), 'change');
  const deliver = `out/${id}/{label:scene}/../{item_id}.mp4`;
  await expect(batches.start({ lines }, { id, deliver })).rejects.toMatchObject({ issues: [{ path: 'deliver' }] });
  await batches.start(
    { lines },
    { id, deliver: `out/${id}/{item_id}~{label:scene}.mp4`, deliverReports: ['csv', 'html', 'json'] },
  );
  await firstCopy;
  await killed.end('SIGKILL');
  const before = await copied();
  worker = await stack.startWorker();
  const summary = await batches.result(id);
  expect(before).toBeGreaterThan(0);
  expect(before).toBeLessThan(61);
  expect(summary).toMatchObject({
    counts: { generated: 1, failed: 1, duplicate: 60 },
    delivery: { pattern: `out/${id}/{item_id}~{label:scene}.mp4`, files: 61, missing: 1, problems: [], failure: null },
  });
  expect(await copied()).toBe(61);
  expect(await readdir(folder)).toEqual(
    expect.arrayContaining(['twin-60~Sea~201.mp4', `report-${id}.csv`, `report-${id}.html`, `report-${id}.json`]),
  );
  expect((await reportRows(id)).map(({ file }) => file).slice(0, 3)).toEqual([
    `out/${id}/item-1~Sea~201.mp4`,
    undefined,
    `out/${id}/twin-1~Sea~201.mp4`,
  ]);
  const again = await batches.retry(id);
  expect(await batches.result(again.batch_id)).toMatchObject({ delivery: { files: 1, missing: 0, problems: [] } });
  expect(await copied()).toBe(62);
  expect(await readdir(folder)).toContain(`report-${id}.retry-1.csv`);
});

// Side by side: each waits for renders and looks, and none for another. Each has its own `expect`: a poll must know
// whose it is.
test('cancelling reaches the items of every earlier run and says what became of each', async () => {
  stack.emulator.changeSettings({ speed: 6 }); // all of them render at one moment, however busy the machine is
  onTestFinished(() => void stack.emulator.changeSettings({ speed: 60 }));
  const lines = linesOf(6).map((line) => ({ ...line, duration: 15 }));
  const { batch_id, id } = await batches.start({ lines }, { window: 4, pageItems: 2 });
  await expect.poll(async () => (await batches.progress(batch_id)).in_flight, { timeout: 20_000 }).toBe(4);
  // A task that still waits at the provider would be cancelled there for nothing.
  const begun = () => tasksOf(lines).filter(({ status }) => status === 'RUNNING').length;
  await expect.poll(begun, { timeout: 20_000 }).toBe(4);
  await batches.cancel(batch_id, 'wrong pictures');
  await expect(batches.result(batch_id)).rejects.toMatchObject({ cancelled: true });
  expect(await statusOf(id)).toBe('CANCELLED');
  for (const { item_id } of lines.slice(0, 4)) {
    // An item reports to its batch first, and ends then.
    await expect.poll(() => statusOf(batchItemWorkflowId(batch_id, String(item_id)))).toBe('CANCELLED');
  }
  const { status, summary } = await batches.status(batch_id);
  expect(status).toBe('cancelled');
  expect(summary).toMatchObject({
    outcome: 'cancelled',
    counts: { total: 6, cancelled: 4, generated: 0 },
    maybe_billed: 4,
  });
  const rows = await reportRows(batch_id);
  expect(rows.map(({ outcome }) => outcome)).toEqual([...Array(4).fill('cancelled'), 'open', 'open']);
  expect(rows[0]?.message).toMatch(/had started; it is billed if it succeeds, and salvage/);
  expect(tasksOf(lines)).toHaveLength(4); // nothing was started any more
});

describe.concurrent('a batch', () => {
  test('a key that is refused pauses the batch with the reason; resumed, it runs those items again', async ({
    expect,
  }) => {
    const lines = linesOf(5);
    const hit = { on: 'submit', fault: 'status', status: 401, code: 'InvalidApiKey' } as const;
    stack.emulator.queueFaults(lines.slice(0, 2).map(({ prompt }) => ({ ...hit, match: prompt })));
    const { batch_id } = await batches.start({ lines }, { window: 2, pageItems: 2 });
    await expect
      .poll(() => batches.progress(batch_id), { timeout: 20_000 })
      .toMatchObject({ stage: 'paused', in_flight: 0, pause: { cause: 'CredentialsRejected' }, eta_ms: null });
    const paused = await batches.progress(batch_id);
    expect(paused.counts.failed).toBe(0);
    expect(paused.waiting).toBeGreaterThanOrEqual(3);
    await batches.resume(batch_id);
    const { counts } = await batches.result(batch_id);
    expect(counts).toMatchObject({ total: 5, generated: 5, failed: 0 });
    expect(tasksOf(lines)).toHaveLength(5);
  });

  test('a batch whose manifest became shorter while it was paused fails, and does not hang', async ({ expect }) => {
    const lines = linesOf(1);
    const [line] = lines;
    const hit = { on: 'submit', fault: 'status', status: 401, code: 'InvalidApiKey' } as const;
    stack.emulator.queueFaults({ ...hit, match: line?.prompt ?? '' });
    const { batch_id } = await batches.start({ lines });
    await expect
      .poll(() => batches.progress(batch_id), { timeout: 20_000 })
      .toMatchObject({ stage: 'paused', in_flight: 0 });
    await stack.store.put(batchManifestKey(batch_id), Buffer.alloc(0));
    await batches.resume(batch_id);
    await expect(batches.result(batch_id)).rejects.toThrow(/has become shorter/);
  });

  test('an item that waits for a person leaves the window and does not hold up the end; decided later it is counted again', async ({
    expect,
  }) => {
    const prompt = `parked ${randomUUID()}`;
    const other = `${randomUUID()} other`;
    const lines = [
      { ...stack.request(prompt), seed: 1, item_id: 'one' },
      { ...stack.request(prompt), seed: 2, item_id: 'two' },
      { ...stack.request(other), item_id: 'other' },
    ];
    stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt, times: 2 });
    const { batch_id } = await batches.start({ lines }, { window: 2 });
    const { counts, maybe_billed } = await batches.result(batch_id);
    expect(counts).toMatchObject({ total: 3, generated: 1, needs_attention: 2, failed: 0 });
    expect(maybe_billed).toBe(2);
    expect((await reportRows(batch_id)).map(({ outcome }) => outcome)).toEqual([
      'needs_attention',
      'needs_attention',
      'generated',
    ]);
    for (const id of ['one', 'two']) await stack.videos.cancel(batchItemWorkflowId(batch_id, id));
  });

  test('an item whose run is terminated is found and counted, although it reports to nobody', async ({ expect }) => {
    const lines = linesOf(3).map((line) => ({ ...line, duration: 15 }));
    const { batch_id } = await batches.start({ lines }, { window: 1, pageItems: 1 });
    await expect.poll(() => tasksOf(lines).length, { timeout: 20_000 }).toBe(1);
    await stack.client.workflow.getHandle(batchItemWorkflowId(batch_id, 'item-1')).terminate('a test');
    const { counts, causes } = await batches.result(batch_id);
    expect(counts).toMatchObject({ generated: 2, failed: 1 });
    expect(causes).toEqual({ Terminated: 1 });
  });

  test('lines that failed for a temporary cause are run again as a new batch; the others only when their cause is named', async ({
    expect,
  }) => {
    const lines = linesOf(3);
    const hit = { on: 'submit', fault: 'task-failed' } as const;
    stack.emulator.queueFaults([
      { ...hit, match: lines[0]?.prompt ?? '', code: 'InternalError', times: 3 },
      { ...hit, match: lines[1]?.prompt ?? '', code: 'DataInspectionFailed' },
    ]);
    const { batch_id } = await batches.start({ lines });
    const { causes } = await batches.result(batch_id);
    expect(causes).toEqual({ TaskFailed: 1, ContentRejected: 1 });
    const failed: Line[] = [];
    for await (const line of batches.failedLines(batch_id)) failed.push(line);
    expect(failed).toMatchObject([
      { item_id: 'item-1', prompt: lines[0]?.prompt, comment: expect.stringMatching(/^TaskFailed/) },
      { item_id: 'item-2', prompt: lines[1]?.prompt, comment: expect.stringMatching(/^ContentRejected/) },
    ]);

    const again = await batches.retry(batch_id);
    expect(again).toMatchObject({ batch_id: `${batch_id}.retry-1`, items: 1 });
    expect(await batches.result(again.batch_id)).toMatchObject({
      retry_of: batch_id,
      counts: { generated: 1, total: 1 },
    });
    const wider = await batches.retry(batch_id, { causes: ['ContentRejected'] });
    expect(wider).toMatchObject({ batch_id: `${batch_id}.retry-2`, items: 2 });
    expect((await batches.result(wider.batch_id)).counts).toMatchObject({ cache: 1, generated: 1 });
  });

  test('a batch id that exists is shown and not started again; a manifest with faults starts nothing', async ({
    expect,
  }) => {
    const lines = linesOf(2);
    const id = `batch-${randomUUID()}`;
    await expect(
      batches.start({ lines: [...lines, { ...lines[0], item_id: 'x', duration: 99 }] }, { id }),
    ).rejects.toMatchObject({
      type: 'InvalidRequest',
      issues: [{ path: 'line 3, duration' }],
    });
    await expect(batches.status(id)).rejects.toMatchObject({ error: { type: 'RunNotFound' } });
    const broken = [...lines, { ...lines[0], item_id: 'x', duration: 99 }];
    expect(await batches.start({ lines: broken }, { id, allowInvalid: true })).toMatchObject({
      already_existed: false,
      items: 2,
    });
    expect(await batches.start({ lines: broken }, { id, allowInvalid: true })).toMatchObject({
      already_existed: true,
      items: 2,
    });
    await expect(batches.start({ lines: linesOf(1) }, { id })).rejects.toMatchObject({
      type: 'InvalidRequest',
      issues: [{ path: 'id' }],
    });
    expect((await batches.result(id)).counts).toMatchObject({ total: 3, generated: 2, invalid: 1 });
    expect((await reportRows(id)).map(({ outcome }) => outcome)).toEqual(['generated', 'generated', 'invalid']);
    expect(tasksOf(lines)).toHaveLength(2);
  });

  test('paused by hand, with another window, a batch goes on when it is resumed; its items are found by its id', async ({
    expect,
  }) => {
    const lines = linesOf(4).map((line) => ({ ...line, tenant: 'film' }));
    const { batch_id } = await batches.start({ lines }, { window: 1 });
    await batches.pause(batch_id, 'lunch');
    await batches.setWindow(batch_id, 4);
    await expect
      .poll(() => batches.progress(batch_id), { timeout: 20_000 })
      .toMatchObject({
        stage: 'paused',
        pause: { reason: 'lunch', cause: null },
        window: 4,
        in_flight: 0,
      });
    const { waiting } = await batches.progress(batch_id);
    expect(waiting).toBeGreaterThanOrEqual(3);
    await batches.resume(batch_id);
    expect((await batches.result(batch_id)).counts.generated).toBe(4);
    const found: string[] = [];
    for await (const run of stack.videos.list({ batchId: batch_id, tenant: 'film' })) found.push(run.id);
    expect(found.sort()).toEqual(lines.map(({ item_id }) => batchItemWorkflowId(batch_id, String(item_id))));
  });
});
