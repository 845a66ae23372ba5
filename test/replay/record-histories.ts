// Run by `npm run record-histories`: leads real runs into every case and writes their histories.
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';
import { CASES, type ReplayCase, SUBMIT_START_TO_CLOSE_MS } from './cases.js';
import { endOf, stepsOf } from './history-facts.js';
import { type HistoryJson, pathOf, withoutMachine, writeHistory } from './history-file.js';

/** The cases run side by side; what they wait for is never a slot or a rate. */
const UNLIMITED = { WAN_VIDEO_SUBMIT_RATE: '1000', WAN_VIDEO_QUERY_RATE: '1000', WAN_VIDEO_MAX_RUNNING: '1000' };

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    settings: { speed: 12, slots: 100, submit_rate: 0, query_rate: 0 },
    times: { ...QUICK_LEDGER, unknownForMs: 1_000, submitStartToCloseMs: SUBMIT_START_TO_CLOSE_MS },
    env: { WAN_VIDEO_ALLOW_PRIVATE_URLS: '127.0.0.1', ...UNLIMITED },
  });
});
afterAll(() => stack?.close());

async function record({ reach, ends, steps, ...named }: ReplayCase): Promise<void> {
  const reached = await reach(stack);
  const [workflowId, runId] = typeof reached === 'string' ? [reached] : reached;
  const raw = await stack.client.workflow.getHandle(workflowId, runId).fetchHistory();
  const history = withoutMachine(JSON.parse(historyToJSON(raw)) as HistoryJson, stack.outputDir);
  expect(endOf(history)).toBe(ends);
  expect(stepsOf(history)).toEqual(expect.arrayContaining([...steps]));
  writeHistory(pathOf(named), history);
}

describe.concurrent('side by side', () => {
  test.each(CASES.filter(({ alone }) => !alone))('$workflow $name', record, 90_000);
});
describe('one after the other', () => {
  test.each(CASES.filter(({ alone }) => alone))('$workflow $name', record, 90_000);
});
