import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { batchWorkflowId } from '../../src/contract/names.js';
import { verifyWebhook } from '../../src/webhook/index.js';
import { type RunningCommand, startCommand } from '../support/command.js';
import { historyText } from '../support/history.js';
import { startWorkerProcess } from '../support/processes.js';
import { type Stack, startStack, TEST_KEY } from '../support/stack.js';
import { startReceiver, type WebhookReceiver, webhookFile } from '../support/webhook-receiver.js';

let folder: string;
let stack: Stack;
let batches: WanBatchClient;
let receiver: WebhookReceiver;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-webhook-'));
  receiver = await startReceiver();
  stack = await startStack({
    settings: { speed: 60, slots: 50, submit_rate: 0, query_rate: 0, list_refused: true },
    env: { WAN_VIDEO_WEBHOOK: await webhookFile(folder, receiver), WAN_VIDEO_MAX_RUNNING: '50' },
    worker: false,
  });
  const { client, store, config } = stack;
  batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
});
afterAll(async () => {
  await stack?.close();
  await receiver?.close();
  await rm(folder, { recursive: true, force: true });
});

/** How long the receiver is away. */
const OUTAGE_MS = 120_000;
/** After the outage: the next attempt is at most 256 s away by then. */
const DELIVERED_WITHIN_MS = 300_000;

async function until(what: string, isSo: () => boolean | Promise<boolean>, ms: number): Promise<void> {
  for (const lateMs = Date.now() + ms; !(await isSo()); await delay(200)) {
    if (Date.now() > lateMs) throw new Error(`not within ${ms} ms: ${what}`);
  }
}

/** Workflow ids of everything that was to be delivered, and those that ended well. */
async function deliveries(): Promise<{ all: string[]; done: string[] }> {
  const [all, done]: [string[], string[]] = [[], []];
  for await (const { workflowId, status } of stack.client.workflow.list({ query: 'WorkflowType = "deliverWebhook"' })) {
    all.push(workflowId);
    if (status.name === 'COMPLETED') done.push(workflowId);
  }
  return { all: all.sort(), done: done.sort() };
}

test('two minutes without a receiver lose nothing and double nothing: a batch that ends, one that pauses, a run that waits for a person', async () => {
  const worker: RunningCommand = startCommand(['worker'], {
    ...stack.env,
    DASHSCOPE_API_KEY: TEST_KEY,
    LOG_LEVEL: 'trace',
    LOG_FORMAT: 'json',
  });
  onTestFinished(() => void worker.process.kill('SIGKILL'));
  await receiver.down();
  const downMs = Date.now();
  const line = (prompt: string) => ({ item_id: prompt.replaceAll(' ', '-'), ...stack.request(prompt) });
  stack.emulator.queueFaults({ on: 'submit', fault: 'status', status: 401, code: 'InvalidApiKey', match: 'no key' });
  stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: 'parks' });
  const parked = await stack.videos.start(stack.request('one that parks'));
  const ending = await batches.start({ lines: [line('ends one'), line('ends two')] });
  const pausing = await batches.start({ lines: [line('no key'), line('after it')] });
  await batches.result(ending.batch_id);
  // A run parks only when its submit's minute is over and the list was refused for another two.
  await until('all three are to be delivered', async () => (await deliveries()).all.length === 3, 300_000);
  expect(receiver.deliveries).toEqual([]);
  await delay(Math.max(0, downMs + OUTAGE_MS - Date.now()));
  await receiver.up();
  await until('all are delivered', async () => (await deliveries()).done.length === 3, DELIVERED_WITHIN_MS);

  const { all } = await deliveries();
  const events = receiver.deliveries.map(({ body, headers }) => verifyWebhook(body, headers, receiver.secret));
  expect(events.map(({ id }) => `webhook/${id}`).sort()).toEqual(all);
  expect(Object.fromEntries(events.map(({ type, data }) => [type, 'workflow_id' in data && data.workflow_id]))).toEqual(
    {
      'batch.ended': ending.id,
      'batch.paused': pausing.id,
      'run.needs_attention': parked.id,
    },
  );

  await stack.videos.cancel(parked.id);
  await batches.cancel(pausing.batch_id);
  worker.process.kill('SIGTERM');
  const { stdout, stderr } = await worker.ended;
  const histories = await Promise.all(
    [...all, parked.id, ending.id, pausing.id].map((id) => historyText(stack.client, id)),
  );
  expect(stdout + stderr).toContain('deliverWebhook');
  for (const text of [stdout + stderr, ...histories]) {
    expect(text).not.toMatch(/private-(path|token)/);
    expect(text).not.toContain(receiver.secret.slice('whsec_'.length));
  }
}, 800_000);

test('a worker that is killed while the receiver holds its answer is replaced, and the event comes again under its id', async () => {
  const id = batchWorkflowId('killed');
  const first = await startWorkerProcess(stack);
  receiver.meet(({ data }) => ('workflow_id' in data && data.workflow_id === id ? 'silence' : undefined));
  const came = () => receiver.deliveries.filter(({ event }) => event.data.workflow_id === id);
  await stack.client.workflow.start('videoBatch', {
    workflowId: id,
    taskQueue: stack.config.taskQueues.generate,
    args: [{ manifest_key: 'manifests/none.jsonl' }],
  });
  await until('the event is here', () => came().length > 0, 30_000);
  first.process.kill('SIGKILL');
  await once(first.process, 'exit');
  receiver.meet(undefined);
  const second = await startWorkerProcess(stack);
  const taken = () => receiver.taken(id);
  await until('it is taken', () => taken().length > 0, 90_000);
  await until(
    'the delivery has ended',
    async () => {
      const { all, done } = await deliveries();
      return all.length === done.length;
    },
    30_000,
  );
  expect(new Set(came().map((delivery) => delivery.id)).size).toBe(1);
  expect(taken()).toHaveLength(1);
  await second.end('SIGTERM');
}, 200_000);
