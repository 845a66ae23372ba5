import { randomUUID } from 'node:crypto';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { batchItemWorkflowId, batchWorkflowId, webhookWorkflowId } from '../../src/contract/names.js';
import { webhookEventId } from '../../src/contract/webhook.js';
import type { Stack } from '../support/stack.js';
import type { ReplayCase } from './cases.js';

/** The receiver of these cases' stack refuses the events of a batch whose name begins with this. */
export const REFUSED = 'refused-';

/** Runs that notify, and deliveries of their events: on a stack with a webhook. */
export const WEBHOOK_CASES: readonly ReplayCase[] = [
  {
    workflow: 'deliverWebhook',
    name: 'delivered',
    ends: 'completed',
    steps: ['postEvent'],
    webhook: true,
    reach: async (stack) => {
      const id = await notifyOfAnEnd(stack, randomUUID());
      await stack.client.workflow.getHandle(id).result();
      return id;
    },
  },
  {
    workflow: 'deliverWebhook',
    name: 'refused',
    ends: 'failed',
    steps: ['postEvent'],
    webhook: true,
    reach: async (stack) => {
      const id = await notifyOfAnEnd(stack, `${REFUSED}${randomUUID()}`);
      await ended(stack, id);
      return id;
    },
  },
  {
    workflow: 'videoBatch',
    name: 'notified-of-its-pause-and-its-end',
    ends: 'completed',
    webhook: true,
    steps: ['openBatch', 'readManifest', 'writeReport'],
    reach: async (stack) => {
      const batches = batchesOf(stack);
      const lines = Array.from({ length: 2 }, (_, n) => ({ item_id: `item-${n + 1}`, ...stack.request(randomUUID()) }));
      const { batch_id, id } = await batches.start({ lines }, { window: 1 });
      await batches.pause(batch_id, 'a replay case');
      await until(async () => (await batches.progress(batch_id)).stage === 'paused');
      await batches.resume(batch_id);
      await batches.result(batch_id);
      return id;
    },
  },
  {
    workflow: 'videoBatch',
    name: 'notified-that-it-failed',
    ends: 'failed',
    steps: ['openBatch'],
    webhook: true,
    reach: async (stack) => {
      const key = `manifests/${randomUUID()}.jsonl`;
      await stack.store.put(key, Buffer.from('{"prompt":7}\n'));
      const id = await startBatch(stack, randomUUID(), key);
      await ended(stack, id);
      return id;
    },
  },
  {
    workflow: 'videoGenerate',
    name: 'notified-that-it-waits-for-a-person',
    ends: 'cancelled',
    webhook: true,
    steps: ['prepareRequest', 'submitTask', 'reconcileSubmit'],
    reach: async (stack) => {
      const prompt = randomUUID();
      stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt, times: 2 });
      const lines = ['one', 'two'].map((item_id, seed) => ({ ...stack.request(prompt), seed, item_id }));
      const { batch_id } = await batchesOf(stack).start({ lines });
      const items = ['one', 'two'].map((itemId) => batchItemWorkflowId(batch_id, itemId));
      for (const item of items)
        await until(async () => (await stack.videos.progress(item)).stage === 'needs_attention');
      for (const item of items) await stack.videos.cancel(item);
      for (const item of items) await ended(stack, item);
      return items[0] ?? '';
    },
  },
];

const batchesOf = ({ client, store, config }: Stack) =>
  new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });

async function startBatch(stack: Stack, batchId: string, manifest_key: string): Promise<string> {
  const workflowId = batchWorkflowId(batchId);
  const taskQueue = stack.config.taskQueues.generate;
  await stack.client.workflow.start('videoBatch', { workflowId, taskQueue, args: [{ manifest_key }] });
  return workflowId;
}

/** Workflow id of the delivery of the end of a batch that has no manifest. */
async function notifyOfAnEnd(stack: Stack, batchId: string): Promise<string> {
  const id = await startBatch(stack, batchId, 'manifests/nowhere.jsonl');
  const { runId } = await stack.client.workflow.getHandle(id).describe();
  await ended(stack, id);
  return webhookWorkflowId(webhookEventId(runId, 'batch_ended'));
}

const ended = (stack: Stack, id: string): Promise<unknown> =>
  stack.client.workflow
    .getHandle(id)
    .result()
    .catch(() => undefined);

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + 60_000;
  while (!(await condition().catch(() => false))) {
    if (Date.now() > deadlineMs) throw new Error('the condition was not met within 60 s');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
