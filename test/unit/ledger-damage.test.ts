import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { buyOnce } from '../../src/ledger/buy.js';
import { awaitPurchase } from '../../src/ledger/follow.js';
import { reconcileSubmit } from '../../src/ledger/reconcile.js';
import { resolvePurchase } from '../../src/ledger/resolve.js';
import type { MemoryStore } from '../property/memory-store.js';
import { KEY, order, ROOT, setUp } from './ledger-setup.js';

const PURCHASE = { key: KEY, n: 1 };
const FOLDER = `${ROOT}/purchases/${KEY}/1`;
const OTHER = { buyer: { workflowId: 'w2', firstRunId: 'r2' } };

const DAMAGES: Readonly<Record<string, (record: Record<string, unknown>) => string>> = {
  'is cut': (record) => JSON.stringify(record).slice(0, -5),
  'is empty': () => '',
  'is no object': () => '[1]',
  'lacks its fields': () => '{"v":1}',
  'is of another kind': (record) => JSON.stringify({ ...record, kind: 'day' }),
  'is of a newer version': (record) => JSON.stringify({ ...record, v: 2 }),
  'is of another account': (record) => JSON.stringify({ ...record, account: 'somebody' }),
  'is of another provider': (record) => JSON.stringify({ ...record, provider: 'cn-beijing' }),
  'describes another purchase': (record) => JSON.stringify({ ...record, n: 7 }),
  'is larger than any of ours': (record) => JSON.stringify({ ...record, memo: { text: 'x'.repeat(300_000) } }),
};

function damage(store: MemoryStore, key: string, how: string): Buffer {
  const body = Buffer.from(DAMAGES[how]!(store.json(key)!));
  store.set(key, body);
  return body;
}

test.each(['intent', 'claim'].flatMap((record) => Object.keys(DAMAGES).map((how) => [record, how] as const)))(
  'when the %s %s, nothing is bought or overwritten, and the error names the record and the fix',
  async (record, how) => {
    const { deps, store, posts, ledger } = setUp();
    await buyOnce(deps, order());
    const key = `${FOLDER}/${record}.json`;
    const body = damage(store, key, how);
    const before = [...store.objects.keys()];
    const steps = [
      () => buyOnce(deps, order(OTHER)),
      () => buyOnce(deps, order({ ...OTHER, cache: 'refresh', firstStartedAtMs: Number.MAX_SAFE_INTEGER })),
      () => awaitPurchase(deps, PURCHASE),
      () => reconcileSubmit(deps, PURCHASE),
      () => resolvePurchase(deps, PURCHASE, { buy_again: true }),
    ];
    for (const step of steps) {
      await expect(step()).rejects.toMatchObject({
        type: FailureType.RecordDamaged,
        retryable: false,
        message: expect.stringContaining(`${key} in the asset store memory`),
        nextStep: expect.stringMatching(/\w+ \w+ \w+/),
      });
    }
    expect(posts).toHaveLength(1);
    expect(store.objects.get(key)?.body).toEqual(body);
    expect([...store.objects.keys()]).toEqual(before);
    const { open, damaged } = await ledger.listOpen();
    expect(open).toEqual([]);
    expect(damaged).toMatchObject([{ type: FailureType.RecordDamaged }]);
  },
);

test('a claim without its intent, and a closing without its claim, are damage', async () => {
  for (const missing of ['intent', 'claim']) {
    const { deps, store, ledger, posts } = setUp();
    await buyOnce(deps, order());
    await ledger.finish(
      { purchase: PURCHASE, taskId: 't1', requestId: null, keyFingerprint: null },
      { how: 'cancelled' },
    );
    store.objects.delete(`${FOLDER}/${missing}.json`);
    await expect(buyOnce(deps, order(OTHER))).rejects.toMatchObject({ type: FailureType.RecordDamaged });
    expect(posts).toHaveLength(1);
  }
});

test('a task record of another account never serves a purchase of this one', async () => {
  const { deps, store, ledger } = setUp();
  await buyOnce(deps, order());
  const key = `${ROOT}/tasks/t1.json`;
  damage(store, key, 'is of another account');
  await expect(ledger.findTask('t1')).rejects.toMatchObject({ message: expect.stringContaining(key) });
  const task = { purchase: { key: 'cd'.repeat(32), n: 1 }, taskId: 't1', requestId: null, keyFingerprint: null };
  await expect(ledger.ensureClaim(task)).rejects.toMatchObject({ type: FailureType.RecordDamaged });
});

test('a task record that lies under the name of another task is refused', async () => {
  const { deps, store, ledger } = setUp();
  await buyOnce(deps, order());
  store.set(`${ROOT}/tasks/t9.json`, store.objects.get(`${ROOT}/tasks/t1.json`)!.body);
  await expect(ledger.findTask('t9')).rejects.toMatchObject({ type: FailureType.RecordDamaged });
});

test('a damaged record that was read by nobody before the POST still does not lose the task id', async () => {
  const { deps, store } = setUp(() => {
    store.set(`${FOLDER}/claim.json`, Buffer.from('{'));
    return { kind: 'accepted', taskId: 't1', requestId: 'r1' };
  });
  expect(await buyOnce(deps, order())).toMatchObject({ kind: 'bought', claim: 'unwritten', task: { taskId: 't1' } });
});

test('no message of a damaged record quotes its contents', async () => {
  const { deps, store } = setUp();
  await buyOnce(deps, order({ expects: { ...order().expects, prompt: 'secret prompt' } }));
  for (const how of ['is cut', 'is of another kind', 'describes another purchase']) {
    damage(store, `${FOLDER}/intent.json`, how);
    await expect(buyOnce(deps, order(OTHER))).rejects.not.toMatchObject({ message: expect.stringContaining('secret') });
    if (how === 'is cut') break;
  }
});

test('files that are not ours next to the records are left alone', async () => {
  const { deps, store } = setUp();
  store.set(`${FOLDER}/notes.txt`, Buffer.from('mine'));
  store.set(`${ROOT}/purchases/${KEY}/old/intent.json`, Buffer.from('mine'));
  expect(await buyOnce(deps, order())).toMatchObject({ kind: 'bought', task: { purchase: { n: 1 } } });
});
