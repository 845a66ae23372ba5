import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { expect, test } from 'vitest';
import { writeReport } from '../../src/batch/batch-files.js';
import { WanBatchClient } from '../../src/client/batch-client.js';
import type { BatchSummary } from '../../src/contract/batch.js';
import { noTotals } from '../../src/contract/batch-totals.js';
import { setUp } from './ledger-setup.js';

/** A Temporal whose retention period has passed for every run. */
const client = {
  workflow: {
    getHandle: (id: string) => ({
      describe: async () => {
        throw new WorkflowNotFoundError('workflow not found', id, undefined);
      },
    }),
  },
} as unknown as Client;

const summaryOf = (outcome: BatchSummary['outcome']): BatchSummary => ({
  batch_id: 'spring',
  outcome,
  ...noTotals({ total: 1, duplicate: 0, invalid: 0 }),
  started_at_ms: 1,
  ended_at_ms: 2,
  retry_of: null,
});

test.each([
  ['completed', 'completed'],
  ['cancelled', 'cancelled'],
  ['manifest_missing', 'completed'],
] as const)('a batch that Temporal has deleted and whose report says %s is %s', async (outcome, status) => {
  const { store } = setUp();
  const summary = summaryOf(outcome);
  await writeReport(store, summary);
  const batches = new WanBatchClient({ client, store });
  expect(await batches.status('spring')).toEqual({ batch_id: 'spring', status, progress: null, summary });
  await expect(batches.start({ lines: [] }, { id: 'spring' })).resolves.toMatchObject({ already_existed: true });
});

test('a batch that neither Temporal nor the store knows is not found', async () => {
  await expect(new WanBatchClient({ client, store: setUp().store }).status('spring')).rejects.toMatchObject({
    error: { type: 'RunNotFound', message: 'There is no batch spring' },
  });
});
