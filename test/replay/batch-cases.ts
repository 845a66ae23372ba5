import { randomUUID } from 'node:crypto';
import { WanBatchClient } from '../../src/client/batch-client.js';
import type { StartBatchOptions } from '../../src/client/batch-start.js';
import type { VideoBatchInput } from '../../src/contract/batch.js';
import { batchItemWorkflowId, batchScheduleId, batchWorkflowId } from '../../src/contract/names.js';
import type { Stack } from '../support/stack.js';
import type { ReplayCase } from './cases.js';

const OPEN = ['openBatch', 'readManifest'] as const;
const WRITE = ['writeResults', 'writeReport'] as const;
const PAUSE = ['findSchedule', 'pauseSchedule'] as const;

/** Batches, and items of batches. */
export const BATCH_CASES: readonly ReplayCase[] = [
  batch('continued-as-new', 'continued', [...OPEN, 'writeResults'], async (stack) => {
    const { id, batches, batchId, runId } = await start(stack, linesOf(stack, 3), { window: 2, pageItems: 2 });
    await batches.result(batchId);
    return [id, runId];
  }),
  batch('completed-in-its-second-run', 'completed', ['readManifest', ...WRITE], async (stack) => {
    const { id, batches, batchId } = await start(stack, linesOf(stack, 3), { window: 2, pageItems: 2 });
    await batches.result(batchId);
    return id;
  }),
  batch('completed-with-a-duplicate', 'completed', [...OPEN, ...WRITE], async (stack) => {
    const [line] = linesOf(stack, 1);
    const { id, batches, batchId } = await start(stack, [line ?? {}, { ...line, item_id: 'same' }]);
    await batches.result(batchId);
    return id;
  }),
  batch('paused-for-the-account', 'completed', [...OPEN, ...WRITE], async (stack) => {
    const lines = linesOf(stack, 2);
    const refusal = { on: 'submit', fault: 'status', status: 401, code: 'InvalidApiKey' } as const;
    stack.emulator.queueFaults({ ...refusal, match: lines[0]?.prompt ?? '' });
    const { id, batches, batchId } = await start(stack, lines);
    await until(async () => (await batches.progress(batchId)).stage === 'paused');
    await until(async () => (await batches.progress(batchId)).in_flight === 0);
    await batches.setWindow(batchId, 1);
    await batches.resume(batchId);
    await batches.result(batchId);
    return id;
  }),
  batch('cancelled', 'cancelled', [...OPEN, 'requestCancellation', ...WRITE], async (stack) => {
    const { id, batches, batchId } = await start(stack, linesOf(stack, 3, 15), { window: 2 });
    await until(async () => (await batches.progress(batchId)).in_flight === 2);
    await batches.cancel(batchId, 'a replay case');
    await batches.result(batchId).catch(() => undefined);
    return id;
  }),
  batch('swept-for-an-end', 'completed', [...OPEN, 'findEndedItems', ...WRITE], async (stack) => {
    const [line] = linesOf(stack, 1);
    const { item_id, ...request } = line ?? { item_id: '', ...stack.request('') };
    const batchId = randomUUID();
    // The item's run exists before the batch, as after a reset of the batch.
    const started = await stack.videos.start(request, { id: batchItemWorkflowId(batchId, item_id) });
    await stack.videos.result(started.id);
    const { id, batches } = await start(stack, [line ?? {}], { id: batchId });
    await batches.result(batchId);
    return id;
  }),
  batch('delivered', 'completed', [...OPEN, 'writeResults', 'deliverBatch', 'writeReport'], async (stack) => {
    const deliver = `replayed/${randomUUID()}/{item_id}.mp4`;
    const { id, batches, batchId } = await start(stack, linesOf(stack, 1), { deliver, deliverReports: ['csv'] });
    await batches.result(batchId);
    return id;
  }),
  batch('manifest-missing', 'completed', ['openBatch', 'writeReport'], async (stack) => {
    const id = batchWorkflowId(randomUUID());
    await startWorkflow(stack, id, { manifest_key: 'manifests/nowhere.jsonl' });
    await stack.client.workflow.getHandle(id).result();
    return id;
  }),
  batch('schedule-paused', 'completed', ['writeReport'], async (stack) => {
    const id = batchWorkflowId(`${randomUUID()}-2026-01-01T02:30:00Z`);
    const paused = { schedule_id: 'nightly', schedule_paused_at: '2026-01-03T08:00:00.000Z' };
    await startWorkflow(stack, id, { manifest_key: 'manifests/nowhere.jsonl', ...paused });
    await stack.client.workflow.getHandle(id).result();
    return id;
  }),
  batch('inline-items', 'continued', [...OPEN, 'writeResults'], async (stack) => {
    const id = batchWorkflowId(randomUUID());
    const runId = await startWorkflow(stack, id, { items: linesOf(stack, 2), window: 1, page_items: 1 });
    await stack.client.workflow.getHandle(id).result();
    return [id, runId];
  }),
  batch('failed-invalid-input', 'failed', ['openBatch'], async (stack) => {
    const id = batchWorkflowId(randomUUID());
    await startWorkflow(stack, id, {});
    await stack.client.workflow
      .getHandle(id)
      .result()
      .catch(() => undefined);
    return id;
  }),
  batch('paused-its-schedule', 'completed', [...OPEN, ...PAUSE, ...WRITE], async (stack) => {
    const schedule = await stack.client.schedule.create({
      scheduleId: batchScheduleId(randomUUID()),
      spec: { calendars: [{ year: 2099 }] },
      action: { type: 'startWorkflow', workflowType: 'videoBatch', taskQueue: 'nobody' },
    });
    try {
      return await failedOf(stack, schedule.scheduleId.slice(batchScheduleId('').length));
    } finally {
      await schedule.delete();
    }
  }),
  batch('kept-a-schedule-that-is-gone', 'completed', [...OPEN, 'findSchedule', ...WRITE], (stack) =>
    failedOf(stack, randomUUID()),
  ),
  batch('failed-invalid-manifest', 'failed', ['openBatch'], async (stack) => {
    const key = `manifests/${randomUUID()}.jsonl`;
    await stack.store.put(key, Buffer.from('{"prompt":7}\n'));
    const id = batchWorkflowId(randomUUID());
    await startWorkflow(stack, id, { manifest_key: key });
    await stack.client.workflow
      .getHandle(id)
      .result()
      .catch(() => undefined);
    return id;
  }),
  {
    workflow: 'videoGenerate',
    name: 'item-of-a-batch',
    ends: 'completed',
    steps: ['prepareRequest', 'submitTask', 'pollTask'],
    reach: async (stack) => {
      const { batches, batchId } = await start(stack, linesOf(stack, 1));
      await batches.result(batchId);
      return batchItemWorkflowId(batchId, 'item-1');
    },
  },
  {
    workflow: 'videoGenerate',
    name: 'item-of-a-batch-cancelled',
    ends: 'cancelled',
    steps: ['prepareRequest', 'submitTask'],
    reach: async (stack) => {
      const { batches, batchId } = await start(stack, linesOf(stack, 1, 15));
      const item = batchItemWorkflowId(batchId, 'item-1');
      await until(async () => (await stack.videos.progress(item)).stage === 'rendering');
      await batches.cancel(batchId);
      await batches.result(batchId).catch(() => undefined);
      return item;
    },
  },
];

function batch(
  name: string,
  ends: ReplayCase['ends'],
  steps: readonly string[],
  reach: ReplayCase['reach'],
): ReplayCase {
  return { workflow: 'videoBatch', name, ends, steps, reach };
}

const linesOf = (stack: Stack, count: number, duration = 4) => {
  const name = randomUUID();
  return Array.from({ length: count }, (_, n) => ({
    item_id: `item-${n + 1}`,
    ...stack.request(`${name} ${n + 1}`),
    duration,
  }));
};

async function start(stack: Stack, lines: readonly Record<string, unknown>[], options: StartBatchOptions = {}) {
  const { client, store, config } = stack;
  const batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
  const { batch_id: batchId, id } = await batches.start({ lines }, { id: randomUUID(), ...options });
  const { runId } = await client.workflow.getHandle(id).describe();
  return { batches, batchId, id, runId };
}

/** Workflow id of a run of a schedule that allows no failure; all of its items failed. */
async function failedOf(stack: Stack, schedule_id: string): Promise<string> {
  const [line] = linesOf(stack, 1);
  const refusal = { on: 'submit', fault: 'status', status: 400, code: 'DataInspectionFailed' } as const;
  stack.emulator.queueFaults({ ...refusal, match: line?.prompt ?? '' });
  const manifest_key = `manifests/${randomUUID()}.jsonl`;
  await stack.store.put(manifest_key, Buffer.from(JSON.stringify(line)));
  const id = batchWorkflowId(randomUUID());
  await startWorkflow(stack, id, { manifest_key, schedule_id, pause_when_failed_above: 0 });
  await stack.client.workflow.getHandle(id).result();
  return id;
}

/** Resolves the id of the first run. */
async function startWorkflow(stack: Stack, workflowId: string, input: VideoBatchInput): Promise<string> {
  const taskQueue = stack.config.taskQueues.generate;
  const handle = await stack.client.workflow.start('videoBatch', { workflowId, taskQueue, args: [input] });
  return handle.firstExecutionRunId;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const lateMs = Date.now() + 30_000;
  while (!(await condition().catch(() => false))) {
    if (Date.now() > lateMs) throw new Error('the batch did not get there within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
