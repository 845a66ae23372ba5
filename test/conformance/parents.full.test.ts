import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VideoProgress } from '../../src/contract/result.js';
import { type ParentProgram, startParent } from '../support/parent-program.js';
import { findPython, PYTHON_PART } from '../support/python.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';

// The parent workflows of docs/from-your-workflow.md in other languages.

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

describe.each([
  ['Python', python !== undefined],
  ['Go', hasGo],
])('a parent workflow in %s', (language, isThere) => {
  describe.skipIf(!isThere)('', () => {
    let stack: Stack;
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
      stack = await startStack({ settings: { speed: 20 }, times: { orphanCheckMs: 1_000 } });
    }, BUILD_MS);
    afterAll(async () => {
      for (const { process } of running) process.kill('SIGKILL');
      await stack?.close();
      await rm(folder, { recursive: true, force: true });
    });

    const start = (request: object): ParentProgram => {
      const program = startParent(command, request, stack.env['TEMPORAL_ADDRESS'] ?? '');
      running.add(program);
      return program;
    };
    const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
    /** The child of a parent, once it is in a stage. */
    const childIn = async (parent: string, stage: string) => {
      const childId = async () =>
        (await stack.client.workflow.getHandle(parent).describe()).raw.pendingChildren?.[0]?.workflowId ?? '';
      await expect.poll(childId, { timeout: 30_000, interval: 50 }).not.toBe('');
      const child = stack.client.workflow.getHandle(await childId());
      const current = async () => (await child.query<VideoProgress>('progress').catch(() => undefined))?.stage;
      await expect.poll(current, { timeout: 30_000, interval: 50 }).toBe(stage);
      return child;
    };
    const archived = (taskId: string) =>
      expect.poll(() => stack.store.head(`videos/${taskId}.mp4`), { timeout: 60_000, interval: 100 }).toBeDefined();

    test('gets its video, and a typed failure', async () => {
      const prompt = `a parent ${randomUUID()}`;
      const [video, failed] = await Promise.all([
        start(stack.request(prompt)).answer,
        start({ ...stack.request('x'), duration: 99 }).answer,
      ]);
      expect(video).toEqual({ video_url: expect.stringMatching(/\.mp4$/), task_id: tasksOf(prompt)[0]?.task_id });
      expect(failed.failure).toMatchObject({ type: 'InvalidRequest', billed: false, issues: [{ path: 'duration' }] });
    });

    test('that is cancelled learns what became of the task', async () => {
      const prompt = `cancelled ${randomUUID()}`;
      const parent = start({ ...stack.request(prompt), duration: 15 });
      await childIn(await parent.workflowId, 'rendering');
      parent.process.kill('SIGINT');
      const { cancelled } = await parent.answer;
      const [task] = tasksOf(prompt);
      expect(cancelled).toEqual({
        outcome: expect.stringMatching(/had started/),
        task_id: task?.task_id,
        billed: null,
        reason: null,
      });
      await archived(task?.task_id ?? '');
      expect(tasksOf(prompt)).toHaveLength(1);
    });

    test.each(['before', 'in', 'after'])(
      'that is terminated %s the submit buys at most once, and keeps it',
      async (when) => {
        const prompt = `terminated ${when} ${randomUUID()}`;
        if (when === 'before') {
          stack.emulator.queueFaults([
            { on: 'policy', fault: 'status', status: 503, code: 'ModelUnavailable' },
            { on: 'policy', fault: 'delay', delay_ms: 2_000 },
          ]);
        }
        if (when === 'in') stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms: 2_000, match: prompt });
        const parent = start(stack.request(prompt));
        const child = await childIn(
          await parent.workflowId,
          { before: 'uploading', in: 'submitting', after: 'rendering' }[when] ?? '',
        );
        await stack.client.workflow.getHandle(await parent.workflowId).terminate('a test');
        await expect(child.result()).rejects.toThrow();
        const [task] = tasksOf(prompt);
        // A task that had not started is cancelled at the provider, free of charge.
        if (task !== undefined && task.status !== 'CANCELED') await archived(task.task_id);
        expect(tasksOf(prompt).length).toBe(when === 'before' ? 0 : 1);
        if (task !== undefined && task.status !== 'CANCELED') {
          expect(await stack.videos.generate(stack.request(prompt))).toMatchObject({ task_id: task.task_id });
        }
      },
    );

    test('that is reset has the video of its first child', async () => {
      const prompt = `reset ${randomUUID()}`;
      const parent = start(stack.request(prompt));
      const workflowId = await parent.workflowId;
      await childIn(workflowId, 'rendering');
      const { runId } = await stack.client.workflow.getHandle(workflowId).describe();
      await stack.client.workflowService.resetWorkflowExecution({
        namespace: stack.client.options.namespace,
        workflowExecution: { workflowId, runId },
        workflowTaskFinishEventId: 4 as never, // the first workflow task: everything is done again
        reason: 'a test',
        requestId: randomUUID(),
      });
      // The program ends with its first run, and its worker with it: others carry on with the new run.
      let isOver = false;
      const result = stack.client.workflow.getHandle(workflowId).result();
      const over = result.finally(() => {
        isOver = true;
      });
      while (!isOver) await Promise.race([start(stack.request(`another ${randomUUID()}`)).answer, over]);
      const answer = await result;
      expect(answer).toMatchObject({ task_id: tasksOf(prompt)[0]?.task_id });
      expect(tasksOf(prompt)).toHaveLength(1);
    });
  });
});
