import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readPurchaseContext } from '../../activities/purchase-context.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { FileStore } from '../../src/storage/file-store.js';
import { ROOT } from '../support/root.js';

// store-v1 was written by the first form of the ledger, before intents kept the fingerprint of their key; store-v2
// before announcements had markers. Add a folder with each later form; never change one.
const KEY = 'e04f48174e0b1684d3ecfb07641198bfc6ac0f75473645d12ee3e79fd030e4e5';
const TASK = '7762ecd4-8ac9-4d32-bb75-ad54ac2ccf70';

async function ledgerOf(fixture: string, now: () => number = Date.now): Promise<Ledger> {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-fixture-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await cp(join(ROOT, 'test', 'fixtures', fixture), folder, { recursive: true });
  const scope = { provider: 'emulator', account: 'default' };
  return new Ledger({ store: new FileStore(folder), scope, now });
}

test('records of the first form are read: purchase, task, day and cache', async () => {
  const ledger = await ledgerOf('store-v1');
  const view = await ledger.findNewest(KEY);
  expect(view).toMatchObject({ purchase: { key: KEY, n: 1 }, state: { kind: 'closed', ending: { how: 'archived' } } });
  expect(view?.intent.key_fingerprint).toBeNull();
  expect(readPurchaseContext(view?.intent.memo).request.duration).toBe(4);
  expect(await ledger.findTask(TASK)).toMatchObject({ purchase_key: KEY, n: 1 });
  expect((await ledger.findCached(KEY))?.result).toMatchObject({ task_id: TASK, source: 'generated' });
  const days = [];
  for await (const day of ledger.listBills('2026-11-25')) days.push(day.billed_seconds);
  expect(days).toEqual([4]);
});

test('of a store without markers, what is open is found, what is over is marked, and then not read again', async () => {
  const nowMs = Date.UTC(2026, 10, 30, 10);
  const ledger = await ledgerOf('store-v2', () => nowMs);
  const openNow = async () => {
    const { open, damaged, unmarked } = await ledger.listOpen();
    expect(damaged).toEqual([]);
    const states = open.map(({ purchase: { key }, state, extraTasks }) => [key[0], state.kind, extraTasks.length]);
    return { states, unmarked: unmarked.map(({ purchase: { key } }) => key[0]), marks: unmarked };
  };
  const states = [
    ['b', 'claimed', 0],
    ['c', 'unclaimed', 0],
    ['d', 'not_created', 1],
    ['e', 'claimed', 0],
  ];
  const before = await openNow();
  expect(before).toMatchObject({ states, unmarked: ['a'] });
  await ledger.markSettled({ unmarked: before.marks });
  expect(await openNow()).toEqual({ states, unmarked: [], marks: [] });
  const bills = [];
  for await (const bill of ledger.listBills('2026-11-30')) bills.push([bill.task_id, bill.billed_seconds, bill.tenant]);
  expect(bills).toEqual([
    ['task-a', 4, 'film'],
    ['task-e', 5, 'film'],
  ]);
});
