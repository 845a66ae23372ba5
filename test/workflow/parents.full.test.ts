import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensureNexusEndpoint } from '../../src/client/nexus-endpoint.js';
import { videoWorkflowId } from '../../src/contract/names.js';
import { requestFingerprint } from '../../src/contract/validate.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import type { buy } from '../support/nexus-caller-workflow.js';
import { type Stack, startStack } from '../support/stack.js';

// Each end of a parent, before, in and after the submit of its video. The hourly sweep never runs here.

const CALLERS = 'callers';
/** Within this a paid video is archived, however its parent ended. */
const ARCHIVED_MS = 120_000;
/** The stage of the run at each moment. */
const MOMENTS = { before: 'uploading', in: 'submitting', after: 'rendering' } as const;
const ENDS = ['completed', 'cancelled', 'terminated', 'reset'] as const;

let stack: Stack;
const clients = new Map<string, Client>();
const workers: { readonly worker: Worker; readonly ended: Promise<void> }[] = [];
let connection: NativeConnection;

beforeAll(async () => {
  stack = await startStack({ settings: { speed: 20, slots: 20 }, times: { orphanCheckMs: 1_000 } });
  const address = stack.env['TEMPORAL_ADDRESS'] ?? '';
  await stack.client.workflowService.registerNamespace({
    namespace: CALLERS,
    workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
  });
  await ensureNexusEndpoint(stack.client, 'wan-video', stack.config.taskQueues.generate);
  connection = await NativeConnection.connect({ address });
  const workflowsPath = fileURLToPath(new URL('../support/nexus-caller-workflow.ts', import.meta.url));
  for (const namespace of ['default', CALLERS]) {
    clients.set(namespace, new Client({ connection: await Connection.connect({ address }), namespace }));
    const worker = await Worker.create({ connection, namespace, taskQueue: 'caller', workflowsPath });
    workers.push({ worker, ended: worker.run() });
  }
}, 2 * COMPILE_TIMEOUT_MS); // the callers' workflows are bundled twice

afterAll(async () => {
  for (const { worker } of workers) worker.shutdown();
  await Promise.all(workers.map(({ ended }) => ended));
  await connection?.close();
  for (const { connection: open } of clients.values()) await open.close();
  await stack?.close();
});

type Request = Parameters<typeof buy>[0];
const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);

/** The run that makes the video: the child of the parent, or the operation's. */
async function runOf(parent: WorkflowHandle, way: string, request: Request): Promise<string> {
  if (way === 'buy') return videoWorkflowId(requestFingerprint(request));
  const find = async () => (await parent.describe()).raw.pendingChildren?.[0]?.workflowId ?? '';
  await expect.poll(find, { timeout: 30_000, interval: 30 }).not.toBe('');
  return find();
}

async function reset({ client, workflowId }: WorkflowHandle): Promise<void> {
  const { namespace } = client.options;
  const { runId } = await client.getHandle(workflowId).describe();
  await client.workflowService.resetWorkflowExecution({
    namespace,
    workflowExecution: { workflowId, runId },
    workflowTaskFinishEventId: 3 as never, // the first workflow task: everything is done again
    reason: 'a test',
    requestId: randomUUID(),
  });
}

describe.each([
  { how: 'a child workflow', way: 'buyAsChild', namespace: 'default' },
  { how: 'a Nexus operation, from another namespace', way: 'buy', namespace: CALLERS },
])('the parent of $how', ({ way, namespace }) => {
  describe.each(ENDS)('that is %s', (end) => {
    test.each(['before', 'in', 'after'] as const)(
      '%s the submit',
      async (when) => {
        const request = stack.request(`${way} ${end} ${when} ${randomUUID()}`);
        const { prompt } = request;
        if (when === 'before') {
          stack.emulator.queueFaults([
            { on: 'policy', fault: 'status', status: 503, code: 'ModelUnavailable' },
            { on: 'policy', fault: 'delay', delay_ms: 2_000 },
          ]);
        }
        if (when === 'in') stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms: 2_000, match: prompt });
        const { workflow } = clients.get(namespace) as Client;
        const options = { taskQueue: 'caller', workflowId: `parent/${randomUUID()}`, args: [request] as [Request] };
        const parent = await workflow.start<typeof buy>(way, options);
        const id = await runOf(parent, way, request);
        const stage = async () => (await stack.videos.progress(id).catch(() => undefined))?.stage;
        await expect.poll(stage, { timeout: 30_000, interval: 30 }).toBe(MOMENTS[when]);

        if (end === 'completed') await parent.signal('end');
        if (end === 'cancelled') await parent.cancel();
        if (end === 'terminated') await parent.terminate('a test');
        if (end === 'reset') await reset(parent);

        const answer = await workflow
          .getHandle<typeof buy>(options.workflowId)
          .result()
          .catch(() => undefined);
        const run = stack.client.workflow.getHandle(id);
        await run.result().catch(() => undefined);
        const endedAtMs = Date.now();
        const paid = () => tasksOf(prompt).filter(({ status }) => status !== 'CANCELED');
        // The caller knows what is billed, and that is so.
        if (end === 'cancelled') {
          expect(answer?.cancelled).toMatchObject({
            outcome: expect.any(String),
            billed: paid().length > 0 ? null : false,
          });
        } else if (end === 'reset') expect(answer?.video).toMatchObject({ task_id: paid()[0]?.task_id });
        expect(paid().length).toBeLessThanOrEqual(1);
        for (const { task_id } of paid()) {
          const isArchived = () => stack.store.head(`videos/${task_id}.mp4`);
          await expect.poll(isArchived, { timeout: ARCHIVED_MS, interval: 100 }).toBeDefined();
          console.info(`${way} ${end} ${when}: archived ${Date.now() - endedAtMs} ms after the run's end`);
          expect(await stack.videos.generate(request)).toMatchObject({ task_id });
        }
        // An operation outlives its parent; a child that has bought nothing yet ends with it.
        const isMade = way === 'buy' ? end !== 'cancelled' : end === 'reset';
        if (isMade || when === 'after') expect(paid()).toHaveLength(1);
        if (!isMade && when === 'before') expect(tasksOf(prompt)).toHaveLength(0);
      },
      ARCHIVED_MS + 60_000,
    );
  });
});
