import { expect, test, vi } from 'vitest';
import { startKeepers } from '../../workflows/slots/page-keeper.js';

const started: string[] = [];
const run = { workflowId: 'slots/dashscope/account', runId: 'first' };

vi.mock('@temporalio/workflow', async (original) => ({
  ...(await original<typeof import('@temporalio/workflow')>()),
  workflowInfo: () => run,
  // Seeded by the run that a reset one repeats.
  uuid4: () => 'a7c2',
  startChild: async (_type: unknown, { workflowId }: { workflowId: string }) => void started.push(workflowId),
}));

test('a reset run, which has another id, starts the keepers that the history names', async () => {
  const pages = [new Uint8Array([1]), new Uint8Array([2])];
  const before = await startKeepers(pages);
  run.runId = 'after the reset';
  expect(await startKeepers(pages)).toEqual(before);
  expect(before).toEqual(['slots/dashscope/account/page/a7c2/1', 'slots/dashscope/account/page/a7c2/2']);
  expect(started).toEqual([...before, ...before]);
});
