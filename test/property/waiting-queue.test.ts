import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packQueue, unpackQueue } from '../../workflows/slots/carried-queue.js';
import type { Waiter } from '../../workflows/slots/slot-entry.js';
import { WaitingQueue } from '../../workflows/slots/waiting-queue.js';
import { PlainQueue } from './plain-queue.js';

const group = fc.record({
  tenant: fc.constantFrom(null, 'null', 't', 'u', 'v'),
  batch: fc.constantFrom(null, 'a', 'b', 'c'),
  priority: fc.constantFrom('interactive' as const, 'batch' as const),
});
const seconds = fc.constantFrom(undefined, 2, 5);
const event = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      group,
      seconds,
      requesters: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), at: fc.nat(99) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const), at: fc.nat(99), group }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('grant' as const), onlyBelow: fc.constantFrom(9, 9, 9, 3) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'carry' as const }) },
);

const waiterOf = (key: string, more: Partial<Waiter>): Omit<Waiter, 'seq'> => ({
  key,
  afterPurchase: 0,
  requesters: [key],
  tenant: null,
  batch: null,
  priority: 'batch',
  sinceMs: 0,
  notified: { isProvisional: false, isDue: false },
  ...more,
});
const keysOf = (waiters: Iterable<{ readonly key: string }>) => [...waiters].map(({ key }) => key);

test('the heaps grant in the order of the definition, for all that comes, withdraws, moves, or has no money', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 100, size: 'max' }), (events) => {
      let queue = new WaitingQueue();
      const plain = new PlainQueue();
      const costs = new Map<string, number>();
      for (const [at, one] of events.entries()) {
        const waiting = [...queue.values()];
        if (one.kind === 'add') {
          const key = `${at}`;
          const cost =
            one.seconds === undefined
              ? {}
              : { cost: { seconds: one.seconds, resolution: '720P', audio: true } as const };
          const requesters = Array.from({ length: one.requesters }, (_, id) => `run ${key} ${id}`);
          queue.add(waiterOf(key, { ...one.group, ...cost, requesters, sinceMs: at }));
          plain.add({ key, ...one.group });
          costs.set(key, one.seconds ?? 0);
        } else if (one.kind === 'grant') {
          const accepts = ({ key }: { readonly key: string }) => (costs.get(key) ?? 0) < one.onlyBelow;
          const next = queue.next(accepts);
          if (next !== undefined) {
            queue.grant(next);
            queue.forgetEmptyGroups();
          }
          const expected = plain.grant(accepts);
          expect(next?.key).toBe(expected?.key);
        } else if (one.kind === 'carry') {
          queue.forgetEmptyGroups();
          plain.forgetEmptyGroups();
          const carried = new WaitingQueue();
          unpackQueue(packQueue(queue, 300), carried);
          expect([...carried.values()]).toEqual([...queue.values()]);
          queue = carried;
        } else {
          const chosen = waiting[one.at % Math.max(1, waiting.length)];
          if (chosen === undefined) continue;
          if (one.kind === 'remove') {
            queue.remove(chosen);
            plain.remove(chosen.key);
          } else {
            queue.replace(chosen, { ...chosen, ...one.group });
            plain.move(chosen.key, one.group);
          }
        }
        const order = keysOf(plain.order());
        expect(keysOf(queue.first(Number.POSITIVE_INFINITY))).toEqual(order);
        expect(keysOf(queue.first(3))).toEqual(order.slice(0, 3));
        expect(queue.size).toBe(order.length);
        const newest = [...queue.values()].at(-1);
        if (newest === undefined) continue;
        const ahead = newest.priority === 'batch' ? queue.sizeOf('interactive') : 0;
        expect(Math.abs(ahead + queue.countAhead(newest) - order.indexOf(newest.key))).toBeLessThanOrEqual(5);
      }
    }),
    { numRuns: 100 },
  );
});

test('fifty thousand requests are handed on in pages, each below the limit of a payload', () => {
  const queue = new WaitingQueue();
  const hash = (at: number): string => (at * 2_654_435_761).toString(16).padStart(64, 'f').slice(-64);
  for (let at = 0; at < 50_000; at += 1) {
    queue.add(
      waiterOf(hash(at), { requesters: [`video/${hash(at + 7)}`], tenant: `t${at % 1000}`, batch: `b${at % 7}` }),
    );
  }
  for (let at = 0; at < 100; at += 1) queue.grant(queue.next() as Waiter);
  const pages = packQueue(queue, 1_000_000);
  expect(Math.max(...pages.map(({ length }) => length))).toBeLessThan(1_001_000);
  expect(pages.length).toBeLessThanOrEqual(5);
  const carried = new WaitingQueue();
  unpackQueue(pages, carried);
  expect(keysOf(carried.first(60_000)).join()).toBe(keysOf(queue.first(60_000)).join());
});
