import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readPurchaseContext } from '../../activities/purchase-context.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { FileStore } from '../../src/storage/file-store.js';
import { ROOT } from '../support/root.js';

// Written by the first form of the ledger, before intents kept the fingerprint of their key. Add a folder with each
// later form; never change one.
const KEY = 'e04f48174e0b1684d3ecfb07641198bfc6ac0f75473645d12ee3e79fd030e4e5';
const TASK = '7762ecd4-8ac9-4d32-bb75-ad54ac2ccf70';

async function ledgerOf(fixture: string): Promise<Ledger> {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-fixture-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await cp(join(ROOT, 'test', 'fixtures', fixture), folder, { recursive: true });
  const scope = { provider: 'emulator', account: 'default' };
  return new Ledger({ store: new FileStore(folder), scope, now: Date.now });
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
