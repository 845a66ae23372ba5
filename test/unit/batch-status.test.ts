import { type Client, type WorkflowClientInterceptor, WorkflowNotFoundError } from '@temporalio/client';
import proto from '@temporalio/proto';
import { expect, test } from 'vitest';
import { readReport, writeReport } from '../../src/batch/batch-files.js';
import { WanBatchClient } from '../../src/client/batch-client.js';
import type { BatchSummary } from '../../src/contract/batch.js';
import { noTotals } from '../../src/contract/batch-totals.js';
import { batchStatusText } from '../../src/text/batch.js';
import { setUp } from './ledger-setup.js';

const { DescribeWorkflowExecutionResponse } = proto.temporal.api.workflowservice.v1;
const { WorkflowExecutionStatus } = proto.temporal.api.enums.v1;

/** A Temporal that describes every batch in this way. */
const describing = (describe: WorkflowClientInterceptor['describe'], rest: object = {}): Client =>
  ({
    connection: {},
    workflow: {},
    options: { namespace: 'default', interceptors: { workflow: [{ describe }] } },
    ...rest,
  }) as never;

/** A Temporal whose retention period has passed for every run. */
const client = describing(async ({ workflowExecution: { workflowId } }) => {
  throw new WorkflowNotFoundError('workflow not found', workflowId ?? '', undefined);
});

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

test('a run that its paused schedule has stopped replaces no report of an earlier one, and a later one replaces its', async () => {
  const { store } = setUp();
  const reported = async (outcome: BatchSummary['outcome']) => {
    await writeReport(store, summaryOf(outcome));
    return (await readReport(store, 'spring'))?.outcome;
  };
  expect(await reported('schedule_paused')).toBe('schedule_paused');
  expect(await reported('completed')).toBe('completed');
  expect(await reported('schedule_paused')).toBe('completed');
});

test('a batch that neither Temporal nor the store knows is not found', async () => {
  await expect(new WanBatchClient({ client, store: setUp().store }).status('spring')).rejects.toMatchObject({
    error: { type: 'RunNotFound', message: 'There is no batch spring' },
  });
});

/** A Temporal that shows a batch, whose workflow answers with the stage that it was last in. */
const showing = (status: 'RUNNING' | 'TERMINATED'): Client => {
  const workflowExecutionInfo = {
    execution: { workflowId: 'batch/spring', runId: 'r' },
    type: { name: 'videoBatch' },
    status: WorkflowExecutionStatus[`WORKFLOW_EXECUTION_STATUS_${status}`],
    startTime: { seconds: 1 },
  };
  return describing(async () => DescribeWorkflowExecutionResponse.fromObject({ workflowExecutionInfo }), {
    withDeadline: (_deadline: number, call: () => Promise<unknown>) => call(),
    workflow: {
      getHandle: () => ({
        query: async () => ({ ...summaryOf('completed'), stage: 'running', in_flight: 3, waiting: 4, attention: [] }),
      }),
    },
  });
};

test('a running batch is shown although the store is away, as after a pause that arrived', async () => {
  const { store } = setUp();
  store.get = () => Promise.reject(new Error('the store is away'));
  const status = await new WanBatchClient({ client: showing('RUNNING'), store }).status('spring');
  expect(status).toMatchObject({ status: 'running', progress: { stage: 'running' }, summary: null });
});

test('a terminated batch says so, regardless of the stage that its workflow was in, and how to go on', async () => {
  const batches = new WanBatchClient({ client: showing('TERMINATED'), store: setUp().store });
  const text = batchStatusText(await batches.status('spring'));
  expect(text).toMatch(/^status {4}terminated$/m);
  expect(text).toMatch(/the batch was terminated in Temporal/);
  expect(text).toMatch(/wan-video batch failed spring/);
  expect(text).not.toMatch(/running|eta|window/);
});
