// Run by `npm run record-histories`: brings real runs into every case and writes their histories.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';
import { startReceiver, type WebhookReceiver, webhookFile } from '../support/webhook-receiver.js';
import { CASES, type ReplayCase, SUBMIT_START_TO_CLOSE_MS } from './cases.js';
import { endOf, stepsOf } from './history-facts.js';
import { type HistoryJson, pathOf, withoutMachine, writeHistory } from './history-file.js';
import { REFUSED } from './webhook-cases.js';

/** The cases run concurrently, and none of them waits for a slot or a rate. */
const UNLIMITED = { WAN_VIDEO_SUBMIT_RATE: '1000', WAN_VIDEO_QUERY_RATE: '1000', WAN_VIDEO_MAX_RUNNING: '1000' };

const newStack = (env: Record<string, string> = {}): Promise<Stack> =>
  startStack({
    settings: { speed: 12, slots: 100, submit_rate: 0, query_rate: 0 },
    times: { ...QUICK_LEDGER, unknownForMs: 1_000, submitStartToCloseMs: SUBMIT_START_TO_CLOSE_MS },
    // PATH has ffmpeg.
    env: { WAN_VIDEO_ALLOW_PRIVATE_URLS: '127.0.0.1', PATH: process.env['PATH'] ?? '', ...UNLIMITED, ...env },
  });
let plain: Stack;
let withWebhook: Stack;
let receiver: WebhookReceiver;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-record-'));
  receiver = await startReceiver();
  receiver.meet(({ data }) => (data.batch_id?.startsWith(REFUSED) ? 400 : undefined));
  plain = await newStack();
  withWebhook = await newStack({ WAN_VIDEO_WEBHOOK: await webhookFile(folder, receiver) });
});
afterAll(async () => {
  await plain?.close();
  await withWebhook?.close();
  await receiver?.close();
  await rm(folder, { recursive: true, force: true });
});

async function record({ reach, ends, steps, webhook, ...named }: ReplayCase): Promise<void> {
  const stack = webhook === true ? withWebhook : plain;
  const reached = await reach(stack);
  const [workflowId, runId] = typeof reached === 'string' ? [reached] : reached;
  const raw = await stack.client.workflow.getHandle(workflowId, runId).fetchHistory();
  const history = withoutMachine(JSON.parse(historyToJSON(raw)) as HistoryJson, stack.outputDir);
  expect(endOf(history)).toBe(ends);
  expect(stepsOf(history)).toEqual(expect.arrayContaining([...steps]));
  writeHistory(pathOf(named), history);
}

describe.concurrent('concurrently', () => {
  test.each(CASES.filter(({ alone }) => !alone))('$workflow $name', record, 90_000);
});
describe('one after the other', () => {
  test.each(CASES.filter(({ alone }) => alone))('$workflow $name', record, 90_000);
});
