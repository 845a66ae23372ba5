import { expect, test } from 'vitest';
import { QueryBudget } from '../../src/polling/query-budget.js';
import { busiestSecond, seededRandom } from './polling-simulation.js';

/** A clock that the test moves by hand; nothing waits for it. */
const clockOf = (time: { readonly ms: number }) => ({ monotonicMs: () => time.ms, sleep: () => Promise.resolve() });

function budgetAt(perSecond: number) {
  const time = { ms: 0 };
  const budget = new QueryBudget({ perSecond, clock: clockOf(time), random: () => 1 });
  return { budget, time };
}

test('requests are spread evenly: no second has more than the budget, however long nothing was sent', () => {
  const { budget, time } = budgetAt(10);
  const sent: number[] = [];
  for (time.ms = 60_000; sent.length < 50; time.ms += 1) {
    if (budget.nextMs() > time.ms) continue;
    budget.answered(budget.begin());
    sent.push(time.ms);
  }
  expect(busiestSecond(sent)).toBeLessThan(10);
  expect(busiestSecond(sent)).toBeGreaterThan(6);
});

test('a 429 pauses everything, longer with each further one, and one request at a time finds out when it is over', () => {
  const { budget, time } = budgetAt(10);
  const pauses = [1, 2, 3, 4, 5, 6].map(() => {
    time.ms = budget.nextMs();
    const request = budget.begin();
    budget.throttled(request);
    return budget.nextMs() - time.ms;
  });
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  time.ms = budget.nextMs();
  const probe = budget.begin();
  expect(budget.nextMs()).toBe(Number.POSITIVE_INFINITY);
  budget.answered(probe);
  expect(budget.nextMs()).toBeLessThan(time.ms + 6_000);
});

test('Retry-After is kept, but not for more than five minutes', () => {
  const { budget, time } = budgetAt(10);
  budget.throttled(budget.begin(), 42_000);
  expect(budget.nextMs()).toBe(42_000);
  time.ms = 42_000;
  budget.throttled(budget.begin(), 86_400_000);
  expect(budget.nextMs()).toBe(342_000);
});

test('several 429s of one moment lower the rate once', () => {
  const { budget } = budgetAt(10);
  const full = budget.rate();
  const requests = [1, 2, 3].map(() => budget.begin());
  for (const request of requests) budget.throttled(request);
  expect(budget.rate()).toBeCloseTo(0.7 * full, 5);
});

test('after a storm the rate is low, grows again, and reaches the whole budget within two minutes', () => {
  const { budget, time } = budgetAt(10);
  const full = budget.rate();
  for (let index = 0; index < 20; index += 1) {
    time.ms = budget.nextMs();
    budget.throttled(budget.begin());
  }
  expect(budget.rate()).toBeLessThan(0.2 * full);
  const rates = [10, 30, 60, 120].map((seconds) => {
    time.ms += seconds * 1000;
    return budget.rate();
  });
  expect(rates).toEqual(rates.toSorted((a, b) => a - b));
  expect(rates.at(-1)).toBe(full);
});

test('a budget below one request per second is kept', () => {
  const { budget } = budgetAt(0.1);
  budget.answered(budget.begin());
  expect(budget.nextMs()).toBeCloseTo(12_500, 3);
});

test('a refused key stops all but one request in 15 s and does not lower the rate', () => {
  const { budget, time } = budgetAt(10);
  const full = budget.rate();
  budget.refused(budget.begin());
  expect(budget.nextMs()).toBe(15_000);
  time.ms = 15_000;
  budget.answered(budget.begin());
  expect(budget.rate()).toBe(full);
  expect(budget.nextMs()).toBeLessThan(15_200);
});

test('two workers that share a limit find their shares with few 429s after the first minute', () => {
  const time = { ms: 0 };
  const random = seededRandom(3);
  const workers = [1, 2].map(() => new QueryBudget({ perSecond: 10, clock: clockOf(time), random }));
  const passed: number[] = [];
  const log: { readonly worker: number; readonly refused: boolean }[] = [];
  for (; time.ms < 600_000; time.ms += 5) {
    for (const [worker, budget] of workers.entries()) {
      if (budget.nextMs() > time.ms) continue;
      const request = budget.begin();
      const refused = passed.filter((at) => at > time.ms - 1000).length >= 8; // together they would send 16
      if (refused) budget.throttled(request);
      else budget.answered(request);
      if (!refused) passed.push(time.ms);
      while ((passed[0] ?? time.ms) < time.ms - 1000) passed.shift();
      if (time.ms > 60_000) log.push({ worker, refused });
    }
  }
  expect(log.filter(({ refused }) => refused).length / log.length).toBeLessThan(0.02);
  expect(log.length / 540).toBeGreaterThan(0.7 * 8); // and the limit is used
  const first = log.filter(({ worker }) => worker === 0).length / log.length;
  expect(first).toBeGreaterThan(0.3);
  expect(first).toBeLessThan(0.7);
});
