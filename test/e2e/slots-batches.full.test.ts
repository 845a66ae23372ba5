import { expect, test } from 'vitest';
import { readAccountSlots } from '../../src/client/account-slots.js';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { slotsWorkflowId } from '../../src/contract/names.js';
import type { EmulatorTask } from '../../src/emulator/index.js';
import { startWorkerProcess } from '../support/processes.js';
import { startStack } from '../support/stack.js';

const SLOTS = 5;
const ITEMS = 30;

test('two batches of thirty and an interactive request share five slots, also when the worker that runs the slots is killed', async () => {
  const stack = await startStack({
    // A render takes 1.5 s.
    settings: { speed: 20, render_seconds: 30, slots: 0 },
    worker: false,
  });
  const times = { heartbeatTimeoutMs: 3_000, heartbeatThrottleMs: 500, retryInitialMs: 200 };
  const batches = new WanBatchClient({
    client: stack.client,
    store: stack.store,
    taskQueue: stack.config.taskQueues.generate,
  });
  const tasks = () => stack.emulator.state().tasks;
  const until = (is: () => unknown, expected: unknown) =>
    expect.poll(is, { timeout: 60_000, interval: 50 }).toEqual(expected);
  const waiting = async () => (await readAccountSlots(stack.client, 'emulator', 'default'))?.waiting.length;
  try {
    // The first one alone begins the slots, so it is the one that runs them.
    const runsSlots = await startWorkerProcess(stack, times);
    // Five of nobody's batch hold every slot while both batches line up: none of them has a head start.
    const blocks = await Promise.all([1, 2, 3, 4, 5].map((n) => stack.videos.start(stack.request(`block ${n}`))));
    await until(() => tasks().length, SLOTS);
    const ids = await Promise.all(
      ['a', 'b'].map(async (name) => {
        const lines = Array.from({ length: ITEMS }, (_, n) => stack.request(`${name} ${n}`));
        return (await batches.start({ lines }, { id: name })).batch_id;
      }),
    );
    await until(waiting, 20); // the windows of both
    const survivor = await startWorkerProcess(stack, times);
    stack.emulator.changeSettings({ slots: SLOTS });
    await until(() => tasks().length >= SLOTS + 20, true);
    const asked = async (prompt: string) => {
      const before = tasks().length;
      const { id } = await stack.videos.start(stack.request(prompt));
      await stack.videos.result(id);
      return tasks().findIndex((task) => task.prompt === prompt) - before;
    };
    const ahead = [await asked('person')];
    const { runId } = await stack.client.workflow.getHandle(slotsWorkflowId('emulator', 'default')).describe();
    await runsSlots.end('SIGKILL');
    ahead.push(await asked('another person'));
    const replacement = await startWorkerProcess(stack, times);
    const reports = await Promise.all(ids.map((id) => batches.result(id)));
    await Promise.all(blocks.map(({ id }) => stack.videos.result(id)));
    expect(reports.map(({ counts }) => counts.generated)).toEqual([ITEMS, ITEMS]);

    const all = tasks();
    expect(all).toHaveLength(SLOTS + 2 * ITEMS + ahead.length);
    expect(new Set(all.map(({ prompt }) => prompt)).size).toBe(all.length);
    expect(mostAtOnce(all)).toBeLessThanOrEqual(SLOTS);
    // The next slot that comes free: only what had been granted before they asked may be submitted before them.
    expect(Math.max(...ahead)).toBeLessThanOrEqual(SLOTS);
    expect(furthestApart(all)).toBeLessThanOrEqual(SLOTS);
    const after = await stack.client.workflow.getHandle(slotsWorkflowId('emulator', 'default')).describe();
    expect({ status: after.status.name, runId: after.runId }).toEqual({ status: 'RUNNING', runId });
    await Promise.all([survivor, replacement].map((worker) => worker.end('SIGTERM')));
  } finally {
    await stack.close();
  }
}, 300_000);

/** Most tasks at the provider at the same time, those that it lets wait included. */
function mostAtOnce(tasks: readonly EmulatorTask[]): number {
  const edges = tasks.flatMap(({ submit_ms, end_ms }) => [
    { at: submit_ms, by: 1 },
    { at: end_ms ?? Number.POSITIVE_INFINITY, by: -1 },
  ]);
  let [now, most] = [0, 0];
  for (const { by } of edges.sort((a, b) => a.at - b.at || a.by - b.by)) {
    now += by;
    most = Math.max(most, now);
  }
  return most;
}

/** By how many submits one batch was ahead of the other at most, while both had items left. */
function furthestApart(tasks: readonly EmulatorTask[]): number {
  const left = { a: ITEMS, b: ITEMS };
  let most = 0;
  for (const { prompt } of tasks) {
    const batch = prompt.startsWith('a ') ? 'a' : prompt.startsWith('b ') ? 'b' : undefined;
    if (batch === undefined) continue;
    left[batch] -= 1;
    most = Math.max(most, Math.abs(left.a - left.b));
    if (left[batch] === 0) break;
  }
  return most;
}
