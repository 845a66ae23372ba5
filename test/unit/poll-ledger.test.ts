import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.js';
import { createPollTask } from '../../activities/poll-task.js';
import type { WatchedTask } from '../../activities/purchase-step.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { TaskSnapshot } from '../../src/dashscope/wire.js';
import { buyOnce } from '../../src/ledger/buy.js';
import { toFailureRecord } from '../../src/ledger/records.js';
import { deferred } from '../support/deferred.js';
import { order, ROOT, setUp } from './ledger-setup.js';

const DAY = `${ROOT}/days/2026-01-01`;
const lost = () => new VideoError(FailureType.StoreUnavailable, 'the store is away', { retryable: true });

/** A bought task that is watched until the test lets it end; what is bought can be changed before and meanwhile. */
async function watched(change: { readonly claim?: WatchedTask['claim']; readonly taskId?: string } = {}) {
  const world = setUp();
  const bought = await buyOnce(world.deps, order());
  if (bought.kind !== 'bought') throw new Error(`not bought but ${bought.kind}`);
  const task: WatchedTask = { ...bought.task, claim: 'claimed', ...change };
  const folder = `${ROOT}/purchases/${task.purchase.key}/1`;
  const end = deferred<TaskSnapshot>();
  const returned: unknown[] = [];
  const deps = {
    store: world.store,
    ledger: world.ledger,
    dashscope: world.provider,
    clock: world.clock,
    times: DEFAULT_TIMES,
    watcher: { watch: () => end.promise, eta: () => ({ earliestAtMs: 0, latestAtMs: 0, samples: 0 }) },
    slots: { budget: {}, releaseSlot: async (slot: unknown) => void returned.push(slot) },
    metrics: { detected: () => undefined },
  } as unknown as ActivityDeps;
  /** Polls: `meanwhile` happens after the ledger was read for the first time and before the task ends. */
  const poll = async (
    status: TaskSnapshot['status'],
    meanwhile: () => Promise<unknown> = async () => undefined,
    seen: Partial<TaskSnapshot> = {},
  ) => {
    const polling = new MockActivityEnvironment().run(createPollTask(deps), { task, until: 'ended' as const });
    for (let turns = 0; turns < 20; turns += 1) await new Promise((passed) => setImmediate(passed));
    await meanwhile();
    end.resolve({ taskId: task.taskId, status, requestId: 'q', endTimeMs: world.clock.now(), ...seen });
    return await polling;
  };
  return { ...world, task, folder, poll, returned, steps: deps };
}

test('a store that is away while the task renders delays nothing, and its end is recorded when the store is back', async () => {
  const { store, poll, task } = await watched();
  const list = store.list.bind(store);
  store.list = () => {
    throw lost();
  };
  const back = async () => {
    store.list = list;
  };
  expect(await poll('SUCCEEDED', back)).toMatchObject({ kind: 'succeeded' });
  expect(store.json(`${DAY}/${task.taskId}.json`)).toMatchObject({ task_id: task.taskId, n: 1 });
});

test('a damaged bill keeps no paid video from being archived: the figures seen go on, as an estimate', async () => {
  const { store, poll, task, returned } = await watched();
  store.set(`${DAY}/${task.taskId}.json`, Buffer.from('{"v":1}'));
  const usage = { duration: 4, sr: 720, audio: false };
  expect(await poll('SUCCEEDED', undefined, { usage })).toMatchObject({
    kind: 'succeeded',
    task: { billedSeconds: 4, resolution: '720P', audio: false, estimated: true },
  });
  // The money stays reserved until the ledger can say what was paid.
  expect(returned).toEqual([expect.not.objectContaining({ settled: expect.anything() })]);
});

test('a watch notices that a person has given the result up', async () => {
  const { ledger, clock, task, steps: deps } = await watched();
  const watching = deferred<{ readonly signal: AbortSignal; readonly onFault: (error: unknown) => void }>();
  const watch = (_: unknown, options: Awaited<typeof watching.promise>) => {
    watching.resolve(options);
    return new Promise((_resolve, reject) => options.signal.addEventListener('abort', () => reject(lost())));
  };
  const watcher = { ...deps.watcher, watch } as never;
  const polling = new MockActivityEnvironment().run(createPollTask({ ...deps, watcher }), {
    task,
    until: 'ended' as const,
  });
  const { onFault } = await watching.promise;
  await ledger.finish(task, { how: 'abandoned' });
  clock.advance(600_000);
  onFault(lost());
  expect(await polling).toEqual({ kind: 'abandoned' });
});

test('a task that is recorded next to its purchase after the ledger was read is closed there', async () => {
  const { store, ledger, poll, task, folder } = await watched({ taskId: 'second', claim: 'extra' });
  expect(store.json(`${folder}/claim.json`)).toMatchObject({ decision: { task_id: 't1' } });
  await poll('FAILED', () => ledger.ensureClaim(task));
  expect(store.json(`${folder}/late/second~closed.json`)).toMatchObject({ ending: { how: 'failed' } });
  expect(store.json(`${folder}/closed.json`)).toBeUndefined();
});

test('a task whose purchase was decided otherwise after the ledger was read is recorded next to it, and reported as an extra one', async () => {
  const { store, ledger, poll, task, folder, returned } = await watched({ claim: 'unwritten' });
  store.objects.delete(`${folder}/claim.json`);
  store.objects.delete(`${ROOT}/tasks/t1.json`);
  const put = store.put.bind(store);
  store.put = async () => {
    throw lost();
  };
  const end = await poll('SUCCEEDED', async () => {
    store.put = put;
    await ledger.decideNotCreated(task.purchase, { reason: 'too_late', failure: toFailureRecord(lost()) });
  });
  expect(end).toMatchObject({ kind: 'succeeded', task: { claim: 'extra' } });
  expect(returned).toEqual([{ key: task.purchase.key, n: 1 }]); // what was billed is settled by the other
  expect(store.json(`${folder}/late/t1.json`)).toMatchObject({ task_id: 't1' });
  expect(store.json(`${DAY}/t1.json`)).toMatchObject({ task_id: 't1' });
});

test('an ending that another run wrote while the task was watched is kept', async () => {
  const { store, ledger, poll, task, folder, returned } = await watched();
  expect(await poll('FAILED', () => ledger.finish(task, { how: 'cancelled' }))).toMatchObject({ kind: 'free' });
  expect(store.json(`${folder}/closed.json`)).toMatchObject({ ending: { how: 'cancelled' } });
  expect(returned).toEqual([{ key: task.purchase.key, n: 1, settled: { billed: null } }]);
});

const HOUR_MS = 3_600_000;
const paidDays = (store: { readonly objects: ReadonlyMap<string, unknown> }) =>
  [...store.objects.keys()].filter((key) => key.startsWith(`${ROOT}/days/`));

test('usage that the provider leaves out is that of the request: in the day record, and in what settles the budgets', async () => {
  const { store, poll, task, returned } = await watched();
  expect(await poll('SUCCEEDED')).toMatchObject({ task: { billedSeconds: 4, estimated: true } });
  const bill = { resolution: '720P', audio: false };
  expect(store.json(`${DAY}/${task.taskId}.json`)).toMatchObject({ billed_seconds: 4, estimated: true, ...bill });
  const billed = { day: '2026-01-01', seconds: 4, tenant: null, batch: null, ...bill };
  expect(returned).toEqual([{ key: task.purchase.key, n: 1, settled: { billed } }]);
});

test.each([
  ['before its submit', -HOUR_MS],
  ['in the future', 72 * HOUR_MS],
])('an end %s is an oddity, and our own clock decides the day of the bill', async (_what, byMs) => {
  const { store, poll, clock } = await watched();
  const odd = clock.now() + byMs;
  const end = await poll('SUCCEEDED', async () => undefined, { endTimeMs: odd, scheduledTimeMs: odd });
  expect(end).toMatchObject({
    task: { renderingSeconds: null, detectedSeconds: null, oddities: ['output.scheduled_time', 'output.end_time'] },
  });
  expect(paidDays(store)).toEqual([`${DAY}/t1.json`]);
});

test('a task that a first look has booked is not booked again by a look that reads another day', async () => {
  const first = await watched();
  const paid = { endTimeMs: first.clock.now(), billedSeconds: 4.04, resolution: '1080P', audio: true } as const;
  await first.ledger.recordBill(first.task, paid);
  first.clock.advance(13 * HOUR_MS);
  const end = await first.poll('SUCCEEDED', async () => undefined, { endTimeMs: undefined });
  expect(paidDays(first.store)).toEqual([`${DAY}/t1.json`]);
  expect(end).toMatchObject({ task: { billedSeconds: 4.04, resolution: '1080P', audio: true, estimated: undefined } });
  expect(first.returned).toMatchObject([{ settled: { billed: { day: '2026-01-01', seconds: 4.04 } } }]);
});

test('a video that was kept as a candidate is booked although the provider has deleted its task', async () => {
  const { store, poll, returned } = await watched();
  await store.put('candidates/t1.mp4', Buffer.from('video'));
  expect(await poll('UNKNOWN')).toMatchObject({ kind: 'succeeded', task: { billedSeconds: 4, estimated: true } });
  expect(paidDays(store)).toEqual([`${DAY}/t1.json`]);
  expect(returned).toMatchObject([{ settled: { billed: { seconds: 4 } } }]);
});

test.each<[string, object, object]>([
  [
    'waits: the list shows a task of its time that nobody has claimed',
    { taskId: 'another-id' },
    { type: 'ProviderUnavailable' },
  ],
  ['waits: the list shows it in another spelling', { taskId: 'T1' }, { type: 'ProviderUnavailable' }],
  [
    'has expired: the list shows others of another time',
    { taskId: 'another-id', createdAtMs: Date.UTC(2026, 0, 1, 2) },
    { kind: 'gone' },
  ],
])('a young task that the provider denies knowing %s', async (_what, row, expected) => {
  const { poll, rows, clock, folder, store } = await watched();
  rows.push({ taskId: '', status: 'RUNNING', createdAtMs: clock.now(), ...row });
  const end = await poll('UNKNOWN').catch((error: unknown) => error);
  expect(end).toMatchObject(expected);
  expect(store.json(`${folder}/closed.json`) !== undefined).toBe('kind' in expected);
});

test('a watch that gets no turn to archive its video leaves that to the next step', async () => {
  const { store, task, steps, clock } = await watched();
  const snapshot = { taskId: task.taskId, status: 'SUCCEEDED', requestId: 'q', endTimeMs: clock.now() };
  const { head } = store;
  store.head = (key) => (key.startsWith('videos/') ? new Promise(() => undefined) : head.call(store, key));
  const step = createPollTask({
    ...steps,
    times: { ...DEFAULT_TIMES, nextStepMs: 50 },
    watcher: { ...steps.watcher, watch: async () => snapshot },
  } as unknown as ActivityDeps);
  const input = { task, until: 'ended' as const };
  const watches = Array.from({ length: 33 }, () => new MockActivityEnvironment().run(step, input));
  expect(await Promise.race(watches)).toMatchObject({ kind: 'succeeded', task: { taskId: task.taskId } });
});
