import type { Client } from '@temporalio/client';
import type { CancelOperationContext } from 'nexus-rpc';
import { expect, test } from 'vitest';
import { videoWorkflowId, WorkflowType } from '../../src/contract/names.js';
import { nexusServicesOf } from '../../src/worker/nexus-service.js';

const FINGERPRINT = 'f'.repeat(64);
const ID = videoWorkflowId(FINGERPRINT);
const memo = { fingerprint: FINGERPRINT };
const tokenOf = (token: object) => Buffer.from(JSON.stringify(token)).toString('base64url');

/** Cancels the operation of a token on a server on which every id names one workflow. */
async function cancel(token: string, described: { type: string; memo?: object }): Promise<string[]> {
  const cancelled: string[] = [];
  const getHandle = (id: string, runId?: string) => ({
    describe: async () => ({ ...described, runId: 'r' }),
    cancel: async () => void cancelled.push(`${id} ${runId}`),
  });
  const workflowService = { getSystemInfo: async () => ({ capabilities: { nexus: true } }) };
  const [service] = await nexusServicesOf({ workflow: { getHandle }, workflowService } as unknown as Client);
  const context = { service: 'wan-video', operation: 'generate', headers: {} } as unknown as CancelOperationContext;
  await service!
    .getOperationHandler('generate')
    .cancel(context, token)
    .catch((error: unknown) => {
      expect(error).toMatchObject({ type: 'BAD_REQUEST' });
    });
  return cancelled;
}

test.each([ID, `${ID}/a-request`])('the token of an operation cancels its run: %s', async (wid) => {
  const run = { type: WorkflowType.videoGenerate, memo };
  expect(await cancel(tokenOf({ t: 1, ns: 'default', wid }), run)).toEqual([`${wid} r`]);
});

test.each<[string, string, { type: string; memo?: object }]>([
  ['a workflow of the same namespace', 'payroll', { type: 'payroll' }],
  ['the slots', 'slots/p/a', { type: WorkflowType.accountSlots }],
  ['a batch', 'batch/b', { type: WorkflowType.videoBatch, memo }],
  ['a line of a batch', 'batch/b/1', { type: WorkflowType.videoGenerate }],
  ['a run with the id of another request', `${ID}0`, { type: WorkflowType.videoGenerate, memo }],
])('a token that names %s is refused, and cancels nothing', async (_, wid, run) => {
  expect(await cancel(tokenOf({ t: 1, ns: 'default', wid }), run)).toEqual([]);
});

test.each(['', 'x', tokenOf({ t: 2, ns: 'default', aid: 'a', wid: ID }), tokenOf({ t: 1, ns: 'default', wid: 1 })])(
  'what is no token is refused: %s',
  async (token) => {
    expect(await cancel(token, { type: WorkflowType.videoGenerate, memo })).toEqual([]);
  },
);
