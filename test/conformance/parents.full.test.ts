import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensureNexusEndpoint } from '../../src/client/nexus-endpoint.js';
import { videoWorkflowId } from '../../src/contract/names.js';
import { requestFingerprint } from '../../src/contract/validate.js';
import { type ParentAnswer, type ParentProgram, startParent } from '../support/parent-program.js';
import { findPython, PYTHON_PART } from '../support/python.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';

// The parent workflows of docs/from-your-workflow.md in other languages: each end, before, in and after the submit. The
// hourly sweep never runs here. test/workflow/parents.full.test.ts has the same in TypeScript.

const python = await findPython('temporalio');
if (python === undefined) console.warn(`The parents in Python are skipped: ${PYTHON_PART}`);
const hasGo = (() => {
  try {
    execFileSync('go', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    if (process.env['REQUIRE_PARTS'] === '1') throw new Error('No go on PATH');
    console.warn('The parents in Go are skipped: no go on PATH');
    return false;
  }
})();
/** The example is compiled with the whole SDK. */
const BUILD_MS = 600_000;
const CALLERS = 'callers';
const SPEED = 20;
/** Within this a paid video is archived, however its parent ended. */
const ARCHIVED_MS = 120_000;
/** The stage of the run at each moment. */
const MOMENTS = { before: 'uploading', in: 'submitting', after: 'rendering' } as const;
const ENDS = ['timed out', 'cancelled', 'terminated', 'reset'] as const;
/** A parent that is to time out reaches every stage before, and the stage then lasts for longer. */
const TIMEOUT_S = 6;
const HELD_MS = 9_000;

describe.each([
  ['Python', python !== undefined],
  ['Go', hasGo],
])('a parent workflow in %s', (language, isThere) => {
  describe.skipIf(!isThere)('', () => {
    let stack: Stack;
    let callers: Client;
    let folder: string;
    let command: readonly [string, ...string[]];
    const running = new Set<ParentProgram>();

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'wan-video-parent-'));
      const examples = join(ROOT, 'docs', 'examples');
      if (language === 'Go') {
        const binary = join(folder, 'parent');
        execFileSync('go', ['build', '-o', binary, '.'], { cwd: join(examples, 'go-parent') });
        command = [binary];
      } else command = [python ?? '', join(examples, 'parent_in_python.py')];
      stack = await startStack({ settings: { speed: SPEED, slots: 20 }, times: { orphanCheckMs: 1_000 } });
      const address = stack.env['TEMPORAL_ADDRESS'] ?? '';
      await stack.client.workflowService.registerNamespace({
        namespace: CALLERS,
        workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
      });
      await ensureNexusEndpoint(stack.client, 'wan-video', stack.config.taskQueues.generate);
      callers = new Client({ connection: await Connection.connect({ address }), namespace: CALLERS });
    }, BUILD_MS);
    afterAll(async () => {
      for (const { process } of running) process.kill('SIGKILL');
      await callers?.connection.close();
      await stack?.close();
      await rm(folder, { recursive: true, force: true });
    });

    const start = (request: object, namespace?: string): ParentProgram => {
      const TEMPORAL_ADDRESS = stack.env['TEMPORAL_ADDRESS'] ?? '';
      const env = namespace === undefined ? {} : { TEMPORAL_NAMESPACE: namespace };
      const program = startParent(command, request, { TEMPORAL_ADDRESS, ...env });
      running.add(program);
      return program;
    };
    const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
    const paidOf = (prompt: string) => tasksOf(prompt).filter(({ status }) => status !== 'CANCELED');
    const archived = (taskId: string) =>
      expect
        .poll(() => stack.store.head(`videos/${taskId}.mp4`), { timeout: ARCHIVED_MS, interval: 100 })
        .toBeDefined();

    describe.each([
      { how: 'by a child workflow', type: 'Trailer', namespace: undefined },
      { how: 'by Nexus, from another namespace', type: 'TrailerByNexus', namespace: CALLERS },
    ])('$how', ({ type, namespace }) => {
      type Request = ReturnType<Stack['request']>;
      const isOperation = namespace !== undefined;
      const of = () => (isOperation ? callers : stack.client);
      /** The run that makes the video: the child of the parent, or the operation's. */
      const runOf = async (parent: string, request: Request): Promise<string> => {
        if (isOperation) return videoWorkflowId(requestFingerprint(request));
        const find = async () =>
          (await of().workflow.getHandle(parent).describe()).raw.pendingChildren?.[0]?.workflowId ?? '';
        await expect.poll(find, { timeout: 30_000, interval: 30 }).not.toBe('');
        return find();
      };
      const reaches = (id: string, stage: string) =>
        expect
          .poll(async () => (await stack.videos.progress(id).catch(() => undefined))?.stage, {
            timeout: 30_000,
            interval: 30,
          })
          .toBe(stage);

      // The worker of the parents that follow is that of a program whose own video does not come.
      beforeAll(async () => {
        const request = stack.request(`serves the others ${randomUUID()}`);
        stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms: 600_000, match: request.prompt });
        await start(request, namespace).workflowId;
      }, 60_000);

      test('gets its video, and a typed failure', async () => {
        const prompt = `a parent ${randomUUID()}`;
        const [video, failed] = await Promise.all([
          start(stack.request(prompt), namespace).answer,
          start({ ...stack.request('x'), duration: 99 }, namespace).answer,
        ]);
        expect(video).toEqual({ video_url: expect.stringMatching(/\.mp4$/), task_id: tasksOf(prompt)[0]?.task_id });
        expect(failed.failure).toMatchObject({ type: 'InvalidRequest', billed: false, issues: [{ path: 'duration' }] });
      });

      test('that is interrupted learns what became of the task', async () => {
        const request = { ...stack.request(`interrupted ${randomUUID()}`), duration: 15 };
        const parent = start(request, namespace);
        await reaches(await runOf(await parent.workflowId, request), 'rendering');
        parent.process.kill('SIGINT');
        const { cancelled } = await parent.answer;
        const [task] = tasksOf(request.prompt);
        expect(cancelled).toEqual({
          outcome: expect.stringMatching(/had started/),
          task_id: task?.task_id,
          billed: null,
          reason: null,
        });
        await archived(task?.task_id ?? '');
        expect(tasksOf(request.prompt)).toHaveLength(1);
      });

      describe.each(ENDS)('that is %s', (end) => {
        test.each(['before', 'in', 'after'] as const)(
          '%s the submit',
          async (when) => {
            const request = { ...stack.request(`${type} ${end} ${when} ${randomUUID()}`), duration: 15 };
            const { prompt } = request;
            const delay_ms = end === 'timed out' ? HELD_MS : 2_000;
            stack.emulator.changeSettings({ render_seconds: (SPEED * (end === 'timed out' ? HELD_MS : 3_000)) / 1000 });
            if (when === 'before') {
              stack.emulator.queueFaults([
                { on: 'policy', fault: 'status', status: 503, code: 'ModelUnavailable' },
                { on: 'policy', fault: 'delay', delay_ms },
              ]);
            }
            if (when === 'in') stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms, match: prompt });
            const { workflow } = of();
            const parent = await workflow.start<(input: Request) => Promise<ParentAnswer>>(type, {
              taskQueue: `trailers-in-${language.toLowerCase()}`,
              workflowId: `parent/${randomUUID()}`,
              args: [request],
              ...(end === 'timed out' && { workflowExecutionTimeout: TIMEOUT_S * 1000 }),
            });
            const id = await runOf(parent.workflowId, request);
            await reaches(id, MOMENTS[when]);

            if (end === 'cancelled') await parent.cancel();
            if (end === 'terminated') await parent.terminate('a test');
            if (end === 'reset') await reset(of(), parent.workflowId);

            const answer = await workflow
              .getHandle<(input: Request) => Promise<ParentAnswer>>(parent.workflowId)
              .result()
              .catch(() => undefined);
            const { status } = await workflow.getHandle(parent.workflowId).describe();
            expect(status.name).toBe(
              { 'timed out': 'TIMED_OUT', terminated: 'TERMINATED' }[end as string] ?? 'COMPLETED',
            );
            await stack.client.workflow
              .getHandle(id)
              .result()
              .catch(() => undefined);
            const paid = paidOf(prompt);
            // The caller knows what is billed, and that is so.
            if (end === 'cancelled') {
              const billed = paid.length > 0 ? null : false;
              expect(answer?.cancelled).toMatchObject({ outcome: expect.any(String), billed });
            } else if (end === 'reset') expect(answer).toMatchObject({ task_id: paid[0]?.task_id });
            expect(paid.length).toBeLessThanOrEqual(1);
            for (const { task_id } of paid) {
              await archived(task_id);
              expect(await stack.videos.generate(request)).toMatchObject({ task_id });
            }
            // An operation outlives its parent; a child that has bought nothing yet ends with it.
            const isMade = isOperation ? end !== 'cancelled' : end === 'reset';
            if (isMade || when === 'after') expect(paid).toHaveLength(1);
            if (!isMade && when === 'before') expect(tasksOf(prompt)).toHaveLength(0);
          },
          ARCHIVED_MS + 60_000,
        );
      });
    });
  });
});

async function reset({ options, workflow, workflowService }: Client, workflowId: string): Promise<void> {
  const { runId } = await workflow.getHandle(workflowId).describe();
  const { history } = await workflowService.getWorkflowExecutionHistory({
    namespace: options.namespace,
    execution: { workflowId, runId },
  });
  const first = history?.events?.find(({ workflowTaskCompletedEventAttributes: done }) => done != null);
  await workflowService.resetWorkflowExecution({
    namespace: options.namespace,
    workflowExecution: { workflowId, runId },
    workflowTaskFinishEventId: first?.eventId as never, // everything is done again
    reason: 'a test',
    requestId: randomUUID(),
  });
}
