import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BudgetTerms } from '../../src/contract/budget.js';
import type { SlotRequestMessage } from '../../src/contract/slots.js';
import { type DueAnswer, DueAnswers } from '../../workflows/slots/due-answers.js';
import { Notifier } from '../../workflows/slots/notifier.js';
import { addRequest, grantSlots, releaseSlot, roomForAnotherPayer } from '../../workflows/slots/slot-queue.js';
import { emptySlotState, type SlotState } from '../../workflows/slots/slot-state.js';

const drain = (due: DueAnswers): DueAnswer[] => {
  const taken: DueAnswer[] = [];
  for (let one = due.take(); one !== undefined; one = due.take()) taken.push(one);
  return taken;
};
const dueOf = (id: number, position = id): DueAnswer => ({
  requesterId: `run ${id}`,
  key: 'k',
  answer: { key: `${position}`, afterPurchase: 0, waiting: null },
});

test('a grant is sent before ten thousand places that were due before it', () => {
  const due = new DueAnswers();
  for (let id = 0; id < 10_000; id += 1) due.addPlace(dueOf(id));
  due.addDecision(dueOf(9_999));
  expect(due.decisionsCount).toBe(1);
  expect(due.take()).toEqual(dueOf(9_999));
  expect(drain(due)).toHaveLength(9_999);
});

test('each request has at most one answer due, the latest, and decisions are sent first', () => {
  const step = fc.record({ id: fc.nat(6), isDecision: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const due = new DueAnswers();
      const latest = new Map<number, number>();
      const decided = new Set<number>();
      for (const [at, { id, isDecision }] of steps.entries()) {
        latest.set(id, at);
        if (isDecision) due.addDecision(dueOf(id, at));
        else due.addPlace(dueOf(id, at));
        if (isDecision) decided.add(id);
      }
      const listed = [...due.values()];
      const taken = drain(due);
      expect(listed).toEqual(taken);
      const sorted = (all: readonly DueAnswer[]) => [...all].sort((a, b) => (a.requesterId < b.requesterId ? -1 : 1));
      expect(sorted(taken)).toEqual(sorted([...latest].map(([id, at]) => dueOf(id, at))));
      const areDecisions = taken.map(({ requesterId }) => decided.has(Number(requesterId.slice(4))));
      expect(areDecisions).toEqual([...areDecisions].sort((a, b) => Number(b) - Number(a)));
    }),
  );
});

test('a flood of requests that the queue has no room for does not exceed the input of the next run', () => {
  const state = emptySlotState(5);
  const refused = { ...dueOf(0), answer: { key: 'k', afterPurchase: 0, waiting: null, reached: {} as never } };
  const notifier = new Notifier(
    () => state,
    [dueOf(1), refused],
    () => undefined,
  );
  for (let at = 0; at < 20_000; at += 1) {
    const [key, requesterId] = [`${at}`.padStart(64, '0'), `video/${`${at}`.padStart(64, '0')}`];
    const names = { tenant: null, batch: null, priority: 'batch', limit: 5 } as const;
    const request: SlotRequestMessage = { key, requesterId, afterPurchase: 0, ...names };
    notifier.answerQueueFull(request, 1_800_000_000_000);
  }
  const due = notifier.takeDue();
  expect(JSON.stringify(due).length).toBeLessThan(400_000);
  expect(due).toContainEqual(refused);
});

const MILLION = 1_000_000;
const price = { silent: MILLION, sound: MILLION };
const terms: BudgetTerms = {
  currency: 'CNY',
  prices: { '720P': price, '1080P': price },
  limits: { day: 12 * MILLION, tenants: { t: 6 * MILLION }, batches: {} },
};
const billed = { seconds: 2, resolution: '720P', audio: false } as const;
const arrival = fc
  .record({ id: fc.nat(9), run: fc.nat(2), tenant: fc.constantFrom(null, 't') })
  .map(({ id, run, tenant }): SlotRequestMessage => {
    const names = { key: `k${id}`, requesterId: `r${id}-${run}-${tenant}`, tenant, batch: null };
    return { ...names, afterPurchase: 0, priority: 'interactive', limit: 2, cost: billed };
  });

test('each request is answered in the step in which it comes: by its slot, its place or the budget that is reached', () => {
  const counts = { refused: 0, granted: 0, placed: 0 };
  const day = '2026-03-31';
  const nowMs = Date.parse(day);
  fc.assert(
    fc.property(fc.array(fc.record({ arrivals: fc.array(arrival, { maxLength: 4 }), ends: fc.nat(2) })), (all) => {
      let state = { ...emptySlotState(2, terms), spending: { days: {}, batches: {} } } as SlotState;
      for (const { arrivals, ends } of all) {
        const notifier = new Notifier(
          () => state,
          [],
          () => undefined,
        );
        notifier.hold();
        const accepted = arrivals.filter((one) => roomForAnotherPayer(state, one, nowMs) === 'fits');
        for (const one of accepted) {
          state = addRequest(state, one, nowMs);
          notifier.expectReply(one.requesterId, one.key);
        }
        for (const { key, tenant } of state.holders.slice(0, ends)) {
          const bill = { ...billed, day, tenant, batch: null };
          state = releaseSlot(state, { key, n: 1, settled: { billed: bill } }, nowMs);
        }
        const step = grantSlots(state, nowMs);
        state = step.state;
        notifier.sendAnswers(step, nowMs);
        const due = notifier.takeDue();
        for (const { key, requesterId } of accepted) {
          const one = due.find((answer) => answer.key === key && answer.requesterId === requesterId);
          const waiter = state.queue.get(key);
          if (step.refusals.some((refusal) => refusal.key === key && refusal.requesterId === requesterId)) {
            expect(one?.answer?.reached).toBeDefined();
            counts.refused += 1;
          } else if (waiter?.requesters.includes(requesterId)) {
            expect(waiter.notified.isDue).toBe(true);
            counts.placed += 1;
          } else {
            expect(one).toBeDefined();
            counts.granted += 1;
          }
        }
        for (const { notified } of state.queue.values()) notified.isDue = false;
      }
    }),
  );
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(20);
});

describe('a request by an Update', () => {
  const request = (key: string): SlotRequestMessage => ({
    key,
    afterPurchase: 0,
    requesterId: `run of ${key}`,
    tenant: null,
    batch: null,
    priority: 'interactive',
    limit: 1,
  });
  const setUp = () => {
    let state: SlotState = emptySlotState(1);
    const notifier = new Notifier(
      () => state,
      undefined,
      () => undefined,
    );
    notifier.hold(); // what would be sent stays due
    const receive = (message: SlotRequestMessage) => {
      state = addRequest(state, message, 0);
      notifier.expectReply(message.requesterId, message.key);
    };
    const step = () => {
      const granted = grantSlots(state, 0, 500);
      state = granted.state;
      notifier.sendAnswers(granted, 0);
    };
    return { notifier, receive, step };
  };

  test('is answered with its slot, or its place, and nothing is sent to it', () => {
    const { notifier, receive, step } = setUp();
    for (const key of ['a', 'b']) {
      notifier.answer(request(key), true);
      receive(request(key));
    }
    step();
    expect(notifier.takeDirectAnswer(request('a'))).toEqual({ key: 'a', afterPurchase: 0, waiting: null });
    expect(notifier.takeDirectAnswer(request('b'))).toMatchObject({ key: 'b', waiting: { position: 1 } });
    expect(notifier.takeDue()).toEqual([]);
  });

  test.each([
    ['before', [false, true]],
    ['after', [true, false]],
  ])('whose sender has given up, and whose signal comes %s it, is answered by a signal', (_, ways) => {
    const { notifier, receive, step } = setUp();
    for (const isDirect of ways) {
      notifier.answer(request('a'), isDirect);
      receive(request('a'));
    }
    step();
    expect(notifier.takeDirectAnswer(request('a'))).toBeNull();
    expect(notifier.takeDue()).toEqual([{ requesterId: 'run of a', key: 'a' }]);
  });
});
