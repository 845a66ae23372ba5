import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { batchItemWorkflowId, batchWorkflowId, webhookWorkflowId } from '../../src/contract/names.js';
import type { WebhookBatch, WebhookEvent, WebhookRun } from '../../src/contract/webhook.js';
import { verifyWebhook } from '../../src/webhook/index.js';
import { historyText } from '../support/history.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';
import {
  type Delivery,
  type Reply,
  receiversFile,
  startReceiver,
  type WebhookReceiver,
} from '../support/webhook-receiver.js';

let folder: string;
let stack: Stack;
let batches: WanBatchClient;
let receiver: WebhookReceiver;
/** Named by the runs whose own ends it is sent. */
let ends: WebhookReceiver;
/** Takes messages as chats do. */
let chat: WebhookReceiver;
/** How the receiver answers the events of one workflow, delivery by delivery; then with 204. */
const replies = new Map<string, Reply[]>();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-webhook-'));
  [receiver, ends, chat] = await Promise.all([startReceiver(), startReceiver(), startReceiver()]);
  receiver.meet(({ data }) => replies.get(data.workflow_id)?.shift());
  const prices = join(folder, 'prices.json');
  const tier = { silent: 0.15, sound: 0.3 };
  await writeFile(prices, JSON.stringify({ currency: 'CNY', per_second: { '720P': tier, '1080P': tier } }));
  stack = await startStack({
    settings: { speed: 60, slots: 50, submit_rate: 0, query_rate: 0 },
    times: { ...QUICK_LEDGER, unknownForMs: 1_000, parkedRetryMs: 300, webhookHttpMs: 500 },
    env: {
      WAN_VIDEO_WEBHOOK: await receiversFile(folder, {
        default: [receiver],
        ends: [ends, { events: ['run.needs_attention', 'run.ended', 'batch.ended'] }],
        chat: [chat, { format: 'slack', secret: undefined }],
      }),
      WAN_VIDEO_PRICES: prices,
      WAN_VIDEO_SUBMIT_RATE: '100',
      WAN_VIDEO_QUERY_RATE: '100',
      WAN_VIDEO_MAX_RUNNING: '50',
    },
  });
  const { client, store, config } = stack;
  batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
});
afterAll(async () => {
  await stack?.close();
  await Promise.all([receiver, ends, chat].map((one) => one?.close()));
  await rm(folder, { recursive: true, force: true });
});

const linesOf = (count: number, name = randomUUID()) =>
  Array.from({ length: count }, (_, n) => ({ item_id: `item-${n + 1}`, ...stack.request(`${name} ${n + 1}`) }));
const delivered = (workflowId: string, type: WebhookEvent['type']): Delivery[] =>
  receiver.deliveries.filter(({ event }) => event.data.workflow_id === workflowId && event.type === type);
const untilDelivered = async (workflowId: string, type: WebhookEvent['type'], times = 1): Promise<Delivery[]> => {
  await until(() => delivered(workflowId, type).length >= times);
  return delivered(workflowId, type);
};
/** Vitest's own poll knows one test at a time. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const lateMs = Date.now() + 30_000;
  while (!(await isSo())) {
    if (Date.now() > lateMs) throw new Error('it did not become so within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A batch that ends at once, because its manifest is not there; the receiver answers its events as given. */
async function endAtOnce(...meet: Reply[]): Promise<{ id: string; startedMs: number }> {
  const id = batchWorkflowId(randomUUID());
  replies.set(id, meet);
  const startedMs = Date.now();
  await stack.client.workflow.execute('videoBatch', {
    workflowId: id,
    taskQueue: stack.config.taskQueues.generate,
    args: [{ manifest_key: 'manifests/nowhere.jsonl' }],
  });
  return { id, startedMs };
}
const deliveryOf = ({ id }: Pick<Delivery, 'id'>) => stack.client.workflow.getHandle(webhookWorkflowId(id));

// Side by side: the events of one workflow are no other test's.
describe.concurrent('the webhook', () => {
  test('gets the end of a batch, once, signed, with counts, amount and the address of the report', async () => {
    const lines = linesOf(3);
    const refusal = { on: 'submit', fault: 'status', status: 400, code: 'DataInspectionFailed' } as const;
    stack.emulator.queueFaults({ ...refusal, match: lines[1]?.prompt ?? '' });
    const { batch_id, id } = await batches.start({ lines }, { window: 2, pageItems: 2 });
    await batches.result(batch_id);
    const [delivery = expect.unreachable()] = await untilDelivered(id, 'batch.ended');
    const { counts, causes, billed } = await batches.result(batch_id);
    expect(verifyWebhook(delivery.body, delivery.headers, receiver.secret)).toEqual(delivery.event);
    expect(delivery.event.id).toBe(delivery.id);
    expect(delivery.event.data).toMatchObject({
      workflow_id: id,
      batch_id,
      state: 'completed',
      reason: null,
      cause: null,
      counts,
      causes,
      billed,
      text: `Batch ${batch_id} has ended: 2 of 3 lines have their video, 1 failed.`,
      next_step: expect.stringContaining(`wan-video batch retry ${batch_id}`),
      in_flight: 0,
      waiting: 0,
      amount: { currency: 'CNY', amount: 1.2 },
      report_url: stack.store.url(`batches/${batch_id}/report.json`),
    } satisfies Partial<WebhookBatch>);
    expect(delivery.body).not.toContain(lines[0]?.prompt); // a summary, and no prompts
    await deliveryOf(delivery).result();
    expect(delivered(id, 'batch.ended')).toHaveLength(1);
    // Neither secret nor address is in anything that Temporal keeps.
    const item = batchItemWorkflowId(batch_id, 'item-1');
    for (const run of [id, item, webhookWorkflowId(delivery.id)]) {
      const history = await historyText(stack.client, run);
      expect(history).toContain('batch.ended');
      expect(history).not.toMatch(/private-(path|token)/);
      for (const part of [receiver.secret, receiver.secret.slice('whsec_'.length)]) expect(history).not.toContain(part);
    }
  });

  test('gets each pause once, over the runs of a batch: of the account, and on request', async () => {
    const lines = linesOf(5);
    const refusal = { on: 'submit', fault: 'status', status: 401, code: 'InvalidApiKey' } as const;
    stack.emulator.queueFaults(lines.slice(0, 2).map(({ prompt }) => ({ ...refusal, match: prompt })));
    const { batch_id, id } = await batches.start({ lines }, { window: 2, pageItems: 2 });
    const [account = expect.unreachable()] = await untilDelivered(id, 'batch.paused');
    expect(account.event.data).toMatchObject({
      state: 'paused',
      cause: 'CredentialsRejected',
      report_url: null,
      next_step: `Fix the cause, then resume with "wan-video batch resume ${batch_id}".`,
    });
    await batches.pause(batch_id, 'asked while it is paused'); // is paused already
    await until(async () => (await batches.progress(batch_id)).in_flight === 0);
    await batches.resume(batch_id);
    await until(async () => (await batches.progress(batch_id)).stage === 'running');
    await batches.pause(batch_id, 'the pictures\u0007 are wrong');
    const [, person = expect.unreachable()] = await untilDelivered(id, 'batch.paused', 2);
    expect(person.event.data).toMatchObject({ cause: null, reason: 'the pictures  are wrong' });
    await batches.resume(batch_id);
    await batches.result(batch_id);
    await untilDelivered(id, 'batch.ended');
    expect(delivered(id, 'batch.paused').map((delivery) => delivery.id)).toEqual([account.id, person.id]);
    expect(account.id).not.toBe(person.id);
  });

  test('gets a run that waits for a person, once for each question, with the commands that decide', async () => {
    const prompt = `parked ${randomUUID()}`;
    const lines = ['one', 'two'].map((item_id, seed) => ({ ...stack.request(prompt), seed, item_id }));
    stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt, times: 2 });
    const { batch_id, id } = await batches.start({ lines }, { window: 2 });
    const [one = '', two = ''] = ['one', 'two'].map((itemId) => batchItemWorkflowId(batch_id, itemId));
    const [{ event } = expect.unreachable()] = await untilDelivered(one, 'run.needs_attention');
    await untilDelivered(two, 'run.needs_attention');
    const { candidates, commands } = event.data as WebhookRun;
    const { attention } = await stack.videos.progress(one);
    expect(event.data).toMatchObject({ batch_id, state: 'needs_attention', cause: 'SubmitOutcomeUnknown' });
    expect(candidates).toEqual(attention?.candidates);
    expect(commands).toEqual([
      ...candidates.map(({ task_id }) => `wan-video resolve ${one} --task ${task_id}`),
      `wan-video resolve ${one} --buy`,
    ]);
    expect(JSON.stringify(event)).not.toContain(prompt);
    const [ended = expect.unreachable()] = await untilDelivered(id, 'batch.ended');
    expect(ended.event.data.next_step).toContain('wait for a person');
    for (const run of [one, two]) await stack.videos.cancel(run);
    for (const run of [one, two]) await stack.videos.result(run).catch(() => undefined);
    expect([one, two].map((run) => delivered(run, 'run.needs_attention').length)).toEqual([1, 1]);
  });

  test('gets the end of a batch whose manifest is missing, or has faults', async () => {
    const { id } = await endAtOnce();
    const [missing = expect.unreachable()] = await untilDelivered(id, 'batch.ended');
    expect(missing.event.data).toMatchObject({ state: 'manifest_missing', text: expect.stringContaining('not found') });
    const key = `manifests/${randomUUID()}.jsonl`;
    await stack.store.put(key, Buffer.from('{"prompt":7}\n'));
    const invalid = batchWorkflowId(randomUUID());
    const running = stack.client.workflow.execute('videoBatch', {
      workflowId: invalid,
      taskQueue: stack.config.taskQueues.generate,
      args: [{ manifest_key: key }],
    });
    await expect(running).rejects.toThrow();
    const [failed = expect.unreachable()] = await untilDelivered(invalid, 'batch.ended');
    expect(failed.event.data).toMatchObject({ state: 'failed', cause: 'InvalidRequest', report_url: null });
    expect(failed.event.data.reason).toContain('line 1');
  });

  test('delivers the same id until it is taken: through a refusal for now, a lost answer and a slow receiver; the batch waits for none', async () => {
    const { id, startedMs } = await endAtOnce(503, 'drop', 'silence');
    const batchMs = Date.now() - startedMs;
    const deliveries = await untilDelivered(id, 'batch.ended', 4);
    await deliveryOf(deliveries[0] ?? expect.unreachable()).result();
    expect(batchMs).toBeLessThan(Date.now() - startedMs);
    expect(deliveries.map(({ status }) => status)).toEqual([503, null, null, 204]);
    expect(new Set(deliveries.map((delivery) => delivery.id)).size).toBe(1);
    expect(new Set(deliveries.map(({ body }) => body)).size).toBe(1);
    for (const { body, headers } of deliveries) verifyWebhook(body, headers, receiver.secret);
    expect(delivered(id, 'batch.ended')).toHaveLength(4);
  });

  test('does not repeat what is refused for good; the delivery shows as failed', async () => {
    const { id } = await endAtOnce(400);
    const [refused = expect.unreachable()] = await untilDelivered(id, 'batch.ended');
    await expect(deliveryOf(refused).result()).rejects.toMatchObject({
      cause: { type: 'WebhookRefused', message: expect.stringContaining(`${receiver.host} answered 400`) },
    });
    expect(delivered(id, 'batch.ended')).toHaveLength(1);
  });
});

describe.concurrent('a receiver that a run names', () => {
  const endsOf = (workflowId: string) =>
    ends.taken(workflowId).flatMap(({ event }) => (event.type === 'run.ended' ? [event] : []));

  test('gets the run’s end, once, however it ended; the default receiver gets nothing of it', async ({ expect }) => {
    const prompt = randomUUID();
    const done = await stack.videos.start({ ...stack.request(prompt), receiver: 'ends' });
    const result = await stack.videos.result(done.id);
    const again = { ...stack.request(prompt), receiver: 'ends' };
    const cached = await stack.videos.start(again, { id: `cached-${randomUUID()}` });
    await stack.videos.result(cached.id);
    const refusal = { on: 'submit', fault: 'status', status: 400, code: 'DataInspectionFailed' } as const;
    const other = randomUUID();
    stack.emulator.queueFaults({ ...refusal, match: other });
    const failed = await stack.videos.start({ ...stack.request(other), receiver: 'ends' });
    await stack.videos.result(failed.id).catch(() => undefined);
    const invalid = { ...stack.request(randomUUID()), fps: 0, receiver: 'ends' };
    const refused = await stack.client.workflow.start('videoGenerate', {
      args: [invalid],
      workflowId: `refused-${randomUUID()}`,
      taskQueue: stack.config.taskQueues.generate,
    });
    await refused.result().catch(() => undefined);
    const runs = [done.id, cached.id, failed.id, refused.workflowId];
    for (const id of runs) await until(() => endsOf(id).length > 0);
    expect(runs.map((id) => endsOf(id).map(({ data }) => [data.state, data.cause]))).toEqual([
      [['done', null]],
      [['cached', null]],
      [['failed', 'ContentRejected']],
      [['failed', 'InvalidRequest']],
    ]);
    expect(endsOf(done.id)[0]?.data.video).toMatchObject({ url: result.video_url, sha256: result.sha256 });
    expect(new Set(runs.flatMap((id) => endsOf(id).map(({ id }) => id))).size).toBe(4);
    for (const id of runs) expect(receiver.taken(id)).toEqual([]);
  });

  test('that is away gets everything once it is back, in the order of the run, each under one id', async ({
    expect,
  }) => {
    const away = randomUUID();
    ends.meet(({ data }) => (data.workflow_id.includes(away) && isAway ? 503 : undefined));
    let isAway = true;
    stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: away, times: 2 });
    const starts = [1, 2].map((seed) =>
      stack.videos.start({ ...stack.request(away), seed, receiver: 'ends' }, { id: `${away}-${seed}` }),
    );
    const [{ id } = expect.unreachable()] = await Promise.all(starts);
    await until(async () => (await stack.videos.progress(id)).stage === 'needs_attention');
    const tried = (type: string) =>
      ends.deliveries.filter(({ event }) => event.data.workflow_id === id && event.type === type);
    await until(() => tried('run.needs_attention').length > 0);
    for (const seed of [1, 2]) await stack.videos.cancel(`${away}-${seed}`);
    await stack.videos.result(id).catch(() => undefined);
    expect(tried('run.ended')).toEqual([]); // it follows the first event
    isAway = false;
    await until(() => ends.taken(id).length === 2);
    expect(ends.taken(id).map(({ event }) => [event.type, event.data.state])).toEqual([
      ['run.needs_attention', 'needs_attention'],
      ['run.ended', 'cancelled'],
    ]);
    expect(new Set(tried('run.needs_attention').map((one) => one.id)).size).toBe(1);
  });

  test('that is a chat gets a text; a name that nobody has is refused before anything is bought', async ({
    expect,
  }) => {
    const { batch_id } = await batches.start({ lines: linesOf(1) }, { receiver: 'chat' });
    await batches.result(batch_id);
    await until(() => chat.deliveries.some(({ body }) => body.includes(batch_id)));
    const [{ body } = expect.unreachable()] = chat.deliveries.filter((one) => one.body.includes(batch_id));
    expect(JSON.parse(body)).toEqual({
      text: expect.stringMatching(/^Batch .* has ended: 1 of 1 lines have their video\.$/),
    });
    const prompt = randomUUID();
    const unknown = await stack.videos.start({ ...stack.request(prompt), receiver: 'nobody' });
    await expect(stack.videos.result(unknown.id)).rejects.toMatchObject({
      error: { type: 'InvalidRequest', issues: [{ path: 'receiver' }] },
    });
    const lost = await batches.start({ lines: linesOf(1, prompt) }, { receiver: 'nobody' });
    await expect(batches.result(lost.batch_id)).rejects.toMatchObject({ error: { type: 'InvalidRequest' } });
    expect(stack.emulator.state().tasks.filter((task) => task.prompt.includes(prompt))).toEqual([]);
    // An address is not a name.
    const address = { ...stack.request(prompt), receiver: 'https://example.com/x' };
    await expect(stack.videos.start(address)).rejects.toMatchObject({ issues: [{ path: 'receiver' }] });
  });
});
