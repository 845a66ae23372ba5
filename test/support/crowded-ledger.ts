import { MockActivityEnvironment } from '@temporalio/testing';
import { expect } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.js';
import { createFindOrphans } from '../../activities/find-orphans.js';
import { createFindSpending } from '../../activities/find-spending.js';
import { createFindOpenSlots } from '../../activities/slot-holders.js';
import { costBetween } from '../../src/cli/cost.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { DAY_MS, HOUR_MS, utcDay } from '../../src/contract/utc.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { planPurge } from '../../src/ledger/purge.js';
import { MemoryStore } from '../property/memory-store.js';
import { intentFields, START } from '../unit/ledger-setup.js';
import { CountingStore } from './counting-store.js';
import { closedCrowd, crowdKey } from './crowd.js';

const SCOPE = { provider: 'emulator', account: 'default' };
/** Open purchases of a crowded ledger. */
export const OPEN = 100;

/** A ledger of `closed` purchases of the last day, and 100 open ones. */
export async function crowded(closed: number) {
  let nowMs = START;
  const memory = new MemoryStore(() => nowMs, { showsClock: true });
  const store = new CountingStore(memory);
  const ledger = new Ledger({ store, scope: SCOPE, now: () => nowMs });
  for (const [key, body] of closedCrowd(closed, START)) memory.set(key, Buffer.from(body));
  nowMs = START - 24 * HOUR_MS;
  for (let index = 0; index < OPEN; index += 1) {
    const purchase = { key: crowdKey(1_000_000 + index), n: 1 };
    const memo = { reference: { kind: 'asset', key: `references/${index}.jpg` } };
    await ledger.openIntent(purchase, { ...intentFields(), workflow_id: `video/${index}`, memo });
    await ledger.ensureClaim({ purchase, taskId: `open-${index}`, requestId: null, keyFingerprint: null });
    nowMs += 0.23 * HOUR_MS;
  }
  nowMs = START;
  const deps = {
    ledger,
    store,
    clock: { now: () => nowMs },
    times: DEFAULT_TIMES,
    isRunOpen: async () => false,
    knowsAttributes: async () => true,
    webhook: undefined,
  } as unknown as ActivityDeps;
  store.take();
  const counted = async <T>(work: () => Promise<T>) => ({ value: await work(), ...store.take() });
  const run = <I, O>(step: (input: I) => Promise<O>, input?: I): Promise<O> =>
    new MockActivityEnvironment().run(step as never, input) as Promise<O>;
  return { memory, store, ledger, deps, counted, run };
}

const DAYS = [utcDay(START - DAY_MS), utcDay(START)];

const statementsOf = (closed: number): number => Math.ceil(closed / 300) + 2;

/** Runs each operation that reads the ledger, and checks that it asks for what is open and for pages of names. */
export async function expectCostOfOpen(closed: number): Promise<void> {
  const { store, ledger, deps, counted, run } = await crowded(closed);
  const pages = (names: number) => Math.ceil((names * closed) / 1_000);
  // The hours of a day; the ranges in which bills and records are listed.
  const [hours, ranges] = [26, 20];
  const perOpen = 3 * OPEN;
  // Once hours are digested: the first page, the digests, each of them or its hour, and the names of three hours.
  const listings = 2 + hours + 3 * pages(2 / 24);

  const sweep = await counted(() => run(createFindOrphans(deps)));
  expect(sweep.value.orphans).toHaveLength(OPEN);
  // What was paid since the last sweep is read once; more than 10 000 of a day by the sweeps that follow.
  expect(sweep.get ?? 0).toBeLessThanOrEqual(2 * 2 * OPEN + Math.min(closed, 20_000));
  expect(sweep.list ?? 0).toBeLessThanOrEqual(2 * OPEN + hours + pages(3) + statementsOf(closed) + 3 * ranges);
  for (let left = closed; left > 0; left -= 10_000) await ledger.writeStatements();
  store.take();
  const statements = statementsOf(closed);
  const again = await counted(() => run(createFindOrphans(deps)));
  expect(again.put).toBeUndefined();
  expect(again.all).toBeLessThanOrEqual(2 * perOpen + listings + pages(1) + statements + 3 * ranges);

  const open = await counted(() => run(createFindOpenSlots(deps)));
  expect(open.value.open.length).toBeGreaterThan(OPEN - 10);
  expect(open.all).toBeLessThanOrEqual(perOpen + listings);

  const query = { day: utcDay(START), wholeDay: true, batches: [], reserved: [] };
  const spending = await counted(() => run(createFindSpending(deps), query));
  expect(spending.value.open).toHaveLength(OPEN);
  expect(spending.all).toBeLessThanOrEqual(2 * perOpen + listings + pages(1) + statements + 2 * ranges);

  const cost = await counted(() => costBetween(ledger, DAYS, { by: 'tenant' }));
  expect(cost.value.total.videos).toBe(closed);
  expect(cost.all).toBeLessThanOrEqual(pages(1) + statements + 2 * ranges + 100);

  const choice = { by: 'age', olderThanMs: 30 * DAY_MS, areas: ['videos'] } as const;
  const purge = await counted(() => planPurge(store, choice, START));
  expect(purge.value.items).toEqual([]);
  expect(purge.all).toBeLessThanOrEqual(perOpen + pages(5) + 3 * ranges);
}
