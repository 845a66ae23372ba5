import { expect, test } from 'vitest';
import { costBetween } from '../../src/cli/cost.js';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { MemoryStore } from '../property/memory-store.js';
import { CountingStore } from '../support/counting-store.js';
import { intentFields, ROOT, START } from './ledger-setup.js';

const SCOPE = { provider: 'emulator', account: 'default' };
const DAY = '2026-01-01';
const BILLS = `${ROOT}/days/${DAY}`;

/** A ledger with the bills of one day, each of as many seconds as its index says, in turn. */
async function setUp(bills: number) {
  const memory = new MemoryStore(() => START);
  const store = new CountingStore(memory);
  const ledger = new Ledger({ store, scope: SCOPE, now: () => START });
  for (let index = 0; index < bills; index += 1) {
    const purchase = { key: index.toString(16).padStart(64, '0'), n: 1 };
    const memo = {
      batch_id: `b${index % 3}`,
      labels: { scene: index % 2, note: 'y'.repeat(400) },
      prompt: 'x'.repeat(1_000),
    };
    await ledger.openIntent(purchase, { ...intentFields(), tenant: `t${index % 5}`, memo });
    const task = { purchase, taskId: `Task-${index}`, requestId: null, keyFingerprint: null };
    await ledger.ensureClaim(task);
    const billedSeconds = (index % 15) + 1;
    await ledger.recordBill(task, { endTimeMs: START, billedSeconds, resolution: '720P', audio: index % 2 === 0 });
  }
  store.take();
  const report = (by: 'tenant' | 'batch' | 'label') => costBetween(ledger, [DAY], { by });
  const reports = async () => JSON.stringify([await report('tenant'), await report('batch'), await report('label')]);
  return { memory, store, ledger, reports };
}

const keysOf = (memory: MemoryStore, part: string) => [...memory.objects.keys()].filter((key) => key.includes(part));

test('bills are repeated in statements by the sweep, and then a day costs its names and its statements', async () => {
  const { memory, store, ledger, reports } = await setUp(800);
  const before = await reports();
  expect(store.take().get).toBe(3 * 800);
  expect(await ledger.writeStatements()).toEqual([]);
  const statements = keysOf(memory, '/statements/').length;
  expect(statements).toBeLessThan(10);
  for (const key of keysOf(memory, '/statements/'))
    expect(memory.objects.get(key)?.body.toString()).not.toContain('xxxx');
  store.take();
  expect(await reports()).toBe(before);
  expect(store.take()).toEqual({ list: 3 * 2, get: 3 * statements, all: 3 * (2 + statements) });
  // Nothing is left to repeat, and a handful is not worth it.
  await ledger.writeStatements();
  expect(store.take().put).toBeUndefined();
});

test('the bill of a day is exact although anything is lost: statements, their contents, bills that a statement repeats', async () => {
  const { memory, ledger, reports } = await setUp(1_200);
  const before = await reports();
  await ledger.writeStatements();
  await ledger.writeStatements();
  const [first, second, ...others] = keysOf(memory, '/statements/');
  expect(others.length).toBeGreaterThan(0);
  await memory.delete(first!);
  for (const body of ['{', '{"v":2,"kind":"statement"}', '[]']) {
    memory.set(second!, Buffer.from(body));
    expect(await reports()).toBe(before);
  }
  const foreign = { ...memory.json(others[0]!), account: 'somebody' };
  memory.set(second!, Buffer.from(JSON.stringify(foreign)));
  expect(await reports()).toBe(before);
  // Two sweeps at once repeat the same bills in pages of their own.
  await ledger.writeStatements();
  const lost = memory.json(others[0]!)!['bills'] as { task_id: string }[];
  for (const { task_id } of lost.slice(0, 50)) {
    await memory.delete(`${BILLS}/${task_id.replace('T', '~54')}.json`);
  }
  for (const { task_id } of lost.slice(50, 90)) {
    memory.set(`${BILLS}/${task_id.replace('T', '~54')}.json`, Buffer.from('{'));
  }
  expect(await reports()).toBe(before);
});

test('a damaged bill is named and counts as what was requested; without its request, as the largest', async () => {
  const { memory, ledger } = await setUp(100);
  memory.set(`${BILLS}/~54ask-7.json`, Buffer.from('{"v":2}'));
  memory.set(`${BILLS}/~54ask-9.json`, Buffer.from('{'));
  const before = await costBetween(ledger, [DAY], {});
  // Requested were 4 seconds instead of 8 and 10.
  expect(before.total).toMatchObject({ videos: 100, seconds: sumOf(100) - 8 - 10 + 4 + 4 });
  expect(before.damaged).toEqual([expect.stringContaining('~54ask-7.json'), expect.stringContaining('~54ask-9.json')]);
  const damaged = await ledger.writeStatements();
  expect(damaged.map(({ type }) => type)).toEqual([FailureType.RecordDamaged, FailureType.RecordDamaged]);
  expect(await costBetween(ledger, [DAY], {})).toEqual(before);
  await memory.delete(`${ROOT}/tasks/~54ask-7.json`);
  const { total, damaged: named } = await costBetween(ledger, [DAY], {});
  expect(total).toMatchObject({ videos: 100, seconds: sumOf(100) - 8 - 10 + 15 + 4, estimated_seconds: 15 + 4 });
  expect(named).toEqual(before.damaged);
  memory.set(`${ROOT}/tasks/~54ask-9.json`, Buffer.from('{'));
  expect((await costBetween(ledger, [DAY], {})).total).toMatchObject({ seconds: sumOf(100) - 8 - 10 + 15 + 15 });
});

test('a statement that the store refuses or loses the reply of changes nothing', async () => {
  const { memory, ledger, reports } = await setUp(300);
  const before = await reports();
  const put = memory.put.bind(memory);
  for (const isStored of [false, true]) {
    memory.put = async (key, body, options) => {
      if (!key.includes('/statements/')) return put(key, body, options);
      if (isStored) await put(key, body, options);
      throw new VideoError(FailureType.StoreUnavailable, 'away', { retryable: true });
    };
    await expect(ledger.writeStatements()).rejects.toMatchObject({ type: FailureType.StoreUnavailable });
    expect(await reports()).toBe(before);
  }
});

const sumOf = (bills: number): number =>
  Array.from({ length: bills }, (_, index) => (index % 15) + 1).reduce((a, b) => a + b);
