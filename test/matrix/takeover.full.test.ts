import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Step } from './cells.js';
import { type ArrangedRun, arrangeAll, outcomeOf, releaseRuns } from './run-cells.js';
import { startWorld, type World } from './world.js';

let world: World;
beforeAll(async () => {
  world = await startWorld({ times: {} }); // the shipped ones
});
afterAll(() => world?.close());

/** Design target: a killed worker's run is taken up within this time. */
const TAKEN_UP_MS = 40_000;
/**
 * Steps that are held together. A reconciliation begins a minute after its submit, longer than the others' requests may
 * be held.
 */
const HELD: readonly (readonly Step[])[] = [
  ['upload', 'prepare', 'submit', 'follow', 'poll', 'archive'],
  ['reconcile', 'cancel'],
];

test.each(HELD.map((steps) => [steps.join(', '), steps] as const))(
  'with the shipped times another worker has taken up a killed one’s %s within 40 s',
  async (_, steps) => {
    const runs = await arrangeAll(world, steps);
    await world.worker.end('SIGKILL');
    const killedMs = Date.now();
    releaseRuns(world);
    const { pid } = await world.startWorker();
    const waiting = new Map(runs.map((run) => [run.step, run]));
    const taken: Partial<Record<Step, number>> = {};
    while (waiting.size > 0 && Date.now() - killedMs < 2 * TAKEN_UP_MS) {
      for (const [step, run] of waiting) {
        if (!(await isTakenUp(run, `${pid}@`))) continue;
        waiting.delete(step);
        taken[step] = Date.now() - killedMs;
      }
      await delay(200);
    }
    process.stdout.write(`taken up after (ms): ${JSON.stringify(taken)}\n`);
    expect(Object.keys(taken).sort()).toEqual([...steps].sort());
    expect(Math.max(...Object.values(taken))).toBeLessThanOrEqual(TAKEN_UP_MS);

    const came = await Promise.all(runs.map(async (run) => [run.step, await outcomeOf(world, run)]));
    const expected = steps.map((step) => [
      step,
      { end: step === 'cancel' ? 'cancelled' : 'completed', tasks: 1, billedSeconds: 4, archived: true },
    ]);
    expect(Object.fromEntries(came)).toEqual(Object.fromEntries(expected));
  },
  400_000,
);

/** Whether the run's step, or the run itself, is in the hands of the worker. */
async function isTakenUp({ id }: ArrangedRun, identity: string): Promise<boolean> {
  const handle = world.client.workflow.getHandle(id);
  const { raw } = await handle.describe();
  if (raw.pendingActivities?.some(({ lastWorkerIdentity }) => lastWorkerIdentity?.startsWith(identity))) return true;
  const { events } = await handle.fetchHistory();
  return (events ?? []).some(({ workflowTaskStartedEventAttributes, activityTaskStartedEventAttributes }) =>
    (workflowTaskStartedEventAttributes ?? activityTaskStartedEventAttributes)?.identity?.startsWith(identity),
  );
}
