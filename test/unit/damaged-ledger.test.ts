import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.js';
import { createFindOrphans } from '../../activities/find-orphans.js';
import { createFindSpending } from '../../activities/find-spending.js';
import { createFindOpenSlots } from '../../activities/slot-holders.js';
import { costBetween } from '../../src/cli/cost.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { FailureType } from '../../src/contract/failure-type.js';
import type { VideoResult } from '../../src/contract/result.js';
import { DAY_MS, utcDay } from '../../src/contract/utc.js';
import { buyOnce } from '../../src/ledger/buy.js';
import { DIGEST_RULES } from '../../src/ledger/digest-rules.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { planPurge } from '../../src/ledger/purge.js';
import { MemoryStore } from '../property/memory-store.js';
import { CountingStore } from '../support/counting-store.js';
import { crowdKey } from '../support/crowd.js';
import { setUp as buyer, intentFields, order, ROOT, START } from './ledger-setup.js';

const SCOPE = { provider: 'emulator', account: 'default' };
const [CLOSED, OPEN] = [600, 60];
const PAGE = 20;
const DAYS = [utcDay(START - DAY_MS), utcDay(START)];

/** What listings show; `lateMs`: nothing that was put since then. */
class LateStore extends MemoryStore {
  lateMs = 0;

  override async *list(...[prefix, options]: Parameters<MemoryStore['list']>): ReturnType<MemoryStore['list']> {
    yield* this.infos(prefix, { ...options, lateMs: this.lateMs });
  }
}

/** A ledger as this program writes it within a day, swept every hour; the purchases from `CLOSED` on are open. */
async function crowded() {
  let nowMs = START - DAY_MS;
  const memory = new LateStore(() => nowMs, { showsClock: true });
  const store = new CountingStore(memory);
  const rules = { ...DIGEST_RULES, pageNames: PAGE };
  const ledger = new Ledger({ store, scope: SCOPE, now: () => nowMs, rules });
  for (let index = 0; index < CLOSED + OPEN; index += 1) {
    nowMs = START - DAY_MS + Math.floor(((index * 7) % (CLOSED + OPEN)) * (DAY_MS / (CLOSED + OPEN)));
    const purchase = { key: crowdKey(index), n: 1 };
    const taskId = `task-${index}`;
    await ledger.openIntent(purchase, { ...intentFields(), workflow_id: `video/${index}`, cache_key: purchase.key });
    const task = { purchase, taskId, requestId: null, keyFingerprint: null };
    await ledger.ensureClaim(task);
    if (index >= CLOSED) continue;
    await ledger.recordBill(task, { endTimeMs: nowMs, billedSeconds: 4, resolution: '720P', audio: false });
    const result = { video_url: 'file:v', task_id: taskId, bytes: 1, sha256: '0' } as VideoResult;
    memory.set(`videos/${taskId}.mp4`, Buffer.from('v'));
    await ledger.finish(task, { how: 'archived', result, cacheKey: null });
  }
  nowMs = START;
  const sweep = async () => {
    await ledger.markSettled(await ledger.listOpen());
    await ledger.writeStatements();
  };
  const deps = {
    ledger,
    store,
    clock: { now: () => nowMs },
    times: DEFAULT_TIMES,
    isRunOpen: async () => false,
    knowsAttributes: async () => true,
    webhook: undefined,
  } as unknown as ActivityDeps;
  const run = <I, O>(step: (input: I) => Promise<O>, input?: I): Promise<O> =>
    new MockActivityEnvironment().run(step as never, input) as Promise<O>;
  const query = { day: utcDay(START), wholeDay: true, batches: [], reserved: [] };
  const choice = { by: 'age', olderThanMs: 30 * DAY_MS, areas: ['videos'] } as const;
  const operations = {
    sweep: () => run(createFindOrphans(deps)),
    slots: () => run(createFindOpenSlots(deps)),
    spending: () => run(createFindSpending(deps), query),
    cost: () => costBetween(ledger, DAYS, { by: 'tenant' }),
    purge: () => planPurge(store, choice, START),
  };
  const counted = async <T>(work: () => Promise<T>) => {
    store.take();
    const value = await work();
    return { value, requests: store.take().all };
  };
  const keys = (part: string) => [...memory.objects.keys()].filter((key) => key.includes(part));
  return { memory, store, ledger, deps, sweep, operations, counted, keys };
}

const openKeys = (list: readonly { readonly purchase: { readonly key: string } }[]) =>
  list.map(({ purchase }) => purchase.key).sort();
const keysOfOpen = () => Array.from({ length: OPEN }, (_, index) => crowdKey(CLOSED + index)).sort();
const BODIES = ['{', '', '[]', '{"v":2}', '{"v":1}', '"\u0000"'];

test('with 1 % damaged records of every kind each operation finds the others, names those, and reads no more for it', async () => {
  const { memory, store, ledger, operations, counted, keys, sweep } = await crowded();
  await sweep();
  const before = {
    sweep: await counted(operations.sweep),
    spending: await counted(operations.spending),
    cost: await counted(operations.cost),
  };
  // Every hundredth record of each kind, and one of each kind of an open purchase.
  const kinds = ['/recent/', '/intent.json', '/claim.json', '/closed.json', '/tasks/', '/days/', '/digests/'];
  const open = ['intent', 'claim'].map((kind, index) => `${ROOT}/purchases/${crowdKey(CLOSED + index)}/1/${kind}.json`);
  const damaged = [
    ...kinds.flatMap((kind) => keys(kind).filter((_, index) => index % 100 === 50)),
    ...keys('/statements/').slice(0, 1),
    ...open,
  ];
  for (const [index, key] of damaged.entries()) memory.set(key, Buffer.from(BODIES[index % BODIES.length] ?? ''));
  const broken = new Set(damaged.flatMap((key) => /purchases\/([0-9a-f]+)\/1\/(?:intent|claim)/.exec(key)?.[1] ?? []));
  const readable = keysOfOpen().filter((key) => !broken.has(key));
  const named = keysOfOpen().filter((key) => broken.has(key));
  const listed = await ledger.listOpen();
  expect(openKeys(listed.open)).toEqual(readable);
  expect(listed.damaged).toHaveLength(named.length);
  for (const key of named) expect(listed.damaged.some(({ message }) => message.includes(key))).toBe(true);

  const swept = await counted(operations.sweep);
  expect(openKeys(swept.value.orphans)).toEqual(readable);
  for (const key of named) expect(swept.value.damaged.some((text) => text.includes(key))).toBe(true);
  const spending = await counted(operations.spending);
  expect(spending.value.open.map(({ key }) => key).sort()).toEqual(readable);
  const cost = await counted(operations.cost);
  expect(cost.value.total.videos).toBe(CLOSED);
  for (const { requests, more } of [
    { ...swept, more: swept.requests - before.sweep.requests },
    { ...spending, more: spending.requests - before.spending.requests },
    { ...cost, more: cost.requests - before.cost.requests },
  ]) {
    // A damaged statement or digest is replaced by what it repeats: bills of one page, names of one hour.
    expect(more, `${requests} requests`).toBeLessThanOrEqual(3 * damaged.length + 300);
  }

  // A purge goes on without what a damaged record decides about, and without every image: an open purchase may need it.
  for (const index of [1, 2, 3]) memory.set(`references/${index}.jpg`, Buffer.from('image'));
  const choice = { by: 'age', olderThanMs: 0, areas: ['videos', 'references'] } as const;
  const plan = await planPurge(store, choice, START + 3 * DAY_MS);
  const isKept = (key: string) => memory.objects.has(`videos/${/tasks\/(.+)\.json/.exec(key)?.[1]}.mp4`);
  const unowned = keys('/tasks/').filter((key) => damaged.includes(key) && isKept(key)).length;
  expect(plan.items.length).toBeGreaterThan(0.9 * CLOSED);
  expect(plan.items.every(({ area }) => area === 'videos')).toBe(true);
  expect(plan.items.length + plan.keptUnreadable).toBe(CLOSED + 3);
  expect(plan.keptUnreadable).toBeGreaterThanOrEqual(unowned + 3);
  for (const key of [...open, ...damaged.filter((one) => one.includes('/tasks/task-1'))]) {
    expect(plan.damaged.some(({ message }) => message.includes(key))).toBe(true);
  }
});

test('bills without anything that leads to their request are named, and the report and the budgets go on', async () => {
  const { memory, operations, keys } = await crowded();
  const bills = keys('/days/').slice(0, 3);
  for (const key of bills) {
    memory.set(key, Buffer.from('{"v":7}'));
    await memory.delete(key.replace(/days\/[^/]+/, 'tasks'));
  }
  const cost = await operations.cost();
  expect(cost.total).toMatchObject({ videos: CLOSED, estimated_seconds: 3 * 15 });
  for (const key of bills) expect(cost.damaged?.some((text) => text.includes(key))).toBe(true);
  expect((await operations.spending()).open).toHaveLength(OPEN);
});

test('markers without purchases, purchases without markers, and announcements without purchases change nothing', async () => {
  const { memory, ledger, operations, counted, keys, sweep } = await crowded();
  await sweep();
  const base = (await counted(operations.slots)).requests;
  const extra = Array.from({ length: 20 }, (_, index) => crowdKey(9_000_000 + index));
  const hour = `${ROOT}/recent/2026-01-01T11`;
  for (const key of extra.slice(0, 10)) memory.set(`${hour}/${key}-1~closed.json`, Buffer.from('?'));
  for (const key of extra.slice(10)) memory.set(`${hour}/${key}-1.json`, Buffer.from('?'));
  const lost = keys('~closed.json').filter((_, index) => index % 50 === 0);
  for (const key of lost) await memory.delete(key);
  const slots = await counted(operations.slots);
  expect(openKeys((await ledger.listOpen()).open)).toEqual(keysOfOpen());
  // One listing for each announcement that leads nowhere or has lost its marker; digested hours do not read theirs.
  expect(slots.requests - base).toBeLessThanOrEqual(10 + lost.length + 2);
  await operations.sweep();
  expect((await counted(operations.slots)).requests - base).toBeLessThanOrEqual(10 + 2);
  expect((await operations.cost()).total.videos).toBe(CLOSED);
});

test('with two hours missing the others are found, and an equal request still finds its purchase by its key', async () => {
  const { memory, ledger, operations, keys, sweep } = await crowded();
  await sweep();
  const hours = ['2026-01-01T03', '2026-01-01T04'];
  const hidden = new Set(
    hours.flatMap((hour) => keys(`/recent/${hour}/`)).flatMap((key) => /([0-9a-f]{64})-1\.json$/.exec(key)?.[1] ?? []),
  );
  for (const hour of hours) for (const key of keys(`/${hour}/`)) await memory.delete(key);
  expect(openKeys((await ledger.listOpen()).open)).toEqual(keysOfOpen().filter((key) => !hidden.has(key)));
  expect((await operations.sweep()).damaged).toEqual([]);
  const [gone = ''] = keysOfOpen().filter((key) => hidden.has(key));
  const { deps, posts } = buyer();
  const again = order({ purchaseKey: gone, cacheKey: gone });
  expect(await buyOnce({ ...deps, ledger }, again)).toMatchObject({ kind: 'task' });
  expect(posts).toEqual([]);
});

test.each([1_000, 60_000, 30 * 60_000])('on a store that lists %i ms late nothing is bought twice', async (lateMs) => {
  const { memory, ledger, operations, sweep } = await crowded();
  await sweep();
  memory.lateMs = lateMs;
  const hiddenFromMs = START - lateMs;
  const found = openKeys((await ledger.listOpen()).open);
  const early = Array.from({ length: OPEN }, (_, index) => crowdKey(CLOSED + index)).filter(
    (key) => (memory.json(`${ROOT}/purchases/${key}/1/claim.json`)?.['written_at_ms'] as number) <= hiddenFromMs,
  );
  expect(found).toEqual(early.sort());
  await operations.sweep();
  const { deps, posts } = buyer();
  const fresh = order({ purchaseKey: crowdKey(8_000_000), cacheKey: crowdKey(8_000_000) });
  const bought = await buyOnce({ ...deps, ledger }, fresh);
  expect(bought.kind).toBe('bought');
  // The listing does not show the purchase yet: the put of its intent decides.
  const again = await buyOnce({ ...deps, ledger }, { ...fresh, buyer: { workflowId: 'w9', firstRunId: 'r9' } });
  expect(again.kind).not.toBe('bought');
  expect(posts).toHaveLength(1);
  memory.lateMs = 0;
  expect(openKeys((await ledger.listOpen()).open)).toEqual([...keysOfOpen(), crowdKey(8_000_000)].sort());
});

test('records of a later version are named with what to do, nothing is bought for them, and nothing is overwritten', async () => {
  const { memory, ledger, operations } = await crowded();
  const later = Array.from({ length: 5 }, (_, index) => crowdKey(CLOSED + index));
  for (const key of later) {
    const path = `${ROOT}/purchases/${key}/1/claim.json`;
    memory.set(path, Buffer.from(JSON.stringify({ ...memory.json(path), v: 2 })));
  }
  const before = [...memory.objects.keys()];
  const { deps, posts } = buyer();
  for (const key of later) {
    await expect(buyOnce({ ...deps, ledger }, order({ purchaseKey: key, cacheKey: key }))).rejects.toMatchObject({
      type: FailureType.RecordDamaged,
      nextStep: expect.stringContaining('newer program'),
    });
  }
  expect(posts).toEqual([]);
  expect([...memory.objects.keys()]).toEqual(before);
  expect((await operations.slots()).open).toHaveLength(OPEN - later.length);
});
