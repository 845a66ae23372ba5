import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.js';
import { createFindDeadSlots } from '../../activities/slot-holders.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import type { HeldSlot } from '../../src/contract/slots.js';
import { buyOnce } from '../../src/ledger/buy.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { KEY, order, ROOT, setUp } from './ledger-setup.js';

test.each([
  ['that holds only its money', true, []],
  ['that holds its slot', false, [{ settled: false, paid: false }]],
])('a purchase %s and cannot be read keeps its money, because it may have been paid', async (_, slotIsFree, dead) => {
  const { deps, store, ledger, clock } = setUp();
  await buyOnce(deps, order());
  store.set(`${ROOT}/purchases/${KEY}/1/claim.json`, Buffer.from('{"v":1}'));
  const audited = {
    ledger: new Ledger({ store, scope: ledger.scope, now: clock.now }),
    clock,
    times: DEFAULT_TIMES,
    isRunOpen: async () => false,
  } as unknown as ActivityDeps;
  const holder = { key: KEY, afterPurchase: 0, sinceMs: 0, requesters: ['w'], slotIsFree } as unknown as HeldSlot;
  const audit = await new MockActivityEnvironment().run(createFindDeadSlots(audited), { holders: [holder] });
  expect(audit).toMatchObject({ dead, orphans: [] });
});
