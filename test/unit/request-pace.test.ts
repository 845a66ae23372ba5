import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import { EvenPace } from '../../src/polling/even-pace.js';
import { QueryBudget } from '../../src/polling/query-budget.js';
import { ResultLinks } from '../../src/polling/result-links.js';
import { busiestSecond, SimulatedClock } from './polling-simulation.js';

test('submits that a stalled process sends late keep their distance, in the order of the calls', async () => {
  const clock = new SimulatedClock();
  const pace = new EvenPace(4, clock);
  const sent: { readonly nth: number; readonly atMs: number }[] = [];
  const send = (nth: number) => void pace.turn().then(() => sent.push({ nth, atMs: clock.monotonicMs() }));
  for (let nth = 0; nth < 10; nth += 1) send(nth);
  await clock.run(() => sent.length === 3);
  await clock.run(() => false, 0);
  for (let nth = 10; nth < 20; nth += 1) send(nth);
  await clock.run(() => sent.length === 20);
  expect(sent.map(({ nth }) => nth)).toEqual(Array.from({ length: 20 }, (_, nth) => nth));
  expect(busiestSecond(sent.map(({ atMs }) => atMs))).toBeLessThanOrEqual(4);
});

test('requests of others share the budget with the watcher, none starves, and no second has more than the budget', async () => {
  const clock = new SimulatedClock();
  const budget = new QueryBudget({ perSecond: 10, clock, random: () => 1 });
  const [watcher, others]: [number[], number[]] = [[], []];
  let isDone = false;
  // A watcher that always has something to ask.
  void (async () => {
    while (!isDone) {
      const waitMs = budget.nextMs() - clock.monotonicMs();
      if (waitMs > 0) await clock.sleep(Math.ceil(waitMs));
      else {
        budget.answered(budget.begin());
        watcher.push(clock.monotonicMs());
      }
    }
  })();
  for (let nth = 0; nth < 20; nth += 1) {
    void budget.run(() => Promise.resolve(others.push(clock.monotonicMs())));
  }
  await clock.run(() => others.length === 20);
  isDone = true;
  expect(others.at(-1)! - others[0]!).toBeLessThan(10_000);
  expect(watcher.length).toBeGreaterThan(10);
  expect(busiestSecond([...watcher, ...others])).toBeLessThanOrEqual(10);
});

test('a 429 that another caller gets pauses everybody, and one request finds out when it is over', async () => {
  const clock = new SimulatedClock();
  const budget = new QueryBudget({ perSecond: 10, clock, random: () => 1 });
  const throttled = new VideoError(FailureType.ProviderThrottled, 'too many', { retryable: true, retryAfterMs: 7_000 });
  const startMs = clock.monotonicMs();
  const failed = budget.run(() => Promise.reject(throttled)).catch((error: unknown) => error);
  const sent: number[] = [];
  for (let nth = 0; nth < 3; nth += 1) {
    void budget.run(() => Promise.resolve(sent.push(clock.monotonicMs())));
  }
  await clock.run(() => sent.length === 3);
  expect(await failed).toBe(throttled);
  expect(sent[0]! - startMs).toBeGreaterThanOrEqual(7_000);
});

test('a list that is refused to another caller pauses nobody', async () => {
  const clock = new SimulatedClock();
  const budget = new QueryBudget({ perSecond: 10, clock, random: () => 1 });
  const refused = new VideoError(FailureType.CredentialsRejected, 'the list is refused');
  const startMs = clock.monotonicMs();
  const failed = budget.run(() => Promise.reject(refused)).catch((error: unknown) => error);
  let sentMs = 0;
  void budget.run(async () => {
    sentMs = clock.monotonicMs();
  });
  await clock.run(() => sentMs > 0);
  expect(await failed).toBe(refused);
  expect(sentMs - startMs).toBeLessThan(1_000);
});

test('a request that waits for its turn is given up with the reason of its signal, and the next one has its turn', async () => {
  const clock = new SimulatedClock();
  const budget = new QueryBudget({ perSecond: 0.5, clock, random: () => 1 });
  budget.answered(budget.begin());
  const abort = new AbortController();
  const given: unknown[] = [];
  budget.run(() => Promise.resolve(given.push('sent')), abort.signal).catch((error: unknown) => given.push(error));
  void budget.run(() => Promise.resolve(given.push('next')));
  const reason = new Error('over');
  await clock.run(() => true);
  abort.abort(reason);
  await clock.run(() => given.length === 2);
  expect(given).toEqual([reason, 'next']);
});

test('a request far back in the queue is given up at once, and those before and after it keep their order', async () => {
  const clock = new SimulatedClock();
  const budget = new QueryBudget({ perSecond: 0.5, clock, random: () => 1 });
  const abort = new AbortController();
  const given: unknown[] = [];
  const send = (name: string, signal?: AbortSignal) =>
    void budget.run(() => Promise.resolve(given.push(name)), signal).catch((error: unknown) => given.push(error));
  for (const name of ['first', 'second', 'third']) send(name);
  send('given up', abort.signal);
  send('last');
  await clock.run(() => given.length === 1);
  const reason = new Error('over');
  const atMs = clock.monotonicMs();
  abort.abort(reason);
  await clock.run(() => given.length === 2, 1);
  expect(given).toEqual(['first', reason]);
  expect(clock.monotonicMs() - atMs).toBeLessThanOrEqual(1);
  await clock.run(() => given.length === 5);
  expect(given).toEqual(['first', reason, 'second', 'third', 'last']);
  // Nothing is left under way: after a refusal the next request does not wait for one that was given up.
  budget.throttled(budget.begin());
  expect(budget.nextMs()).toBeLessThan(Number.POSITIVE_INFINITY);
});

test('links are kept once each, the oldest goes first, and taking removes', () => {
  const links = new ResultLinks();
  for (let nth = 0; nth <= 1_000; nth += 1) links.add(`t${nth}`, `https://host.example/${nth}`);
  expect(links.take('t0')).toBeUndefined();
  expect(links.take('t1')).toBe('https://host.example/1');
  expect(links.take('t1')).toBeUndefined();
});
