import { expect, test } from 'vitest';
import { Ledger } from '../../src/ledger/ledger.js';
import { LedgerPaths } from '../../src/ledger/paths.js';
import { reconcileSubmit } from '../../src/ledger/reconcile.js';
import { resolvePurchase } from '../../src/ledger/resolve.js';
import type { AssetStore, ByteStream, PutOptions } from '../../src/storage/asset-store.js';
import type { MemoryStore } from '../property/memory-store.js';
import { alike } from '../property/mutants.js';
import { intentFields, KEY, START, setUp } from './ledger-setup.js';

const SCOPE = { provider: 'emulator', account: 'default' };
const PURCHASE = { key: KEY, n: 1 };
const OTHER = { key: KEY.replaceAll('a', 'c'), n: 1 };
const TASK = { purchase: PURCHASE, taskId: 't1', requestId: null, keyFingerprint: null };
const PATHS = LedgerPaths.of(SCOPE);
const found = (by: 'reconcile' | 'person') =>
  ({ task_id: 't1', request_id: null, key_fingerprint: null, found_by: by }) as const;

/** Ends every call of a process that died. */
const NEVER = new Promise<never>(() => {});

/** How a process records the task of a purchase. */
const WAYS: Readonly<Record<string, (ledger: Ledger) => Promise<unknown>>> = {
  'the submit': (ledger) => ledger.ensureClaim(TASK),
  'a reconciliation': (ledger) => ledger.claim(PURCHASE, found('reconcile')),
  'a person': (ledger) => ledger.claim(PURCHASE, found('person')),
};

/**
 * Runs a process that dies right before or after one of its puts, next to another one's decision: each moment of both.
 * @returns the worlds in which the process died.
 */
async function* deaths(way: (ledger: Ledger) => Promise<unknown>, decide: (ledger: Ledger) => Promise<unknown>) {
  for (let dies = 0; dies < 8; dies += 1) {
    for (let decided = 0; decided <= dies; decided += 1) {
      const { store, clock, deps } = setUp();
      const elsewhere = new Ledger({ store, scope: SCOPE, now: clock.now });
      await elsewhere.openIntent(PURCHASE, intentFields());
      let puts = 0;
      let died: () => void;
      const death = new Promise<void>((done) => {
        died = done;
      });
      const mortal = alike<AssetStore>(store, {
        put: async (key: string, body: ByteStream, options?: PutOptions) => {
          if (puts === decided) await decide(elsewhere);
          if (puts === dies) {
            died();
            return NEVER;
          }
          puts += 1;
          return store.put(key, body, options);
        },
      });
      const step = way(new Ledger({ store: mortal, scope: SCOPE, now: clock.now }));
      const lived = await Promise.race([step.then(() => true), death.then(() => false)]);
      if (lived) return;
      yield {
        store,
        deps: { ...deps, ledger: elsewhere },
        ledger: elsewhere,
        name: `dies ${dies}, decided ${decided}`,
      };
    }
  }
}

const isRecorded = (store: MemoryStore): boolean => store.objects.has(PATHS.task('t1'));

test.each(
  Object.keys(WAYS).flatMap((way) =>
    [
      [
        'nothing was created',
        (ledger: Ledger) => ledger.decideNotCreated(PURCHASE, { reason: 'person', failure: null }),
      ],
      ['names another task', (ledger: Ledger) => ledger.ensureClaim({ ...TASK, taskId: 't2' })],
    ].map(([decision, decide]) => [way, decision, decide] as [string, string, (ledger: Ledger) => Promise<unknown>]),
  ),
)(
  'a task that %s has recorded is found by time, wherever its process dies, after a decision that %s',
  async (way, _, decide) => {
    let recorded = 0;
    for await (const { store, ledger, name } of deaths(WAYS[way]!, decide)) {
      if (!isRecorded(store)) continue;
      recorded += 1;
      const { open } = await ledger.listOpen();
      const tasks = open.flatMap(({ state, extraTasks }) => [
        ...(state.kind === 'claimed' ? [state.task] : []),
        ...extraTasks.map(({ task }) => task),
      ]);
      expect(tasks, name).toContainEqual(expect.objectContaining({ task_id: 't1' }));
      // Its end closes it, and nothing is read again.
      await ledger.finish(TASK, { how: 'cancelled' });
      if (open.some(({ state }) => state.kind === 'claimed' && state.task.task_id === 't2')) {
        await ledger.finish({ ...TASK, taskId: 't2' }, { how: 'cancelled' });
      }
      await ledger.markSettled(await ledger.listOpen());
      expect(await ledger.listOpen(), name).toEqual({ open: [], damaged: [], unmarked: [] });
    }
    // The record comes last, so only what dies after it, with nothing left to do, has it.
    if (way !== 'the submit') expect(recorded).toBeGreaterThan(0);
  },
);

test('a decision to buy again uses the task that a reconciliation has recorded and not claimed, and buys nothing', async () => {
  for await (const { store, deps } of deaths(WAYS['a reconciliation']!, async () => {})) {
    const status = await resolvePurchase(deps, PURCHASE, { buy_again: true });
    expect(status).toMatchObject(isRecorded(store) ? { kind: 'task', task: { taskId: 't1' } } : { kind: 'buy' });
  }
});

test('a task that is found for its own purchase is not bought in addition, and is over with its purchase', async () => {
  const { ledger, store, clock } = setUp();
  await ledger.openIntent(PURCHASE, intentFields());
  expect(await ledger.claim(PURCHASE, found('reconcile'))).toEqual({ kind: 'claimed' });
  expect((await ledger.listOpen()).open).toMatchObject([{ state: { kind: 'claimed' }, extraTasks: [] }]);
  await ledger.finish(TASK, { how: 'cancelled' });
  expect((await ledger.findPurchase(PURCHASE))?.extraTasks).toEqual([]);
  await ledger.markSettled(await ledger.listOpen());
  expect(await ledger.listOpen()).toEqual({ open: [], damaged: [], unmarked: [] });
  expect([...store.objects.keys()].filter((key) => key.includes('~closed'))).toHaveLength(2);
  expect(clock.now()).toBe(START);
});

test('a task that another purchase owns is none of the purchase that it was found for', async () => {
  const { ledger, store } = setUp();
  for (const purchase of [PURCHASE, OTHER]) await ledger.openIntent(purchase, intentFields());
  // Both found it, and the other one was first between this one's first record and its task record.
  store.set(PATHS.foundTask(PURCHASE, 't1'), Buffer.from('{}'));
  await ledger.claim(OTHER, found('reconcile'));
  const record = store.objects.get(PATHS.foundTask(OTHER, 't1'))!.body.toString();
  store.set(PATHS.foundTask(PURCHASE, 't1'), Buffer.from(record.replaceAll(OTHER.key, KEY)));
  expect(await ledger.claim(PURCHASE, found('reconcile'))).toEqual({ kind: 'taken', by: OTHER });
  await ledger.decideNotCreated(PURCHASE, { reason: 'none_found', failure: null });
  expect(await ledger.findPurchase(PURCHASE)).toMatchObject({ state: { kind: 'not_created' }, extraTasks: [] });
});

test("a submit's own task that another purchase has taken for its lost one is not settled by the submit's", async () => {
  const { ledger, store } = setUp();
  for (const purchase of [PURCHASE, OTHER]) await ledger.openIntent(purchase, intentFields());
  expect(await ledger.claim(OTHER, found('reconcile'))).toEqual({ kind: 'claimed' });
  expect(await ledger.ensureClaim(TASK)).toBe('extra');
  // Its own records name it all the same, and end with it.
  expect(await ledger.findPurchase(PURCHASE)).toMatchObject({ state: { kind: 'claimed', task: { task_id: 't1' } } });
  await ledger.finish(TASK, { how: 'cancelled' });
  expect(store.objects.has(PATHS.closed(PURCHASE))).toBe(true);
  expect(await ledger.ensureClaim({ ...TASK, purchase: OTHER })).toBe('claimed');
});

test('a claim whose task record is not written yet excludes its task, for a reconciliation and for a person', async () => {
  const { ledger, store, deps, rows, snapshots, clock } = setUp();
  await ledger.openIntent(PURCHASE, intentFields());
  await ledger.ensureClaim(TASK);
  await store.delete(PATHS.task('t1'));
  await ledger.openIntent(OTHER, intentFields());
  rows.push({ taskId: 't1', status: 'SUCCEEDED', createdAtMs: START, modelName: undefined } as never);
  snapshots.set('t1', { status: 'SUCCEEDED', origPrompt: 'p', usage: { duration: 4, sr: 720, audio: false } } as never);
  const elsewhere = { ...deps, ledger: new Ledger({ store, scope: SCOPE, now: clock.now }) };
  await expect(resolvePurchase(elsewhere, OTHER, { task_id: 't1' })).rejects.toMatchObject({
    message: expect.stringContaining('belongs to another purchase'),
  });
  expect(await reconcileSubmit(elsewhere, OTHER)).toEqual({ kind: 'buy' });
  // The end of the purchase writes what is missing.
  await elsewhere.ledger.finish(TASK, { how: 'cancelled' });
  expect(await ledger.findTask('t1')).toMatchObject({ purchase_key: KEY, n: 1 });
});
