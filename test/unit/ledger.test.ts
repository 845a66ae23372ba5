import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { SubmitOutcome } from '../../src/dashscope/submit-outcome.js';
import { buyOnce, ensureClaim, type Order } from '../../src/ledger/buy.js';
import type { Clock } from '../../src/ledger/clock.js';
import { awaitPurchase } from '../../src/ledger/follow.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { DEFAULT_LEDGER_TIMES } from '../../src/ledger/times.js';
import { MemoryStore } from '../property/memory-store.js';

const KEY = 'ab'.repeat(32);
const START = Date.UTC(2026, 0, 1, 12);
const ROOT = 'ledger/emulator/default';

/** A clock that jumps over every sleep; only good where one thing happens at a time. */
function jumpingClock() {
  let nowMs = START;
  const clock: Clock & { advance(ms: number): void } = {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async (ms, signal) => {
      // A bound that is not reached must not move time: give the work a turn first.
      await new Promise((done) => setImmediate(done));
      if (signal?.aborted) throw signal.reason;
      nowMs += ms;
    },
    advance: (ms) => {
      nowMs += ms;
    },
  };
  return clock;
}

function setUp(outcome: SubmitOutcome | (() => SubmitOutcome) = { kind: 'accepted', taskId: 't1', requestId: 'r1' }) {
  const clock = jumpingClock();
  const store = new MemoryStore(clock.now);
  const ledger = new Ledger({ store, scope: { provider: 'emulator', account: 'default' }, now: clock.now });
  const posts: number[] = [];
  const provider = {
    createTask: async (body: { parameters: { seed: number } }) => {
      posts.push(body.parameters.seed);
      return typeof outcome === 'function' ? outcome() : outcome;
    },
    keyFingerprint: async () => 'f1',
  };
  const deps = { ledger, clock, times: DEFAULT_LEDGER_TIMES, provider: provider as never };
  return { clock, store, ledger, posts, deps };
}

function order(change: Partial<Order> = {}): Order {
  return {
    purchaseKey: KEY,
    cacheKey: KEY,
    cache: 'use',
    buyer: { workflowId: 'w1', firstRunId: 'r1' },
    firstStartedAtMs: START,
    attempt: 1,
    expects: { prompt: 'p', duration: 4, resolution: '720P', audio: false, image: { width: 16, height: 9 } },
    seed: null,
    tenant: null,
    memo: {},
    body: (seed) => ({ parameters: { seed } }) as never,
    ossResolve: false,
    ...change,
  };
}

test('a purchase leaves its records in the order recent, intent, task, claim', async () => {
  const { deps, store } = setUp();
  const bought = await buyOnce(deps, order());
  expect(bought).toMatchObject({ kind: 'bought', claim: 'claimed', task: { taskId: 't1', requestId: 'r1' } });
  expect([...store.objects.keys()]).toEqual([
    `${ROOT}/recent/2026-01-01T12/${KEY}-1.json`,
    `${ROOT}/purchases/${KEY}/1/intent.json`,
    `${ROOT}/tasks/t1.json`,
    `${ROOT}/purchases/${KEY}/1/claim.json`,
  ]);
});

test('a second run with the same request takes the task of the first and sends nothing', async () => {
  const { deps, posts } = setUp();
  await buyOnce(deps, order());
  const second = await buyOnce(deps, order({ buyer: { workflowId: 'w2', firstRunId: 'r2' } }));
  expect(second).toMatchObject({ kind: 'task', task: { taskId: 't1', purchase: { n: 1 } } });
  expect(posts).toHaveLength(1);
});

test('a refused submit is recorded, fails those who follow it, and lets a later run try anew', async () => {
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
  await expect(buyOnce(deps, order())).rejects.toBe(error);
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
  expect(await ensureClaim(ledger, bought.task)).toBe('claimed');
  expect(await ensureClaim(ledger, bought.task)).toBe('claimed');
  expect((await ledger.newest(KEY))?.state).toMatchObject({ kind: 'claimed', task: { task_id: 't1' } });
});
