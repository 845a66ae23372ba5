import { expect, test } from 'vitest';
import { DAY_MS, utcDay } from '../../src/contract/utc.js';
import { Ledger } from '../../src/ledger/ledger.js';
import type { AssetStore } from '../../src/storage/asset-store.js';
import { MemoryStore } from '../property/memory-store.js';
import { intentFields, KEY, ROOT } from './ledger-setup.js';

const SCOPE = { provider: 'emulator', account: 'default' };
const MIDNIGHT = Date.UTC(2026, 0, 2);
const PURCHASE = { key: KEY, n: 1 };
const TASK = { purchase: PURCHASE, taskId: 't1', requestId: 'r1', keyFingerprint: null };
const bill = (endTimeMs: number) => ({ endTimeMs, billedSeconds: 4, resolution: '720P', audio: true }) as const;
const MINUTE_MS = 60_000;

/** Rejects what a process would have done after its end. */
class Killed extends Error {}

/**
 * A store in which each operation waits for its turn, and of which a process may end right before or right after any
 * operation: `next` chooses the process whose operation is next.
 */
class TurnStore {
  readonly waiting = new Map<string, () => void>();
  readonly killed = new Set<string>();
  hasTurns = false;
  readonly #memory: MemoryStore;

  constructor(memory: MemoryStore) {
    this.#memory = memory;
  }

  of(name: string): AssetStore {
    const turn = async <T>(effect: () => Promise<T>): Promise<T> => {
      if (!this.hasTurns) return effect();
      await new Promise<void>((granted) => this.waiting.set(name, granted));
      if (this.killed.has(name)) throw new Killed();
      return effect();
    };
    const memory = this.#memory;
    return {
      name,
      head: (key) => turn(() => memory.head(key)),
      get: (key) => turn(() => memory.get(key)),
      put: (key, body, options) => turn(() => memory.put(key, body, options)),
      async *list(prefix, options) {
        const infos = await turn(async () => memory.infos(prefix, options));
        yield* infos;
      },
      delete: (key) => memory.delete(key),
      url: (key) => memory.url(key),
    };
  }
}

interface Look {
  /** By the clock of the process that looks. */
  readonly nowMs: number;
  readonly endTimeMs: number;
}

/** What each choice of a schedule was made among; the last one that has another choice is changed for the next run. */
class Choices {
  readonly #planned: number[];
  readonly made: { readonly chosen: number; readonly of: number }[] = [];

  constructor(planned: number[]) {
    this.#planned = planned;
  }

  choose(of: number): number {
    const chosen = this.#planned[this.made.length] ?? 0;
    this.made.push({ chosen, of });
    return chosen;
  }

  next(): number[] | undefined {
    for (let at = this.made.length - 1; at >= 0; at -= 1) {
      const { chosen, of } = this.made[at]!;
      if (chosen + 1 < of) return [...this.made.slice(0, at).map((one) => one.chosen), chosen + 1];
    }
    return undefined;
  }
}

const settled = () => new Promise((passed) => setImmediate(passed));

/** Two looks book one task, in the order that `choices` says; then a last one, as the step is repeated. */
async function bookTwice(boughtAtMs: number, looks: readonly [Look, Look], choices: Choices) {
  const memory = new MemoryStore(() => MIDNIGHT);
  const buyer = new Ledger({ store: memory, scope: SCOPE, now: () => boughtAtMs });
  await buyer.openIntent(PURCHASE, intentFields());
  await buyer.ensureClaim(TASK);
  const turns = new TurnStore(memory);
  const ledgers = looks.map(
    ({ nowMs }, index) => new Ledger({ store: turns.of(`${index}`), scope: SCOPE, now: () => nowMs }),
  );
  // What a process remembers of the purchase, it does not read again.
  for (const ledger of ledgers) await ledger.findPurchase(PURCHASE);
  turns.hasTurns = true;
  const running = looks.map(({ endTimeMs }, index) => {
    return ledgers[index]!.recordBill(TASK, bill(endTimeMs)).catch((error: unknown) => {
      if (!(error instanceof Killed)) throw error;
    });
  });
  for (await settled(); turns.waiting.size > 0; await settled()) {
    const names = [...turns.waiting.keys()].sort();
    const choice = choices.choose(2 * names.length);
    const name = names[choice % names.length]!;
    const grant = turns.waiting.get(name)!;
    turns.waiting.delete(name);
    if (choice >= names.length) turns.killed.add(name);
    grant();
  }
  await Promise.all(running);
  const { nowMs, endTimeMs } = looks[choices.choose(2)]!;
  const last = new Ledger({ store: memory, scope: SCOPE, now: () => nowMs });
  const { record } = await last.recordBill(TASK, bill(endTimeMs));
  const days = [-2, -1, 0, 1, 2].map((day) => utcDay(MIDNIGHT + day * DAY_MS));
  const billed: string[] = [];
  for (const day of days) {
    for await (const found of last.listBills(day)) {
      expect(utcDay(found.end_time_ms)).toBe(day);
      billed.push(day);
    }
  }
  expect(billed).toEqual([utcDay(record.end_time_ms)]);
  expect(await last.hasBill('t1', billed)).toBe(true);
  expect(
    await last.hasBill(
      't1',
      days.filter((day) => day !== billed[0]),
    ),
  ).toBe(false);
}

const before = { nowMs: MIDNIGHT - 1_000, endTimeMs: MIDNIGHT - 2_000 };
const after = { nowMs: MIDNIGHT + 1_000, endTimeMs: MIDNIGHT + 500 };
const nextDay = { nowMs: MIDNIGHT + DAY_MS + 1_000, endTimeMs: MIDNIGHT + DAY_MS };

test.each<[string, number, readonly [Look, Look]]>([
  ['one of which knows no end', MIDNIGHT - 5 * MINUTE_MS, [before, after]],
  ['one of which was frozen over midnight', MIDNIGHT - 60 * MINUTE_MS, [before, after]],
  ['by clocks that differ', MIDNIGHT + MINUTE_MS, [before, after]],
  ['both on other days than its purchase', MIDNIGHT - 60 * MINUTE_MS, [after, nextDay]],
])('two looks at a task, %s, book it once, in every order and past every crash', async (_what, boughtAtMs, looks) => {
  let schedules = 0;
  for (let planned: number[] | undefined = []; planned !== undefined; schedules += 1) {
    const choices: Choices = new Choices(planned);
    await bookTwice(boughtAtMs, looks, choices);
    planned = choices.next();
  }
  expect(schedules).toBeGreaterThan(20);
});

test('a bill that another version has filed under the day of the end is the bill, and is not filed again', async () => {
  const memory = new MemoryStore(() => MIDNIGHT);
  const ledger = new Ledger({ store: memory, scope: SCOPE, now: () => MIDNIGHT - 60 * MINUTE_MS });
  await ledger.openIntent(PURCHASE, intentFields());
  await ledger.ensureClaim(TASK);
  const later = new Ledger({ store: memory, scope: SCOPE, now: () => nextDay.nowMs });
  const { record } = await later.recordBill(TASK, bill(after.endTimeMs));
  // That version left nothing under the day of the purchase.
  await memory.delete(`${ROOT}/days/2026-01-01/t1.json`);
  for (const { endTimeMs } of [before, nextDay, after]) {
    expect(await later.recordBill(TASK, bill(endTimeMs))).toEqual({ won: false, record });
  }
  expect(
    [...memory.objects.keys()].filter((key) => key.endsWith('/t1.json') && key.includes('/days/2026')),
  ).toHaveLength(2);
});

test('a task that two purchases name is booked once, although they were made on either side of midnight', async () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ] as const) {
    const memory = new MemoryStore(() => MIDNIGHT);
    const owner = new Ledger({ store: memory, scope: SCOPE, now: () => MIDNIGHT - MINUTE_MS });
    await owner.openIntent(PURCHASE, intentFields());
    await owner.claim(PURCHASE, { task_id: 't1', request_id: null, key_fingerprint: null, found_by: 'reconcile' });
    const other = new Ledger({ store: memory, scope: SCOPE, now: () => MIDNIGHT + MINUTE_MS });
    const second = { key: KEY.replaceAll('a', 'c'), n: 1 };
    await other.openIntent(second, intentFields());
    expect(await other.ensureClaim({ ...TASK, purchase: second })).toBe('extra');
    const looks = [
      () => owner.recordBill(TASK, bill(MIDNIGHT - 1_000)),
      () => other.recordBill({ ...TASK, purchase: second }, bill(MIDNIGHT + MINUTE_MS)),
    ] as const;
    const bills = [await looks[order[0]](), await looks[order[1]]()];
    expect(bills.map(({ won }) => won)).toEqual([true, false]);
    expect(bills[0]!.record).toEqual(bills[1]!.record);
  }
});

test('statements repeat where a bill is filed as well, so that nothing is read one by one', async () => {
  const memory = new MemoryStore(() => MIDNIGHT);
  const ledger = new Ledger({ store: memory, scope: SCOPE, now: () => MIDNIGHT - MINUTE_MS });
  const later = new Ledger({ store: memory, scope: SCOPE, now: () => MIDNIGHT + MINUTE_MS });
  for (let index = 0; index < 120; index += 1) {
    const purchase = { key: index.toString(16).padStart(64, '0'), n: 1 };
    const task = { ...TASK, purchase, taskId: `t${index}` };
    await ledger.openIntent(purchase, intentFields());
    await ledger.ensureClaim(task);
    await later.recordBill(task, bill(MIDNIGHT + 1_000));
  }
  expect(await later.writeStatements()).toEqual([]);
  const gets: string[] = [];
  const get = memory.get.bind(memory);
  memory.get = (key) => {
    gets.push(key);
    return get(key);
  };
  const seconds = async (day: string) => {
    let sum = 0;
    for await (const { billed_seconds } of later.listBills(day)) sum += billed_seconds;
    return sum;
  };
  expect([await seconds('2026-01-01'), await seconds('2026-01-02')]).toEqual([0, 480]);
  expect(gets.filter((key) => key.includes('/days/'))).toEqual([]);
  const puts = [...memory.objects.keys()].length;
  await later.writeStatements();
  expect([...memory.objects.keys()]).toHaveLength(puts);
});
