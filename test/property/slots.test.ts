import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SlotRequestMessage } from '../../src/contract/slots.js';
import { addRequest, grantSlots, releaseSlot, removeRequester } from '../../workflows/slots/slot-queue.js';
import { emptySlotState, type SlotState } from '../../workflows/slots/slot-state.js';

const grantOrder = ({ queue }: SlotState) => queue.first(1_000);

const payer = fc.record({
  tenant: fc.constantFrom(null, 't', 'u'),
  batch: fc.constantFrom(null, 'a', 'b', 'c'),
});
const request = fc.tuple(fc.integer({ min: 0, max: 30 }), payer).map(
  ([id, { tenant, batch }]): SlotRequestMessage => ({
    key: `k${id}`,
    afterPurchase: 0,
    requesterId: `r${id}`,
    tenant,
    batch,
    limit: 3,
    priority: batch === null ? 'interactive' : 'batch',
  }),
);
const event = fc.oneof(
  { weight: 4, arbitrary: request.map((one) => ({ kind: 'request' as const, request: one })) },
  { weight: 2, arbitrary: fc.nat(30).map((id) => ({ kind: 'release' as const, key: `k${id}` })) },
  {
    weight: 1,
    arbitrary: fc.nat(30).map((id) => ({ kind: 'withdraw' as const, key: `k${id}`, requesterId: `r${id}` })),
  },
  { weight: 1, arbitrary: fc.nat(6).map((limit) => ({ kind: 'limit' as const, limit })) },
);
type Event = typeof event extends fc.Arbitrary<infer One> ? One : never;

function after(state: SlotState, one: Event): SlotState {
  switch (one.kind) {
    case 'request':
      return addRequest(state, one.request, 0);
    case 'release':
      return releaseSlot(state, { key: one.key, n: 1 }, 0);
    case 'withdraw':
      return removeRequester(state, one.key, one.requesterId, true, 0);
    case 'limit':
      return { ...state, limit: one.limit };
  }
}

test('under any events no key is in two places, grants stay within the limit, and the order that was shown is kept', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      let state = emptySlotState(3);
      for (const one of events) {
        state = after(state, one);
        const shown = grantOrder(state).map(({ key }) => key);
        const step = grantSlots(state, 0);
        const keys = step.grants.map(({ key }) => key);
        expect(keys).toEqual(shown.slice(0, keys.length));
        expect(grantOrder(step.state).map(({ key }) => key)).toEqual(shown.slice(keys.length));
        if (keys.length > 0) expect(step.state.holders.length).toBeLessThanOrEqual(step.state.limit);
        const free = step.state.limit - step.state.holders.length;
        if (free > 0) expect(step.state.queue.size).toBe(0);
        // Interactive requests are never behind those of a batch.
        const order = grantOrder(step.state).map(({ priority }) => priority);
        expect(order).toEqual([...order].sort((a, b) => Number(a === 'batch') - Number(b === 'batch')));
        const all = [...step.state.holders, ...step.state.queue.values()].map(({ key }) => key);
        expect(new Set(all).size).toBe(all.length);
        state = step.state;
      }
    }),
  );
});

test('repeating any request changes nothing', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), request, (events, again) => {
      const state = addRequest(grantSlots(events.reduce(after, emptySlotState(3)), 0).state, again, 1);
      const snapshot = ({ holders, queue }: SlotState) => structuredClone([holders, ...queue.values()]);
      const before = snapshot(state);
      expect(snapshot(addRequest(state, again, 2))).toEqual(before);
    }),
  );
});

test('groups that all have requests waiting never differ by more than one grant, and each is served in its order', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 60 }),
      fc.integer({ min: 1, max: 5 }),
      (batches, limit) => {
        let state = emptySlotState(limit);
        const left = new Map<string, number>();
        const seen = new Map<string, number>();
        for (const [at, batch] of batches.entries()) {
          const one = {
            key: `${batch}${at}`,
            afterPurchase: 0,
            requesterId: 'r',
            tenant: null,
            batch,
            priority: 'batch' as const,
            limit,
          };
          state = addRequest(state, one, at);
          left.set(batch, (left.get(batch) ?? 0) + 1);
        }
        const counts = new Map([...left.keys()].map((batch) => [batch, 0]));
        while (state.queue.size > 0) {
          const step = grantSlots(state, 0);
          for (const { key, batch } of step.grants) {
            const name = batch ?? '';
            expect(Number(key.slice(1))).toBeGreaterThan(seen.get(name) ?? -1);
            seen.set(name, Number(key.slice(1)));
            counts.set(name, (counts.get(name) ?? 0) + 1);
            const waiting = [...counts]
              .filter(([one, count]) => count < (left.get(one) ?? 0))
              .map(([, count]) => count);
            if (waiting.length > 0) expect(Math.max(...waiting) - Math.min(...waiting)).toBeLessThanOrEqual(1);
          }
          state = step.grants.reduce((one, { key }) => releaseSlot(one, { key: key, n: 1 }, 0), step.state);
        }
      },
    ),
  );
});
