import { expect, test } from 'vitest';
import { createFindOrphans } from '../../activities/find-orphans.js';
import { DAY_MS } from '../../src/contract/utc.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { planPurge } from '../../src/ledger/purge.js';
import { MemoryStore } from '../property/memory-store.js';
import { crowdKey } from '../support/crowd.js';
import { crowded, expectCostOfOpen, OPEN } from '../support/crowded-ledger.js';
import { intentFields, START } from './ledger-setup.js';

test.each([0, 1_000, 5_000])(
  'with %i closed purchases each operation asks for what is open, and for a page of each thousand names',
  expectCostOfOpen,
);

test('two hours without records, 1 % damaged ones, and lost markers: the rest is found, and nothing else is read', async () => {
  const { memory, store, ledger, deps, run } = await crowded(5_000);
  const recent = [...memory.objects.keys()].filter((key) => key.includes('/recent/'));
  const [lostHour = ''] = recent.map((key) => key.split('/')[4] ?? '');
  const inLostHours = new Set<string>();
  let unmarked = 0;
  for (const [index, key] of recent.entries()) {
    if (key.includes(`/recent/${lostHour}/`)) {
      inLostHours.add(key);
      await memory.delete(key);
    } else if (key.includes('~closed') && index % 100 === 1) {
      unmarked += 1;
      await memory.delete(key);
    }
  }
  const broken = Array.from({ length: OPEN }, (_, index) => index).filter((index) => index % 50 === 49);
  for (const index of broken) {
    memory.set(`ledger/emulator/default/purchases/${crowdKey(1_000_000 + index)}/1/claim.json`, Buffer.from('{"v":3}'));
  }
  store.take();
  const { orphans, damaged } = await run(createFindOrphans(deps));
  const lost = [...inLostHours].filter((key) => !key.includes('~closed') && !memory.objects.has(key));
  const lostOpen = Array.from({ length: OPEN }, (_, index) => crowdKey(1_000_000 + index)).filter((key) =>
    lost.some((name) => name.includes(key)),
  );
  expect(orphans).toHaveLength(OPEN - broken.length - lostOpen.length);
  expect(damaged).toHaveLength(broken.length);
  const listed = store.requests.filter(({ operation, key }) => operation === 'list' && key.includes('/purchases/'));
  expect(listed.length).toBeLessThanOrEqual(2 * OPEN + unmarked);
  store.take();
  expect((await ledger.listOpen()).unmarked).toEqual([]);
});

test('a purge keeps what is open in every account, and is not stopped by other files', async () => {
  const store = new MemoryStore(() => START);
  const names = ['a', 'a-b', 'a0', 'b', 'Z'];
  store.set('ledger/notes.txt', Buffer.from(''));
  store.set('ledger/emulator/notes.txt', Buffer.from(''));
  for (const [index, account] of names.entries()) {
    const ledger = new Ledger({ store, scope: { provider: 'emulator', account }, now: () => START });
    const purchase = { key: crowdKey(index), n: 1 };
    await ledger.openIntent(purchase, intentFields());
    await ledger.ensureClaim({ purchase, taskId: `t${index}`, requestId: null, keyFingerprint: null });
    store.set(`videos/t${index}.mp4`, Buffer.from('v'));
  }
  store.set('videos/t9.mp4', Buffer.from('v'));
  const plan = await planPurge(store, { by: 'age', olderThanMs: 0, areas: ['videos'] }, START + 40 * DAY_MS);
  expect(plan).toMatchObject({ keptOpen: names.length, items: [{ key: 'videos/t9.mp4' }] });
});
