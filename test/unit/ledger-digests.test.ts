import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { HOUR_MS } from '../../src/contract/utc.js';
import { DIGEST_RULES } from '../../src/ledger/digest-rules.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { MemoryStore } from '../property/memory-store.js';
import { CountingStore } from '../support/counting-store.js';
import { intentFields, ROOT, START } from './ledger-setup.js';

const SCOPE = { provider: 'emulator', account: 'default' };
const DIGESTS = `${ROOT}/digests/2026-01-01T12/`;
/** Small worlds: an hour with more than four names is digested. */
const rules = { ...DIGEST_RULES, pageNames: 4 };
const keyOf = (index: number): string => index.toString(16).padStart(64, '0');
const purchaseOf = (index: number) => ({ key: keyOf(index), n: 1 });
const taskOf = (index: number) => ({
  purchase: purchaseOf(index),
  taskId: `t${index}`,
  requestId: null,
  keyFingerprint: null,
});

/** A ledger in which an hour has ten purchases, of which those with the numbers in `open` are open. */
async function busyHour({ open = [3, 7], showsClock = true, skewMs = 0 } = {}) {
  let nowMs = START;
  const memory = new MemoryStore(() => nowMs, { showsClock });
  const store = new CountingStore(memory);
  const ledger = () => new Ledger({ store, scope: SCOPE, now: () => nowMs + skewMs, rules });
  const buy = async (index: number) => {
    await ledger().openIntent(purchaseOf(index), intentFields());
    await ledger().ensureClaim(taskOf(index));
  };
  for (let index = 0; index < 10; index += 1) {
    await buy(index);
    if (!open.includes(index)) await ledger().finish(taskOf(index), { how: 'cancelled' });
  }
  const found = async () => (await ledger().listOpen()).open.map(({ purchase }) => Number.parseInt(purchase.key, 16));
  return {
    memory,
    store,
    ledger,
    buy,
    found,
    advance(ms: number) {
      nowMs += ms;
    },
    sweep: async () => ledger().markSettled(await ledger().listOpen()),
    digests: () =>
      [...memory.objects.keys()].filter((key) => key.includes('/digests/')).map((key) => key.split('/')[5]),
  };
}

test('an hour that is over is read by its digest, which shrinks as its purchases end', async () => {
  const { store, ledger, advance, sweep, found, digests, buy } = await busyHour();
  advance(HOUR_MS + 59 * 60_000);
  await sweep();
  expect(digests(), 'the hour is not over for an hour').toEqual([]);
  advance(60_000);
  await sweep();
  expect(digests()).toEqual([expect.stringMatching(/^\d+-2-/)]);
  await buy(20);
  store.take();
  expect(await found()).toEqual([3, 7, 20]);
  expect(store.requests.filter(({ key }) => key.endsWith('/recent/2026-01-01T12/'))).toEqual([]);
  // One digest, and two records of each open purchase.
  expect(store.take().get).toBe(1 + 2 * 3);
  await ledger().finish(taskOf(3), { how: 'cancelled' });
  await sweep();
  expect(digests().sort()).toEqual([expect.stringMatching(/^\d+-1-/), expect.stringMatching(/^\d+-2-/)]);
  await ledger().finish(taskOf(7), { how: 'cancelled' });
  await sweep();
  expect(await found()).toEqual([20]);
  store.take();
  await sweep();
  expect(store.take().put, 'nothing is written twice').toBeUndefined();
});

test.each([
  ['a store without a clock of its own', { showsClock: false }],
  ['a machine whose clock is behind', { skewMs: -3 * HOUR_MS }],
  ['a machine whose clock is ahead', { skewMs: 3 * HOUR_MS }],
])('%s digests nothing', async (_name, how) => {
  const { advance, sweep, digests, found } = await busyHour(how);
  advance(3 * HOUR_MS);
  await sweep();
  expect(digests()).toEqual([]);
  expect(await found()).toEqual([3, 7]);
});

test.each<[string, (key: string) => readonly [key: string, body: string] | undefined]>([
  ['is cut', (key) => [key, '{"kind":"digest"']],
  ['is empty', (key) => [key, '']],
  ['is of a later version', (key) => [key, '{"kind":"digest","v":2,"names":[]}']],
  ['is of another account', (key) => [key, '{"kind":"digest","v":1,"provider":"emulator","account":"b","names":[]}']],
  [
    'names less than its key says',
    (key) => [key, `{"kind":"digest","v":1,"provider":"emulator","account":"default","names":[]}`],
  ],
  [
    'names what is no announcement',
    (key) => [key, '{"kind":"digest","v":1,"provider":"emulator","account":"default","names":["a.json","b.json"]}'],
  ],
  ['is lost', () => undefined],
  ['was written by somebody else', () => [`${DIGESTS}notes.txt`, '']],
])('when a digest %s, its hour is listed, and nothing is hidden', async (_name, damage) => {
  const { memory, advance, sweep, digests, found } = await busyHour();
  advance(2 * HOUR_MS);
  await sweep();
  const key = DIGESTS + digests()[0];
  await memory.delete(key);
  const [damaged, body] = damage(key) ?? [];
  if (damaged !== undefined) memory.set(damaged, Buffer.from(body ?? ''));
  expect(await found()).toEqual([3, 7]);
});

test('what a digest names is found when the names of its hour are lost', async () => {
  const { memory, advance, sweep, buy, found } = await busyHour();
  advance(2 * HOUR_MS);
  await sweep();
  for (const key of [...memory.objects.keys()]) if (key.includes('/recent/')) await memory.delete(key);
  for (let index = 20; index < 25; index += 1) await buy(index);
  expect(await found()).toEqual([3, 7, 20, 21, 22, 23, 24]);
});

test('a purchase that is recorded hours after its announcement is named by the digest of that hour', async () => {
  const { store, ledger, memory, advance, sweep, found } = await busyHour();
  const intentOf = memory.set.bind(memory);
  // The process stops between its announcement and its intent.
  const late: (() => void)[] = [];
  memory.set = (key, ...rest) => {
    if (!key.endsWith(`${keyOf(50)}/1/intent.json`)) return intentOf(key, ...rest);
    late.push(() => intentOf(key, ...rest));
    return { stored: true };
  };
  await ledger().openIntent(purchaseOf(50), intentFields());
  advance(2 * HOUR_MS);
  await sweep();
  expect(await found()).toEqual([3, 7]);
  for (const land of late) land();
  store.take();
  expect(await found()).toEqual([3, 7, 50]);
  expect(store.requests.filter(({ key }) => key.endsWith('/recent/2026-01-01T12/'))).toEqual([]);
});

test('what is announced only after its hour was digested is not recorded, and nothing is sent for it', async () => {
  const { ledger, memory, advance, sweep, found } = await busyHour();
  const set = memory.set.bind(memory);
  /** The put of the next announcement takes effect two hours late. */
  const delayed = () => {
    memory.set = (key, ...rest) => {
      if (!key.includes('/recent/')) return set(key, ...rest);
      memory.set = set;
      advance(2 * HOUR_MS + 1);
      return set(key, ...rest);
    };
  };
  delayed();
  await expect(ledger().openIntent(purchaseOf(50), intentFields())).rejects.toMatchObject({
    type: FailureType.StoreUnavailable,
    retryable: true,
  });
  expect(memory.objects.has(`${ROOT}/purchases/${keyOf(50)}/1/intent.json`)).toBe(false);
  await sweep();
  // A second task of a purchase that is over is announced in the hour in which it is recorded.
  delayed();
  const second = { ...taskOf(1), taskId: 'second' };
  await expect(ledger().ensureClaim(second)).rejects.toMatchObject({ retryable: true });
  expect(await ledger().ensureClaim(second)).toBe('extra');
  await sweep();
  expect(await found()).toEqual(expect.arrayContaining([1, 3, 7]));
});

test('digests that were made while the clocks were ahead never count, also when that time has come', async () => {
  const { advance, sweep, buy, found, digests } = await busyHour();
  advance(3 * HOUR_MS);
  await sweep();
  expect(digests()).toHaveLength(1);
  advance(-2.5 * HOUR_MS);
  await buy(50);
  expect(await found()).toEqual([3, 7, 50]);
  await sweep();
  expect(digests()).toContain('revoked.json');
  advance(6 * HOUR_MS);
  expect(await found()).toEqual([3, 7, 50]);
  await sweep();
  expect(await found()).toEqual([3, 7, 50]);
});
