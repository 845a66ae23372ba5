import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import type { VideoResult } from '../../src/contract/result.js';
import { VideoError } from '../../src/contract/video-error.js';
import { buyOnce } from '../../src/ledger/buy.js';
import { awaitPurchase } from '../../src/ledger/follow.js';
import { provesGone } from '../../src/ledger/proof.js';
import { derivedSeed, purchaseKeyOf } from '../../src/ledger/purchase-key.js';
import { resolveResult } from '../../src/ledger/resolve.js';
import { DEFAULT_LEDGER_TIMES } from '../../src/ledger/times.js';
import { videoKey } from '../../src/storage/keys.js';
import { intentFields, KEY, order, ROOT, START, setUp } from './ledger-setup.js';

const OTHER = { buyer: { workflowId: 'w2', firstRunId: 'r2' } };
const PURCHASE = { key: KEY, n: 1 };

async function bought(change = {}) {
  const world = setUp();
  const outcome = await buyOnce(world.deps, order(change));
  if (outcome.kind !== 'bought') throw new Error(outcome.kind);
  return { ...world, task: outcome.task };
}

async function archived() {
  const world = await bought();
  const { store, ledger, task } = world;
  store.set(videoKey('t1'), Buffer.from('video'));
  const { bytes, sha256 } = store.info(videoKey('t1'))!;
  const result = { video_url: 'file:v', task_id: 't1', bytes, sha256 } as VideoResult;
  await ledger.recordBill(task, { endTimeMs: START, billedSeconds: 4, resolution: '720P', audio: false });
  await ledger.finish(task, { how: 'archived', result, cacheKey: KEY });
  return { ...world, result };
}

test('a purchase leaves its records in the order recent, intent, claim, task', async () => {
  const { deps, store } = setUp();
  const bought = await buyOnce(deps, order());
  expect(bought).toMatchObject({ kind: 'bought', claim: 'claimed', task: { taskId: 't1', requestId: 'r1' } });
  expect([...store.objects.keys()]).toEqual([
    `${ROOT}/recent/2026-01-01T12/${KEY}-1.json`,
    `${ROOT}/purchases/${KEY}/1/intent.json`,
    `${ROOT}/purchases/${KEY}/1/claim.json`,
    `${ROOT}/tasks/t1.json`,
  ]);
});

test('a second run with the same request takes the task of the first and sends nothing', async () => {
  const { deps, posts } = setUp();
  await buyOnce(deps, order());
  const second = await buyOnce(deps, order({ buyer: { workflowId: 'w2', firstRunId: 'r2' } }));
  const boughtBy = { workflowId: 'w1', firstRunId: 'r1' };
  expect(second).toMatchObject({ kind: 'task', task: { taskId: 't1', purchase: { n: 1 }, boughtBy } });
  expect(posts).toHaveLength(1);
});

test('a refused submit is recorded, fails those who follow it, and lets a later run try again', async () => {
  const error = new VideoError(FailureType.ContentRejected, 'no', { code: 'DataInspectionFailed' });
  const { deps, posts } = setUp({ kind: 'rejected', error });
  await expect(buyOnce(deps, order())).rejects.toBe(error);
  expect(await awaitPurchase(deps, { key: KEY, n: 1 })).toMatchObject({
    kind: 'failed',
    error: { type: FailureType.ContentRejected, code: 'DataInspectionFailed', retryable: false },
  });
  await expect(buyOnce(deps, order())).rejects.toBe(error);
  expect(posts).toHaveLength(2);
});

test('a submit that was not sent is decided not created, and its retry is the next purchase with its own seed', async () => {
  const error = new VideoError(FailureType.ProviderThrottled, 'slow', { retryable: true, retryAfterMs: 3_000 });
  let first = true;
  const { deps, posts } = setUp(() => {
    if (!first) return { kind: 'accepted', taskId: 't2', requestId: undefined };
    first = false;
    return { kind: 'not_sent', error };
  });
  await expect(buyOnce(deps, order())).rejects.toMatchObject({ type: error.type, retryAfterMs: 3_300 });
  expect(await awaitPurchase(deps, { key: KEY, n: 1 })).toEqual({ kind: 'buy' });
  expect(await buyOnce(deps, order({ attempt: 2 }))).toMatchObject({ kind: 'bought', task: { purchase: { n: 2 } } });
  expect(new Set(posts).size).toBe(2);
});

test('an unknown outcome is never sent again, neither by its own retry nor by another run', async () => {
  const error = new VideoError(FailureType.SubmitOutcomeUnknown, 'lost');
  const { deps, posts } = setUp({ kind: 'unknown', error });
  expect(await buyOnce(deps, order())).toMatchObject({ kind: 'unknown', purchase: { n: 1 } });
  expect(await buyOnce(deps, order({ attempt: 2 }))).toMatchObject({ kind: 'unknown', purchase: { n: 1 } });
  const other = order({ buyer: { workflowId: 'w2', firstRunId: 'r2' } });
  expect(await buyOnce(deps, other)).toEqual({ kind: 'follow', purchase: { key: KEY, n: 1 } });
  expect(await awaitPurchase(deps, { key: KEY, n: 1 })).toEqual({ kind: 'reconcile', purchase: { key: KEY, n: 1 } });
  expect(posts).toHaveLength(1);
});

test('a task id that was read is returned although the store is away, and the claim is written later', async () => {
  const { deps, store, ledger } = setUp(() => {
    store.put = async () => {
      throw new VideoError(FailureType.StoreUnavailable, 'away', { retryable: true });
    };
    return { kind: 'accepted', taskId: 't1', requestId: 'r1' };
  });
  const put = store.put.bind(store);
  const bought = await buyOnce(deps, order());
  if (bought.kind !== 'bought') throw new Error(bought.kind);
  expect(bought.claim).toBe('unwritten');
  store.put = put;
  expect(await ledger.ensureClaim(bought.task)).toBe('claimed');
  expect(await ledger.ensureClaim(bought.task)).toBe('claimed');
  expect((await ledger.findNewest(KEY))?.state).toMatchObject({ kind: 'claimed', task: { task_id: 't1' } });
});

test('an archived purchase is the result of every later run, under any id', async () => {
  const { deps, posts, result, ledger } = await archived();
  expect(await buyOnce(deps, order(OTHER))).toMatchObject({ kind: 'archived', result });
  expect(await awaitPurchase(deps, PURCHASE)).toMatchObject({ kind: 'archived', result });
  expect((await ledger.findCached(KEY))?.result).toEqual(result);
  expect(posts).toHaveLength(1);
});

test('what was paid is recorded under the UTC day of its end, once', async () => {
  const { ledger, task } = await archived();
  await ledger.recordBill(task, { endTimeMs: START, billedSeconds: 4, resolution: '720P', audio: false });
  const days = [];
  for await (const day of ledger.listBills('2026-01-01')) days.push(day);
  expect(days).toMatchObject([{ task_id: 't1', billed_seconds: 4, workflow_id: 'w1' }]);
});

test('refresh takes a purchase only when its intent is younger than the run, else it buys the next', async () => {
  const { deps, posts } = await archived();
  const younger = order({ ...OTHER, cache: 'refresh', firstStartedAtMs: START - 1 });
  expect(await buyOnce(deps, younger)).toMatchObject({ kind: 'archived' });
  const older = order({ ...OTHER, cache: 'refresh', firstStartedAtMs: START + 1 });
  expect(await buyOnce(deps, older)).toMatchObject({ kind: 'bought', task: { purchase: { n: 2 } } });
  expect(posts).toHaveLength(2);
});

test('a vanished or changed video is fetched again within 24 hours, and bought again when that fails or is too late', async () => {
  for (const change of ['gone', 'changed'] as const) {
    const { deps, store, clock, posts } = await archived();
    if (change === 'gone') store.objects.delete(videoKey('t1'));
    else store.set(videoKey('t1'), Buffer.from('other'));
    expect(await buyOnce(deps, order(OTHER))).toMatchObject({ kind: 'restore', task: { taskId: 't1' } });
    clock.advance(DEFAULT_LEDGER_TIMES.resultLifeMs);
    expect(await buyOnce(deps, order(OTHER))).toMatchObject({ kind: 'bought', task: { purchase: { n: 2 } } });
    expect(posts).toHaveLength(2);
  }
  const { deps, store } = await archived();
  store.objects.delete(videoKey('t1'));
  const again = order({ ...OTHER, unrestorable: [PURCHASE] });
  expect(await buyOnce(deps, again)).toMatchObject({ kind: 'bought', task: { purchase: { n: 2 } } });
});

test.each(['cancelled', 'expired'] as const)(
  'a purchase that ended %s is bought again, also by those who followed it',
  async (how) => {
    const { deps, ledger, task } = await bought();
    await ledger.finish(task, { how });
    expect(await awaitPurchase(deps, PURCHASE)).toEqual({ kind: 'buy' });
    expect(await buyOnce(deps, order(OTHER))).toMatchObject({ kind: 'bought', task: { purchase: { n: 2 } } });
  },
);

test('a failed task fails its followers the same way, and the first ending is kept', async () => {
  const { deps, ledger, task } = await bought();
  const error = new VideoError(FailureType.TaskFailed, 'FAILED', {
    code: 'InternalError',
    taskId: 't1',
    billed: false,
  });
  await ledger.finish(task, { how: 'failed', error });
  expect(await ledger.finish(task, { how: 'cancelled' })).toMatchObject({ how: 'failed' });
  const { type, message, code, taskId, billed } = error;
  expect(await awaitPurchase(deps, PURCHASE)).toMatchObject({
    kind: 'failed',
    error: { type, message, code, taskId, billed },
  });
});

test('a paid result that was refused is not bought again, unless a later run wants another one', async () => {
  const { deps, ledger, task, posts } = await bought();
  const error = new VideoError(FailureType.ResultRejected, 'no video', { taskId: 't1', billed: true });
  await ledger.finish(task, { how: 'failed', error });
  const buyer = { workflowId: 'w2', firstRunId: 'r2' };
  const refused = { kind: 'failed', error: { type: 'ResultRejected', taskId: 't1', billed: false } };
  expect(await buyOnce(deps, order())).toMatchObject({ kind: 'failed', error: { billed: true } });
  expect(await buyOnce(deps, order({ buyer }))).toMatchObject(refused);
  // A reset or a repeated step of the run that bought it wants no other one.
  expect(await buyOnce(deps, order({ cache: 'refresh', firstStartedAtMs: START + 1_000 }))).toMatchObject({
    kind: 'failed',
  });
  expect(await buyOnce(deps, order({ buyer, cache: 'refresh', firstStartedAtMs: START - 1 }))).toMatchObject(refused);
  expect(posts).toHaveLength(1);
  await buyOnce(deps, order({ buyer, cache: 'refresh', firstStartedAtMs: START + 1_000 }));
  expect(posts).toHaveLength(2);
});

test('a person gives a paid result up, once, and never one that was archived or of another task', async () => {
  const { deps, ledger, task } = await bought();
  await expect(resolveResult(deps, task, { task_id: 'other' })).rejects.toMatchObject({ type: 'InvalidRequest' });
  await expect(resolveResult(deps, task, {} as never)).rejects.toMatchObject({ type: 'InvalidRequest' });
  expect(await resolveResult(deps, task, { task_id: 't1' })).toMatchObject({ kind: 'task' });
  for (let times = 0; times < 2; times += 1) {
    expect(await resolveResult(deps, task, { buy_again: true })).toEqual({ kind: 'buy' });
  }
  expect(await awaitPurchase(deps, PURCHASE)).toEqual({ kind: 'buy' });
  expect(await ledger.finish(task, { how: 'cancelled' })).toEqual({ how: 'abandoned' });
});

test.each([
  ['RUNNING', true],
  ['UNKNOWN', true],
  ['SUCCEEDED', true],
  ['FAILED', false],
  ['CANCELED', false],
  ['a query that is refused', true],
])(
  'a task that is given up is billed once with the figures of the request, unless it was free: %s',
  async (status, isBilled) => {
    const { deps, ledger, store, task } = await bought();
    const provider = {
      keyFingerprint: async () => 'f1',
      queryTask: async () => {
        if (status.includes(' ')) throw new VideoError(FailureType.CredentialsRejected, 'no');
        return { taskId: 't1', status, requestId: 'q' } as never;
      },
    };
    for (let times = 0; times < 2; times += 1) {
      expect(await resolveResult({ ...deps, provider }, task, { buy_again: true })).toEqual({ kind: 'buy' });
    }
    const { duration, resolution, audio } = (await ledger.findIntent(task)).expects;
    const bills = [...store.objects.keys()].filter((key) => key.includes('/days/')).map((key) => store.json(key));
    const bill = { task_id: 't1', billed_seconds: duration, resolution, audio, estimated: true };
    expect(bills).toEqual(isBilled ? [expect.objectContaining(bill)] : []);
  },
);

test('a task is not closed while the store does not show its claim', async () => {
  const { ledger, store, task } = await bought();
  const list = store.list.bind(store);
  store.list = async function* (prefix) {
    for await (const info of list(prefix)) if (!info.key.includes('/late/')) yield info;
  };
  await expect(ledger.finish({ ...task, taskId: 'another' }, { how: 'cancelled' })).rejects.toMatchObject({
    type: FailureType.StoreUnavailable,
    retryable: true,
    message: expect.stringContaining('does not show'),
  });
  expect([...store.objects.keys()].filter((key) => key.endsWith('closed.json'))).toEqual([]);
});

test('an id that arrives after not_created was decided is recorded next to it, found by time, and closed there', async () => {
  const { deps, ledger, store } = setUp(() => {
    void ledger.decideNotCreated(PURCHASE, { reason: 'none_found', failure: null });
    return { kind: 'accepted', taskId: 't1', requestId: 'r1' };
  });
  const outcome = await buyOnce(deps, order());
  expect(outcome).toMatchObject({ kind: 'bought', claim: 'extra', task: { taskId: 't1' } });
  expect((await ledger.findPurchase(PURCHASE))?.state.kind).toBe('not_created');
  expect((await ledger.listOpen()).open).toMatchObject([
    { purchase: PURCHASE, extraTasks: [{ task: { task_id: 't1' } }] },
  ]);
  // Nobody has bought the next one yet, so a later run takes it instead of buying.
  expect(await buyOnce(deps, order(OTHER))).toMatchObject({ kind: 'task', task: { taskId: 't1' } });
  expect(await awaitPurchase(deps, PURCHASE)).toMatchObject({ kind: 'task', task: { taskId: 't1' } });
  if (outcome.kind === 'bought') await ledger.finish(outcome.task, { how: 'cancelled' });
  expect(store.objects.has(`${ROOT}/purchases/${KEY}/1/late/t1~closed.json`)).toBe(true);
  expect((await ledger.listOpen()).open).toEqual([]);
});

test('a put that lost against itself has won, and one whose reply was lost as well', async () => {
  for (const fault of ['doubled', 'reply lost'] as const) {
    const { deps, store } = setUp();
    const put = store.put.bind(store);
    store.put = async (key, body, options) => {
      const first = await put(key, body, options);
      if (fault === 'doubled') return put(key, body, options);
      if (first.stored) throw new VideoError(FailureType.StoreUnavailable, 'lost', { retryable: true });
      return first;
    };
    expect(await buyOnce(deps, order())).toMatchObject({ kind: 'bought', claim: 'claimed' });
  }
});

test('a store that takes longer than five seconds to announce a purchase sends nothing', async () => {
  const { deps, store, clock, posts, ledger } = setUp();
  const put = store.put.bind(store);
  store.put = async (key, body, options) => {
    if (key.endsWith('intent.json')) clock.advance(DEFAULT_LEDGER_TIMES.postWithinMs + 1);
    return put(key, body, options);
  };
  await expect(buyOnce(deps, order())).rejects.toMatchObject({ type: FailureType.StoreUnavailable, retryable: true });
  expect(posts).toEqual([]);
  expect((await ledger.findPurchase(PURCHASE))?.state).toMatchObject({ notCreated: { reason: 'too_late' } });
});

test('a store that is slow gets all of the time that a submit has left to record that nothing was sent', async () => {
  const { deps, store, clock, posts, ledger } = setUp();
  const put = store.put.bind(store);
  store.put = async (key, body, options) => {
    if (key.endsWith('intent.json')) clock.advance(DEFAULT_LEDGER_TIMES.postWithinMs + 1);
    if (key.endsWith('claim.json')) for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    options?.signal?.throwIfAborted();
    return put(key, body, options);
  };
  // Of its time, 28 s, the submit has used 5: a bound of 3 s is over before the record is put, one of 22 s is not.
  const { sleep } = clock;
  clock.sleep = (ms, signal) =>
    ms < 20_000 ? sleep(ms, signal) : new Promise((_, reject) => signal?.addEventListener('abort', () => reject()));
  await expect(buyOnce(deps, order())).rejects.toMatchObject({ type: FailureType.StoreUnavailable, retryable: true });
  expect(posts).toEqual([]);
  expect((await ledger.findPurchase(PURCHASE))?.state).toMatchObject({ notCreated: { reason: 'too_late' } });
});

test('a step that has little time left does not outlive it to record that nothing was sent', async () => {
  const { deps, store, clock } = setUp();
  const put = store.put.bind(store);
  store.put = async (key, body, options) => {
    if (key.endsWith('intent.json')) clock.advance(DEFAULT_LEDGER_TIMES.postWithinMs + 1);
    return key.endsWith('claim.json') ? new Promise(() => undefined) : put(key, body, options);
  };
  const waits: number[] = [];
  const { sleep } = clock;
  clock.sleep = (ms, signal) => {
    waits.push(ms);
    return sleep(ms, signal);
  };
  const slow = { type: FailureType.StoreUnavailable, retryable: true };
  await expect(buyOnce(deps, order({ leftMs: () => 1_500 }))).rejects.toMatchObject(slow);
  expect(waits).toEqual([1_500]);
});

test('purchases of the last 25 hours are found by time, older and closed ones are not', async () => {
  const { ledger, clock, task } = await bought();
  clock.advance(25 * 3_600_000);
  expect((await ledger.listOpen()).open).toMatchObject([{ purchase: PURCHASE, state: { kind: 'claimed' } }]);
  clock.advance(3_600_000);
  expect((await ledger.listOpen()).open).toEqual([]);
  expect((await ledger.listOpen(30)).open).toHaveLength(1);
  await ledger.finish(task, { how: 'cancelled' });
  expect((await ledger.listOpen(30)).open).toEqual([]);
});

test('with cache off every run has a purchase key of its own, and a reset keeps it', () => {
  const buyer = { workflowId: 'w', firstRunId: 'r' };
  expect(purchaseKeyOf(KEY, 'use', buyer)).toBe(KEY);
  expect(purchaseKeyOf(KEY, 'refresh', buyer)).toBe(KEY);
  const own = purchaseKeyOf(KEY, 'off', buyer);
  expect(own).toMatch(/^[0-9a-f]{64}$/);
  expect(purchaseKeyOf(KEY, 'off', { ...buyer })).toBe(own);
  expect(new Set([KEY, own, purchaseKeyOf(KEY, 'off', { ...buyer, firstRunId: 's' })]).size).toBe(3);
});

test('a derived seed is the same for every attempt of one purchase, differs with n, and is one the provider takes', () => {
  const seeds = Array.from({ length: 50 }, (_, index) => derivedSeed({ key: KEY, n: index + 1 }));
  expect(derivedSeed(PURCHASE)).toBe(seeds[0]);
  expect(new Set(seeds).size).toBe(50);
  for (const seed of seeds) expect(seed >= 0 && seed <= 2_147_483_647 && Number.isInteger(seed)).toBe(true);
});

test('UNKNOWN under another key proves nothing until that key has seen a task bought with the first', async () => {
  const { deps, provider, snapshots, ledger, task } = await bought();
  const proved = () => provesGone({ ledger, provider: deps.provider }, task);
  expect(await proved()).toBe(true);
  provider.fingerprint = 'f2';
  expect(await proved()).toBe(false);
  const claim = { task_id: 't2', request_id: null, key_fingerprint: 'f1', found_by: 'submit' as const };
  const other = { key: 'cd'.repeat(32), n: 1 };
  await ledger.openIntent(other, intentFields());
  await ledger.claim(other, claim);
  expect(await proved()).toBe(false);
  snapshots.set('t2', { status: 'RUNNING' });
  expect(await proved()).toBe(true);
});

test('the shipped times keep the order that buying once rests on', () => {
  const t = DEFAULT_LEDGER_TIMES;
  expect(t.postWithinMs + t.postMs + t.claimMs).toBeLessThanOrEqual(30_000);
  expect(t.submitBoundMs).toBeGreaterThanOrEqual(2 * (t.postWithinMs + t.postMs));
  expect(t.emptySpanMs).toBeLessThanOrEqual(t.listEveryMs * t.emptyListings);
  expect(t.decideWithinMs).toBeLessThan(t.resultLifeMs);
  expect(t).toMatchObject({ postWithinMs: 5_000, postMs: 20_000, submitBoundMs: 60_000, decideWithinMs: 82_800_000 });
});
