import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkSweep } from '../../src/cli/doctor/check-temporal.js';
import { VideoRunError } from '../../src/client/run-error.js';
import { ensureSweepSchedule, SWEEP_SCHEDULE_ID, sweepScheduleId } from '../../src/client/sweep-schedule.js';
import { WorkflowType } from '../../src/contract/names.js';
import type { SweepReport } from '../../workflows/video/sweep-purchases.js';
import { command } from '../support/command.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    settings: { speed: 20 },
    // The worker's own look for orphans would be before a sweep on a busy machine.
    times: { ...QUICK_LEDGER, unknownForMs: 1_000, submitStartToCloseMs: 2_000, orphanCheckMs: 600_000 },
  });
});
afterAll(() => stack?.close());

const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
const stageOf = async (id: string) => (await stack.videos.progress(id)).stage;
const reaches = (id: string, stage: string) =>
  expect.poll(() => stageOf(id), { timeout: 30_000, interval: 50 }).toBe(stage);
const statusOf = async (id: string) => (await stack.client.workflow.getHandle(id).describe()).status.name;
const endsCancelled = async (id: string) => {
  const error = await stack.videos.result(id).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(VideoRunError);
  expect((error as VideoRunError).cancelled).toBe(true);
  expect(await statusOf(id)).toBe('CANCELLED');
};
/** The salvage that a cancelled run names. */
const salvageOf = async (id: string) =>
  /salvage\/\S+/.exec((await stack.videos.progress(id)).cancel?.outcome ?? '')?.[0] ?? '';

describe('a run that is cancelled after its purchase', () => {
  test('while rendering leaves its video to a salvage, and the same request is then a cache hit', async () => {
    const request = stack.request(`salvaged ${randomUUID()}`);
    const { id } = await stack.videos.start(request);
    await reaches(id, 'rendering');
    await stack.videos.cancel(id, 'no longer needed');
    await endsCancelled(id);
    const salvage = await salvageOf(id);
    await stack.client.workflow.getHandle(salvage).result();
    const result = await stack.videos.generate(request);
    expect(result.source).toBe('cache');
    expect(tasksOf(request.prompt).map(({ task_id }) => task_id)).toEqual([result.task_id]);
  });

  test('while archiving leaves its video to a salvage', async () => {
    const request = stack.request(`archiving ${randomUUID()}`);
    stack.emulator.queueFaults([
      { on: 'download', fault: 'status', status: 451, match: request.prompt },
      { on: 'download', fault: 'stall', match: request.prompt },
    ]);
    const { id } = await stack.videos.start(request);
    await reaches(id, 'archiving');
    await stack.client.workflow.getHandle(id).cancel();
    await endsCancelled(id);
    await stack.client.workflow.getHandle(await salvageOf(id)).result();
    expect((await stack.videos.generate(request)).source).toBe('cache');
    expect(tasksOf(request.prompt)).toHaveLength(1);
  });

  test('while its lost submit is reconciled leaves that to a salvage, too', async () => {
    const request = stack.request(`reconciled ${randomUUID()}`);
    stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: request.prompt });
    const { id } = await stack.videos.start(request);
    await reaches(id, 'reconciling');
    await Promise.all([stack.videos.cancel(id, 'both ways'), stack.client.workflow.getHandle(id).cancel()]);
    await endsCancelled(id);
    await stack.client.workflow.getHandle(await salvageOf(id)).result();
    expect((await stack.videos.generate(request)).source).toBe('cache');
    expect(tasksOf(request.prompt)).toHaveLength(1);
  });

  test('while the answer to its submit is lost looks in the ledger, and leaves what it finds to a salvage', async () => {
    const request = stack.request(`unanswered ${randomUUID()}`);
    stack.emulator.queueFaults({ on: 'submit', fault: 'delay', when: 'after', delay_ms: 4_000, match: request.prompt });
    const { id } = await stack.videos.start(request);
    await expect.poll(() => tasksOf(request.prompt).length, { timeout: 20_000, interval: 50 }).toBe(1);
    await stack.videos.cancel(id);
    await endsCancelled(id);
    expect((await stack.videos.progress(id)).cancel?.billed).toBeNull();
    await stack.client.workflow.getHandle(await salvageOf(id)).result();
    expect((await stack.videos.generate(request)).source).toBe('cache');
    expect(tasksOf(request.prompt)).toHaveLength(1);
  });

  test('twice and by both ways at once ends as Cancelled once', async () => {
    const { id } = await stack.videos.start(stack.request(`both ways ${randomUUID()}`));
    await reaches(id, 'rendering');
    const handle = stack.client.workflow.getHandle(id);
    await Promise.all([handle.cancel(), stack.videos.cancel(id, 'one'), stack.videos.cancel(id, 'two')]);
    await endsCancelled(id);
    expect((await stack.videos.progress(id)).stage).toBe('cancelled');
  });
});

test('a follower that is cancelled neither cancels nor stops the task of the run that bought it', async () => {
  const request = stack.request(`followed ${randomUUID()}`);
  stack.emulator.changeSettings({ slots: 0 });
  const buyer = await stack.videos.start(request);
  await reaches(buyer.id, 'queued');
  const follower = await stack.videos.start(request, { id: `follower/${randomUUID()}` });
  await reaches(follower.id, 'queued');
  await stack.videos.cancel(follower.id);
  await endsCancelled(follower.id);
  expect(tasksOf(request.prompt).map(({ status }) => status)).toEqual(['PENDING']);
  stack.emulator.changeSettings({ slots: 5 });
  expect((await stack.videos.result(buyer.id)).source).toBe('generated');
});

test('a run whose deadline passes fails as DeadlineExceeded, and its video is salvaged', async () => {
  const request = { ...stack.request(`late ${randomUUID()}`), duration: 15, deadline_seconds: 1 };
  const { id } = await stack.videos.start(request);
  const error = await stack.videos.result(id).catch((e: unknown) => e);
  expect(error).toMatchObject({ cancelled: false, error: { type: 'DeadlineExceeded' } });
  expect(await statusOf(id)).toBe('FAILED');
  await stack.client.workflow.getHandle(await salvageOf(id)).result();
  expect((await stack.videos.generate({ ...request, deadline_seconds: 60 })).source).toBe('cache');
});

test('a sweep salvages the purchase of a run that was terminated, and leaves those of live runs alone', async () => {
  const live = await stack.videos.start({ ...stack.request(`live ${randomUUID()}`), duration: 15 });
  const request = stack.request(`terminated ${randomUUID()}`);
  const lost = await stack.videos.start(request, { id: `used-again/${randomUUID()}` });
  await Promise.all([reaches(live.id, 'rendering'), reaches(lost.id, 'rendering')]);
  await stack.client.workflow.getHandle(lost.id).terminate('a test');
  // Another run uses its workflow id by now, and does not finish what it never bought.
  const other = await stack.videos.start({ ...stack.request(`other ${randomUUID()}`), duration: 15 }, { id: lost.id });
  const report = (await stack.client.workflow.execute(WorkflowType.sweepPurchases, {
    workflowId: `sweep/${randomUUID()}`,
    taskQueue: stack.config.taskQueues.generate,
    args: [],
  })) as SweepReport;
  expect(report).toEqual({ salvaged: [expect.stringMatching(/^salvage\//)], damaged: [] });
  await stack.client.workflow.getHandle(report.salvaged[0] ?? '').result();
  expect((await stack.videos.generate(request)).source).toBe('cache');
  expect(tasksOf(request.prompt)).toHaveLength(1);
  await Promise.all([live, other].map(({ id }) => stack.videos.result(id)));
});

test('status of a terminated run shows its task, and its video once that is salvaged', async () => {
  const { id } = await stack.videos.start({ ...stack.request(`cut off ${randomUUID()}`), duration: 15 });
  await reaches(id, 'rendering');
  await stack.client.workflow.getHandle(id).terminate('a test');
  const status = async () => JSON.parse((await command(['status', id, '--json'], { env: stack.env })).stdout);
  const cutOff = await status();
  expect(cutOff).toMatchObject({ status: 'terminated', stored: { state: 'claimed', task_id: expect.any(String) } });
  const { task_id, purchase } = cutOff.stored;
  expect(cutOff.task_id).toBe(task_id);
  await stack.client.workflow.execute(WorkflowType.sweepPurchases, {
    workflowId: `sweep/${randomUUID()}`,
    taskQueue: stack.config.taskQueues.generate,
    args: [],
  });
  await stack.client.workflow.getHandle(`salvage/${purchase}`).result();
  expect(await status()).toMatchObject({ status: 'terminated', stored: { state: 'archived', result: { task_id } } });
  const text = (await command(['status', id], { env: stack.env })).stdout;
  expect(text).toMatch(new RegExp(`\\ntask {6}${task_id}\\npurchase {2}${purchase}: archived\\nvideo {5}file:`));
});

test('the sweep’s schedule is made once, keeps a pause, and runs sweeps on the workers’ queue', async () => {
  const queue = stack.config.taskQueues.generate;
  expect(await ensureSweepSchedule(stack.client, queue)).toBe('created');
  const schedule = stack.client.schedule.getHandle(SWEEP_SCHEDULE_ID);
  await schedule.pause('a test');
  expect(await ensureSweepSchedule(stack.client, queue)).toBe('updated');
  expect((await schedule.describe()).state.paused).toBe(true);
  await schedule.trigger();
  await expect.poll(async () => (await schedule.describe()).info.recentActions.length).toBe(1);
  const [action] = (await schedule.describe()).info.recentActions;
  const run = stack.client.workflow.getHandle(action?.action.workflow.workflowId ?? '');
  expect(await run.result()).toMatchObject({ damaged: [] });
});

test("the sweep of another account's queue is a schedule of its own", async () => {
  const queue = `account-${randomUUID()}-generate`;
  const nowMs = Date.now();
  await expect(checkSweep(stack.client, queue, nowMs)).rejects.toThrow(
    `There is no schedule ${sweepScheduleId(queue)}`,
  );
  await ensureSweepSchedule(stack.client, stack.config.taskQueues.generate);
  expect(await ensureSweepSchedule(stack.client, queue)).toBe('created');
  expect(await checkSweep(stack.client, queue, nowMs)).toContain(sweepScheduleId(queue));
  const ours = await stack.client.schedule.getHandle(SWEEP_SCHEDULE_ID).describe();
  expect(ours.action).toMatchObject({ taskQueue: stack.config.taskQueues.generate });
});

describe('a task that changes behind our back', () => {
  test('CANCELED, was free and is bought again', async () => {
    const request = stack.request(`cancelled elsewhere ${randomUUID()}`);
    const { id } = await stack.videos.start({ ...request, duration: 15 });
    await reaches(id, 'rendering');
    stack.emulator.changeTask(tasksOf(request.prompt)[0]?.task_id ?? '', { status: 'CANCELED' });
    expect((await stack.videos.result(id)).task_id).toBe(tasksOf(request.prompt)[1]?.task_id);
    expect(tasksOf(request.prompt)).toHaveLength(2);
  });

  test('forgotten, ends the run as ResultExpired, and the next run buys again', async () => {
    const request = { ...stack.request(`forgotten ${randomUUID()}`), duration: 15 };
    const { id } = await stack.videos.start(request);
    await reaches(id, 'rendering');
    stack.emulator.changeTask(tasksOf(request.prompt)[0]?.task_id ?? '', { forgotten: true });
    await expect(stack.videos.result(id)).rejects.toMatchObject({ error: { type: 'ResultExpired' } });
    expect((await stack.videos.generate(request)).source).toBe('generated');
  });

  test('UNKNOWN for a moment, is watched on', async () => {
    const request = stack.request(`unknown ${randomUUID()}`);
    stack.emulator.queueFaults({ on: 'query', fault: 'unknown', match: request.prompt });
    expect((await stack.videos.generate(request)).source).toBe('generated');
    expect(tasksOf(request.prompt)).toHaveLength(1);
  });
});

test('a video that the store lost is fetched again from the provider, not bought again', async () => {
  const request = stack.request(`lost from the store ${randomUUID()}`);
  const first = await stack.videos.generate(request);
  await stack.store.delete(`videos/${first.task_id}.mp4`);
  const again = await stack.videos.generate(request);
  expect(again).toMatchObject({ task_id: first.task_id, sha256: first.sha256, source: 'cache' });
  expect(await stack.store.head(`videos/${first.task_id}.mp4`)).toMatchObject({ bytes: first.bytes });
  expect(tasksOf(request.prompt)).toHaveLength(1);
});

test('cache: refresh buys again once, cache: off always, and use finds the newest', async () => {
  const request = stack.request(`refreshed ${randomUUID()}`);
  const first = await stack.videos.generate(request);
  const refreshed = await stack.videos.generate({ ...request, cache: 'refresh' });
  expect(refreshed.task_id).not.toBe(first.task_id);
  expect((await stack.videos.generate(request)).task_id).toBe(refreshed.task_id);
  await stack.videos.generate({ ...request, cache: 'off' });
  await stack.videos.generate({ ...request, cache: 'off' });
  expect(tasksOf(request.prompt)).toHaveLength(4);
  expect((await stack.videos.generate(request)).task_id).toBe(refreshed.task_id);
});
