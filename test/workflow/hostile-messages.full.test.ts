import { randomUUID } from 'node:crypto';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import {
  batchItemWorkflowId,
  batchWorkflowId,
  CANCEL_SIGNAL,
  ITEM_SIGNAL,
  PAUSE_SIGNAL,
  PROGRESS_QUERY,
  REQUEST_SLOT_SIGNAL,
  RESOLVE_SIGNAL,
  SLOT_SIGNAL,
  SLOTS_QUERY,
  slotsWorkflowId,
  WINDOW_SIGNAL,
} from '../../src/contract/names.js';
import type { AccountSlotsView } from '../../src/contract/slots.js';
import { freePort } from '../../src/dev/temporal-server.js';
import { HOSTILE_ARGUMENTS, SIGNALS, sendQuery, sendSignal } from '../support/hostile-messages.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';

// Messages of any program with access to the namespace: no run stops, and none does what a malformed one says.

const END = {
  item_id: 'one',
  outcome: 'generated',
  cause: null,
  code: null,
  message: null,
  run: 'batch/another/one',
  task_id: 'task',
  video_url: 'https://evil.example/v.mp4',
  sha256: '0'.repeat(64),
  billed: true,
  billed_seconds: 4,
  resolution: '720P',
  audio: false,
  duration: 4,
  timings: null,
  started_at_ms: 1,
  ended_at_ms: 2,
};

let stack: Stack;
let metricsAt: string;
beforeAll(async () => {
  metricsAt = `127.0.0.1:${await freePort()}`;
  stack = await startStack({
    // Nothing renders until there are slots, and nobody learns what became of a lost submit.
    settings: { slots: 0, list_refused: true },
    times: QUICK_LEDGER,
    env: { WAN_VIDEO_METRICS: metricsAt },
  });
});
afterAll(() => stack?.close());

const send = (workflowId: string, signalName: string, payloads: readonly Payload[]) =>
  sendSignal(stack.client, workflowId, signalName, payloads);

/** Sends an Update; returns its failure, and undefined when it was accepted. */
async function update(workflowId: string, name: string, payloads: readonly Payload[]): Promise<string | undefined> {
  const { outcome } = await stack.client.workflowService.updateWorkflowExecution({
    namespace: stack.client.options.namespace,
    workflowExecution: { workflowId },
    waitPolicy: { lifecycleStage: 3 },
    request: { meta: { updateId: randomUUID() }, input: { name, args: { payloads: [...payloads] } } },
  });
  return outcome?.failure?.applicationFailureInfo?.type ?? outcome?.failure?.message ?? undefined;
}

const reaches = (id: string, stage: string) =>
  expect
    .poll(async () => (await stack.client.workflow.getHandle(id).query<{ stage: string }>('progress')).stage, {
      timeout: 30_000,
      interval: 100,
    })
    .toBe(stage);

test('malformed and undecodable messages stop no workflow and have no effect, and are counted', async () => {
  const waiting = await stack.videos.start(stack.request(`waits ${randomUUID()}`));
  const lost = `lost reply ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: lost });
  const parked = await stack.videos.start(stack.request(lost));
  const { client, store, config } = stack;
  const batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
  const lines = [{ ...stack.request(`item ${randomUUID()}`), item_id: 'one' }];
  const { batch_id: batchId } = await batches.start({ lines });
  const { providerId, account } = config.provider;
  const slots = slotsWorkflowId(providerId, account);
  await reaches(waiting.id, 'queued');
  await reaches(parked.id, 'needs_attention');
  await reaches(batchItemWorkflowId(batchId, 'one'), 'queued');
  const targets = [waiting.id, parked.id, batchWorkflowId(batchId), batchItemWorkflowId(batchId, 'one'), slots];
  for (const id of targets) {
    for (const name of [...SIGNALS, 'noSuchSignal']) {
      await Promise.all(HOSTILE_ARGUMENTS.map((payloads) => send(id, name, payloads)));
    }
    await send(id, SLOT_SIGNAL, [defaultPayloadConverter.toPayload(null)]);
    // Well-formed, and of another batch.
    await send(id, ITEM_SIGNAL, [defaultPayloadConverter.toPayload(END)]);
  }
  // A malformed Update is refused for the one who sends it.
  for (const [id, name] of [
    [waiting.id, CANCEL_SIGNAL],
    [parked.id, RESOLVE_SIGNAL],
    [batchWorkflowId(batchId), PAUSE_SIGNAL],
    [batchWorkflowId(batchId), WINDOW_SIGNAL],
    [slots, REQUEST_SLOT_SIGNAL],
  ] as const) {
    for (const payloads of HOSTILE_ARGUMENTS) expect(await update(id, name, payloads)).toBe('MessageRefused');
  }
  // A query fails for its sender, also one that nobody answers; the SDK's own have no use for arguments.
  for (const id of targets) {
    for (const name of [PROGRESS_QUERY, SLOTS_QUERY, '__stack_trace', '__temporal_workflow_metadata', 'noSuchQuery']) {
      await Promise.all(HOSTILE_ARGUMENTS.map((payloads) => sendQuery(client, id, name, payloads).catch(String)));
    }
    const { events = [] } = await client.workflow.getHandle(id).fetchHistory();
    expect(events?.filter(({ workflowTaskFailedEventAttributes: failed }) => failed?.failure != null)).toEqual([]);
  }
  // Each query is answered after the messages before it.
  expect(await stack.videos.progress(waiting.id)).toMatchObject({ stage: 'queued', cancel: null });
  expect(await stack.videos.progress(parked.id)).toMatchObject({
    stage: 'needs_attention',
    attention: { refused: 'The decision names no task and does not say to buy again' },
  });
  expect(await batches.progress(batchId)).toMatchObject({ stage: 'running', in_flight: 1, pause: null, window: 10 });
  const ignored = (await (await fetch(`http://${metricsAt}/metrics`)).text())
    .split('\n')
    .filter((line) => line.startsWith('wan_video_messages_ignored_total{'));
  const counted = (...labels: string[]) =>
    ignored
      .filter((line) => labels.every((label) => line.includes(`"${label}"`)))
      .map((line) => line.split(' ').at(-1));
  expect(counted('videoGenerate', CANCEL_SIGNAL, 'malformed')).toEqual([`${4 * HOSTILE_ARGUMENTS.length}`]);
  expect(counted('videoBatch', PAUSE_SIGNAL, 'malformed')).toEqual([`${2 * HOSTILE_ARGUMENTS.length}`]);
  expect(counted('videoBatch', ITEM_SIGNAL, 'unexpected')).toEqual(['1']);
  stack.emulator.changeSettings({ slots: 5, list_refused: false });
  // What is well-formed is obeyed, now as before.
  await stack.videos.resolve(parked.id, { buy_again: true });
  expect(await stack.videos.result(waiting.id)).toMatchObject({ source: 'generated' });
  expect(await stack.videos.result(parked.id)).toMatchObject({ source: 'generated' });
  expect((await batches.result(batchId)).counts).toMatchObject({ total: 1, generated: 1 });
  await expect
    .poll(() => client.workflow.getHandle(slots).query<AccountSlotsView>(SLOTS_QUERY), { timeout: 20_000 })
    .toMatchObject({ limit: 5, holders: [], waiting: [] });
  expect(stack.emulator.state().submits).toBe(4);
}, 120_000);
