import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SLOT_REQUESTS_MAX } from '../../src/contract/slots.js';
import { packQueue, unpackQueue } from '../../workflows/slots/carried-queue.js';
import {
  isBudgetQuestion,
  isBudgetTerms,
  isLimit,
  isSlotRelease,
  isSlotRequest,
  isSlotWithdrawal,
  readSlotRequests,
} from '../../workflows/slots/message-guards.js';
import { addRequest, grantSlots, releaseSlot, removeRequester } from '../../workflows/slots/slot-queue.js';
import { budgetsOf, emptySlotState, type SlotState } from '../../workflows/slots/slot-state.js';
import { toDetails, toSlotsView } from '../../workflows/slots/slots-view.js';
import { WaitingQueue } from '../../workflows/slots/waiting-queue.js';

const NOW_MS = Date.UTC(2026, 2, 31, 20);
/** Texts that have stopped a program somewhere, among ordinary ones. */
const NAMES = ['', 'a', 'b', 't', '__proto__', 'constructor', 'toString', '*', '\u0000', '\ud800', 'x'.repeat(1_001)];

const KEY = 'a'.repeat(64);
const KEYS = [KEY, 'b'.repeat(64), '0'.repeat(64)];

const anything = fc.oneof({ depthSize: 'small' }, fc.jsonValue(), fc.constantFrom(...NAMES), fc.constant(undefined));
const mostly = <Value>(value: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 12, arbitrary: value as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: anything });
const name = mostly(fc.constantFrom(...NAMES.slice(1, 9)));
const nameOrNull = fc.oneof(name, fc.constant(null));
const count = mostly(fc.nat(3));
const amount = mostly(fc.integer({ min: 0, max: 5_000_000 }));

const cost = fc.record({
  seconds: mostly(fc.integer({ min: 0, max: 15 })),
  resolution: mostly(fc.constantFrom('720P', '1080P')),
  audio: mostly(fc.boolean()),
});
const bill = fc
  .tuple(cost, fc.record({ day: mostly(fc.constant('2026-03-31')), tenant: nameOrNull, batch: nameOrNull }))
  .map(([billed, payer]) => ({ ...billed, ...payer }));
const price = fc.record({ silent: amount, sound: amount });
const limits = mostly(fc.dictionary(fc.constantFrom(...NAMES), fc.oneof(amount, fc.constant(null))));
const budget = fc.record({
  currency: mostly(fc.constant('CNY')),
  prices: mostly(fc.record({ '720P': price, '1080P': price })),
  limits: mostly(fc.record({ day: fc.oneof(amount, fc.constant(null)), tenants: limits, batches: limits })),
});
const message = fc.oneof(
  anything,
  fc.record(
    {
      key: mostly(fc.constantFrom(...KEYS)),
      afterPurchase: count,
      n: count,
      requesterId: name,
      tenant: nameOrNull,
      batch: nameOrNull,
      priority: mostly(fc.constantFrom('interactive', 'batch')),
      limit: count,
      cost: mostly(cost),
      settled: mostly(fc.record({ billed: fc.oneof(bill, fc.constant(null)) })),
      nothingBought: mostly(fc.boolean()),
    },
    { requiredKeys: ['key', 'requesterId', 'tenant', 'batch', 'priority'] },
  ),
);

/** Applies one message as each signal whose guard accepts it. */
function apply(state: SlotState, one: unknown, terms: unknown): SlotState {
  let next = state;
  if (isBudgetTerms(terms)) next = { ...next, budget: terms, spending: next.spending ?? { days: {}, batches: {} } };
  if (isSlotRequest(one)) next = addRequest(next, one, NOW_MS);
  if (isSlotRelease(one)) next = releaseSlot(next, one, NOW_MS);
  if (isSlotWithdrawal(one)) next = removeRequester(next, one.key, one.requesterId, false, NOW_MS);
  return next;
}

test('no message makes a decision fail, and none that is accepted yields a command that Temporal refuses', () => {
  const accepted = { requests: 0, releases: 0, withdrawals: 0, budgets: 0 };
  fc.assert(
    fc.property(fc.array(fc.tuple(message, fc.oneof(budget, anything)), { maxLength: 20 }), (messages) => {
      let state = emptySlotState(2);
      for (const [one, terms] of messages) {
        accepted.requests += Number(isSlotRequest(one));
        accepted.releases += Number(isSlotRelease(one));
        accepted.withdrawals += Number(isSlotWithdrawal(one));
        accepted.budgets += Number(isBudgetTerms(terms));
        state = grantSlots(apply(state, one, terms), NOW_MS).state;
        if (isBudgetQuestion(one)) expect(budgetsOf(state, NOW_MS)?.room(one, one.cost)).not.toBe('');
        const { refusals } = grantSlots(state, NOW_MS);
        expect(toSlotsView(state, {}, NOW_MS).limit).toBe(2);
        expect(toDetails(state, 0, NOW_MS)).toContain('slots are held');
        const requesters = [...state.holders, ...state.queue.values()].flatMap((entry) => entry.requesters);
        for (const id of [...requesters, ...refusals.map(({ requesterId }) => requesterId)]) {
          expect(id).toBeTruthy();
          expect(Buffer.byteLength(id)).toBeLessThanOrEqual(1_000);
          expect(Buffer.from(id).toString()).toBe(id);
        }
        const carried = new WaitingQueue();
        unpackQueue(packQueue(state.queue, 500), carried);
        expect([...carried.values()]).toEqual([...state.queue.values()]);
        const { queue: _queue, checks: _checks, ...rest } = state;
        expect(JSON.parse(JSON.stringify(rest))).toEqual(rest);
      }
    }),
    { numRuns: 200 },
  );
  // The messages are not so wrong that none is accepted.
  expect(Math.min(...Object.values(accepted))).toBeGreaterThan(50);
});

const request = {
  key: KEY,
  afterPurchase: 0,
  requesterId: 'run',
  tenant: null,
  batch: null,
  priority: 'interactive',
  limit: 2,
};

test.each([
  ['no object', null],
  ['text', 'requestSlot'],
  ['a list', []],
  ['an empty requester', { ...request, requesterId: '' }],
  ['no requester', { ...request, requesterId: undefined }],
  ['a requester that is no text', { ...request, requesterId: { toString: 1 } }],
  ['a requester longer than a workflow id', { ...request, requesterId: 'é'.repeat(501) }],
  ['a requester that UTF-8 cannot hold', { ...request, requesterId: 'run\ud83d' }],
  ['an empty key', { ...request, key: '' }],
  ['a key that is a path', { ...request, key: '../../x' }],
  ['a key of 65 digits', { ...request, key: `${KEY}0` }],
  ['a key in upper case', { ...request, key: KEY.toUpperCase() }],
  ['a key in a line', { ...request, key: `${KEY}\n` }],
  ['a negative purchase', { ...request, afterPurchase: -1 }],
  ['a fraction of a purchase', { ...request, afterPurchase: 0.5 }],
  ['no tenant', { ...request, tenant: undefined }],
  ['a batch that is a number', { ...request, batch: 7 }],
  ['an unknown priority', { ...request, priority: 'urgent' }],
  ['an empty cost', { ...request, cost: {} }],
  ['a cost of endless seconds', { ...request, cost: { seconds: Infinity, resolution: '720P', audio: false } }],
  ['a cost that is null', { ...request, cost: null }],
])('a request with %s is malformed', (_what, malformed) => {
  expect(isSlotRequest(request)).toBe(true);
  expect(isSlotRequest(malformed)).toBe(false);
});

test('a request from a later version, with fields that are unknown here, is well-formed', () => {
  expect(isSlotRequest({ ...request, region: { name: 'x' }, limit: 'unlimited' })).toBe(true);
});

const bills = { seconds: 4, resolution: '720P', audio: false, day: '2026-03-31', tenant: null, batch: null };

test.each([
  ['no number', { key: KEY, n: '1' }],
  ['a key that is no hash', { key: 'k', n: 1 }],
  ['a settlement that is text', { key: KEY, n: 1, settled: 'x' }],
  ['a settlement without a bill', { key: KEY, n: 1, settled: {} }],
  ['a bill of an unknown resolution', { key: KEY, n: 1, settled: { billed: { ...bills, resolution: '8K' } } }],
  ['a bill without a day', { key: KEY, n: 1, settled: { billed: { ...bills, day: 'tomorrow' } } }],
  ['a bill of negative seconds', { key: KEY, n: 1, settled: { billed: { ...bills, seconds: -4 } } }],
])('a release with %s is malformed', (_what, malformed) => {
  expect(isSlotRelease({ key: KEY, n: 1, settled: { billed: bills } })).toBe(true);
  expect(isSlotRelease(malformed)).toBe(false);
});

test('a withdrawal of what is no purchase key is malformed', () => {
  expect(isSlotWithdrawal({ key: KEY, requesterId: 'run' })).toBe(true);
  expect(isSlotWithdrawal({ key: 'k', requesterId: 'run' })).toBe(false);
});

test('a limit is a whole number of slots, and budgets beyond one payload are malformed', () => {
  expect([1, 5, 0, -1, 1.5, '5', null, Number.NaN, Infinity].map(isLimit)).toEqual([
    ...[true, true],
    ...Array(7).fill(false),
  ]);
  const prices = { '720P': { silent: 1, sound: 1 }, '1080P': { silent: 1, sound: 1 } };
  const terms = (tenants: object) => ({ currency: 'CNY', prices, limits: { day: 1, tenants, batches: {} } });
  expect(isBudgetTerms(terms({ a: 1, b: null }))).toBe(true);
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`${at}`.padStart(100), 1]));
  expect(isBudgetTerms(terms(many))).toBe(false);
});

test('of the requests in one message each well-formed one counts, once, and one of them has the limit and the budgets', () => {
  const group = fc.oneof(
    anything,
    fc.record({
      requests: mostly(fc.array(message, { maxLength: 6 })),
      limit: count,
      budget: fc.oneof(budget, anything),
    }),
  );
  let read = 0;
  fc.assert(
    fc.property(group, (one) => {
      const found = readSlotRequests(one);
      if (found === undefined) return;
      const { requests, limit, budget: terms } = one as Record<string, unknown> & { requests: unknown[] };
      const wellFormed = requests.filter(isSlotRequest);
      expect(found.malformed).toBe(requests.length - wellFormed.length);
      expect(found.requests.map(({ key, requesterId }) => [key, requesterId])).toEqual(
        wellFormed.map(({ key, requesterId }) => [key, requesterId]),
      );
      const [first] = found.requests;
      if (first === undefined) return;
      read += 1;
      expect(isSlotRequest(first)).toBe(true);
      if (limit !== undefined) expect(first.limit).toEqual(limit);
      if (terms !== undefined) expect(first.budget).toEqual(terms);
    }),
    { numRuns: 500 },
  );
  expect(read).toBeGreaterThan(20);
});

test('a message with more requests than a worker sends is malformed once, not once for each of them', () => {
  const requests = (count: number) => ({ requests: Array.from({ length: count }, () => 1) });
  expect(readSlotRequests(requests(SLOT_REQUESTS_MAX))).toEqual({ requests: [], malformed: SLOT_REQUESTS_MAX });
  expect(readSlotRequests(requests(SLOT_REQUESTS_MAX + 1))).toBeUndefined();
});
