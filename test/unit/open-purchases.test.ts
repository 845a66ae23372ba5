import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import type { Purchase } from '../../src/contract/purchase.js';
import { HOUR_MS } from '../../src/contract/utc.js';
import { VideoError } from '../../src/contract/video-error.js';
import { Ledger, type TaskEnd } from '../../src/ledger/ledger.js';
import { LedgerPaths } from '../../src/ledger/paths.js';
import { MemoryStore } from '../property/memory-store.js';
import { CountingStore } from '../support/counting-store.js';
import { intentFields, ROOT, START } from './ledger-setup.js';

const SCOPE = { provider: 'emulator', account: 'default' };
const RECENT = `${ROOT}/recent/2026-01-01T12`;

/** A ledger over a store that counts; another worker's ledger remembers nothing. */
function setUp() {
  let nowMs = START;
  const memory = new MemoryStore(() => nowMs);
  const store = new CountingStore(memory);
  const now = () => nowMs;
  const ledger = new Ledger({ store, scope: SCOPE, now });
  const advance = (ms: number) => {
    nowMs += ms;
  };
  return { memory, store, ledger, advance, elsewhere: () => new Ledger({ store, scope: SCOPE, now }) };
}

const keyOf = (index: number): string => index.toString(16).padStart(64, '0');
const purchaseOf = (index: number): Purchase => ({ key: keyOf(index), n: 1 });

async function buy(ledger: Ledger, index: number) {
  const purchase = purchaseOf(index);
  await ledger.openIntent(purchase, { ...intentFields(), cache_key: purchase.key });
  const task = { purchase, taskId: `t${index}`, requestId: null, keyFingerprint: null };
  await ledger.ensureClaim(task);
  return task;
}

const failed: TaskEnd = { how: 'failed', error: new VideoError(FailureType.TaskFailed, 'no') };

test.each<[string, TaskEnd]>([
  ['cancelled', { how: 'cancelled' }],
  ['expired', { how: 'expired' }],
  ['failed', failed],
])('a purchase that ended %s is marked next to its announcement, and is not read again', async (_name, end) => {
  const { ledger, store, memory, elsewhere } = setUp();
  await ledger.finish(await buy(ledger, 1), end);
  expect(memory.objects.has(`${RECENT}/${keyOf(1)}-1~closed.json`)).toBe(true);
  store.take();
  expect(await elsewhere().listOpen()).toEqual({ open: [], damaged: [], unmarked: [] });
  expect(store.take()).toEqual({ list: 1, all: 1 });
});

test('a purchase that created no task is marked', async () => {
  const { ledger, store } = setUp();
  await ledger.openIntent(purchaseOf(1), intentFields());
  await ledger.decideNotCreated(purchaseOf(1), { reason: 'none_found', failure: null });
  store.take();
  expect((await ledger.listOpen()).open).toEqual([]);
  expect(store.take()).toEqual({ list: 1, all: 1 });
});

test('a lost marker costs one listing of its purchase until it is repaired, and hides nothing', async () => {
  const { ledger, store, memory } = setUp();
  for (const index of [1, 2]) await ledger.finish(await buy(ledger, index), { how: 'cancelled' });
  await buy(ledger, 3);
  await memory.delete(`${RECENT}/${keyOf(1)}-1~closed.json`);
  store.take();
  const { open, unmarked } = await ledger.listOpen();
  expect(open).toMatchObject([{ purchase: purchaseOf(3) }]);
  expect(unmarked).toMatchObject([{ purchase: purchaseOf(1) }]);
  expect(store.take()).toEqual({ list: 3, get: 2, all: 5 });
  await ledger.markSettled({ unmarked });
  store.take();
  expect((await ledger.listOpen()).unmarked).toEqual([]);
  expect(store.take()).toEqual({ list: 2, get: 2, all: 4 });
});

test('a store that refuses the marker does not refuse the ending', async () => {
  const { ledger, memory } = setUp();
  const task = await buy(ledger, 1);
  const set = memory.put.bind(memory);
  memory.put = async (key, body, options) => {
    if (key.includes('~closed')) throw new VideoError(FailureType.StoreUnavailable, 'away', { retryable: true });
    return set(key, body, options);
  };
  expect(await ledger.finish(task, { how: 'cancelled' })).toEqual({ how: 'cancelled' });
  memory.put = set;
  const { open, unmarked } = await ledger.listOpen();
  expect(open).toEqual([]);
  await ledger.markSettled({ unmarked });
  expect((await ledger.listOpen()).unmarked).toEqual([]);
});

test('a task that is bought in addition to a closed and marked purchase is found, and marked with its end', async () => {
  const { ledger, store, advance, elsewhere } = setUp();
  await ledger.finish(await buy(ledger, 1), { how: 'cancelled' });
  advance(3 * HOUR_MS);
  const extra = { purchase: purchaseOf(1), taskId: 'second', requestId: null, keyFingerprint: null };
  expect(await ledger.ensureClaim(extra)).toBe('extra');
  const { open } = await elsewhere().listOpen();
  expect(open).toMatchObject([{ purchase: purchaseOf(1), extraTasks: [{ task: { task_id: 'second' } }] }]);
  await elsewhere().finish(extra, { how: 'cancelled' });
  store.take();
  expect(await ledger.listOpen()).toEqual({ open: [], damaged: [], unmarked: [] });
  expect(store.take()).toEqual({ list: 1, all: 1 });
});

test('a purchase announced in two hours, by a submit that began again, is over with one marker', async () => {
  const { ledger, store, memory, advance } = setUp();
  advance(HOUR_MS - 1_000);
  memory.set(`${RECENT}/${keyOf(1)}-1.json`, Buffer.from('{}'));
  advance(2_000);
  await ledger.finish(await buy(ledger, 1), { how: 'cancelled' });
  store.take();
  expect(await ledger.listOpen()).toEqual({ open: [], damaged: [], unmarked: [] });
  expect(store.take()).toEqual({ list: 1, all: 1 });
});

test('markers and announcements without a purchase, of any content, hide and invent nothing', async () => {
  const { ledger, memory } = setUp();
  await buy(ledger, 1);
  memory.set(`${RECENT}/${keyOf(2)}-1~closed.json`, Buffer.from('{'));
  memory.set(`${RECENT}/${keyOf(3)}-1.json`, Buffer.from('{"v":9}'));
  memory.set(`${RECENT}/${keyOf(4)}-1~late~t9.json`, Buffer.from(''));
  memory.set(`${RECENT}/${keyOf(1)}-1~later.json`, Buffer.from(''));
  memory.set(`${RECENT}/notes.txt`, Buffer.from(''));
  expect(await ledger.listOpen()).toMatchObject({ open: [{ purchase: purchaseOf(1) }], damaged: [], unmarked: [] });
});

test('damaged records and those of a later version are named, and the others are found', async () => {
  const { ledger, memory } = setUp();
  for (let index = 1; index <= 5; index += 1) await buy(ledger, index);
  memory.set(`${ROOT}/purchases/${keyOf(2)}/1/intent.json`, Buffer.from('{'));
  memory.set(`${ROOT}/purchases/${keyOf(4)}/1/claim.json`, Buffer.from('{"v":2}'));
  const { open, damaged } = await ledger.listOpen();
  expect(open.map(({ purchase: { key } }) => key)).toEqual([1, 3, 5].map(keyOf));
  expect(damaged.map(({ type, message }) => [type, message])).toEqual([
    [FailureType.RecordDamaged, expect.stringContaining(`${keyOf(2)}/1/intent.json`)],
    [FailureType.RecordDamaged, expect.stringContaining('version 2')],
  ]);
});

test.each([0, 1_000, 50_000])(
  'among %i closed purchases of a day, 100 open ones cost 100 readings and the pages of names',
  async (closed) => {
    const { ledger, store, memory, advance } = setUp();
    const paths = LedgerPaths.of(SCOPE);
    advance(-24 * HOUR_MS);
    for (let index = 0; index < closed; index += 1) {
      const atMs = START - 24 * HOUR_MS + Math.floor((index / closed) * 24) * HOUR_MS;
      const announcement = paths.announcement(purchaseOf(1_000_000 + index), atMs);
      memory.set(announcement, Buffer.from(''));
      memory.set(LedgerPaths.marker(announcement), Buffer.from(''));
    }
    for (let index = 0; index < 100; index += 1) {
      await buy(ledger, index);
      advance(0.24 * HOUR_MS);
    }
    store.take();
    const { open, damaged, unmarked } = await ledger.listOpen();
    expect([open.length, damaged.length, unmarked.length]).toEqual([100, 0, 0]);
    const pages = closed === 0 ? 1 : 1 + Math.ceil((2 * closed) / 1_000) + 25;
    const { all, get } = store.take();
    expect(get).toBe(200);
    expect(all).toBeLessThanOrEqual(300 + pages);
  },
);
