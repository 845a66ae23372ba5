import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Bill, type Billable, type BudgetTerms, microsOf } from '../../src/contract/budget.js';
import type { OpenSlot, SlotReleaseMessage, SlotRequestMessage } from '../../src/contract/slots.js';
import { utcDay } from '../../src/contract/utc.js';
import { payersOf } from '../../workflows/slots/slot-entry.js';
import {
  addRequest,
  adoptOpenPurchases,
  grantSlots,
  releaseDeadHolders,
  releaseSlot,
  removeRequester,
  roomForAnotherPayer,
} from '../../workflows/slots/slot-queue.js';
import { budgetsOf, emptySlotState, heldEntries, type SlotState } from '../../workflows/slots/slot-state.js';
import { applySpending } from '../../workflows/slots/spending.js';

/** A purchase of the simulated account: granted, then perhaps submitted, then perhaps billed. */
interface Purchase extends OpenSlot {
  readonly cost: Billable;
  bill: Bill | null;
  closed: boolean;
}

const HOUR_MS = 3_600_000;
const MILLION = 1_000_000;
const PRICES = {
  '720P': { silent: 0.1 * MILLION, sound: 0.3 * MILLION },
  '1080P': { silent: MILLION, sound: MILLION },
};

/** An account that obeys its slots, with a ledger that is always right and messages that get lost. */
class World {
  state: SlotState;
  nowMs = Date.UTC(2026, 2, 31, 20);
  readonly purchases: Purchase[] = [];
  /** Granted runs that have not submitted yet, by key. */
  readonly granted = new Map<string, SlotRequestMessage>();
  readonly requests: SlotRequestMessage[] = [];
  /** The releases that the slots have received. */
  readonly releases: SlotReleaseMessage[] = [];
  /** Refusals for which the ledger shows that there was room. */
  readonly wronglyRefused: string[] = [];
  readonly terms: BudgetTerms;

  constructor(terms: BudgetTerms, limit: number) {
    this.terms = terms;
    this.state = emptySlotState(limit, terms);
  }

  request(request: SlotRequestMessage): void {
    // A run reads the ledger first: it follows an open purchase, and takes the video of an archived one.
    const newest = this.purchases.filter(({ key }) => key === request.key).at(-1);
    if (newest !== undefined && (!newest.closed || newest.bill !== null)) return;
    const one = { ...request, afterPurchase: newest?.n ?? 0 };
    if (roomForAnotherPayer(this.state, one, this.nowMs) !== 'fits') return;
    this.state = addRequest(this.state, one, this.nowMs);
    this.requests.push(one);
  }

  settle(): void {
    const step = grantSlots(this.state, this.nowMs);
    this.state = step.state;
    for (const { key, requesters } of step.grants) {
      const winner = this.requests.findLast((one) => one.key === key && requesters.includes(one.requesterId));
      if (winner !== undefined) this.granted.set(key, winner);
    }
    for (const { key, requesterId, reached } of step.refusals) {
      const request = this.requests.findLast((one) => one.key === key && one.requesterId === requesterId);
      if (request === undefined) throw new Error('refused a run without a request');
      const { scope, limit } = reached;
      const needed = this.spentIn(scope, request) + microsOf(this.terms, request.cost as Billable);
      if (needed <= Math.round(limit * MILLION))
        this.wronglyRefused.push(`${requesterId}: ${needed} of ${limit} (${scope})`);
    }
  }

  /** A granted run submits, if its slot is still held; `at` chooses it, and which of those that share the slot buys. */
  submit(at: number): void {
    const [key, request] = [...this.granted][at % Math.max(1, this.granted.size)] ?? [];
    if (key === undefined || request === undefined) return;
    this.granted.delete(key);
    const held = this.state.holders.find((holder) => holder.key === key);
    if (held === undefined || this.purchases.some((one) => one.key === key && !one.closed)) return;
    // Any of the runs that share the slot may be the one that buys.
    const sharing = this.requests.filter((one) => one.key === key && held.requesters.includes(one.requesterId));
    const buyer = sharing[at % Math.max(1, sharing.length)] ?? request;
    const n = this.purchases.filter((one) => one.key === key).length + 1;
    const { tenant, batch, cost } = buyer;
    if (cost === undefined) throw new Error('no cost');
    this.purchases.push({ key, n, workflowId: buyer.requesterId, tenant, batch, cost, bill: null, closed: false });
  }

  /** A task ends. Its bill is in the ledger before the slots get the release, if they get one. */
  end(at: number, how: 'billed' | 'free' | 'less', isSettled: boolean, ledgerOnly: boolean): void {
    const open = this.purchases.filter(({ bill, closed }) => !closed && bill === null);
    const one = open[at % Math.max(1, open.length)];
    if (one === undefined) return;
    const { key, n, tenant, batch, cost } = one;
    const seconds = how === 'less' ? cost.seconds - 1 : cost.seconds;
    const billed = how === 'free' ? null : { ...cost, seconds, tenant, batch, day: utcDay(this.nowMs) };
    one.bill = billed;
    one.closed = true;
    if (ledgerOnly) return;
    const release = { key, n, ...(isSettled && { settled: { billed } }) };
    this.releases.push(release);
    this.state = releaseSlot(this.state, release, this.nowMs);
  }

  /** Reads the ledger; `meanwhile` happens during the reading, and before the bills are read if `isLate`. */
  read(wholeDay: boolean, isLate: boolean, meanwhile: readonly (() => void)[]): void {
    const batches = ['a', 'b'];
    const open = this.purchases.filter(({ closed }) => !closed).map((one) => ({ ...one }));
    const day = utcDay(this.nowMs);
    const before = this.releases.length;
    let seen = this.purchases.filter(({ bill }) => bill !== null);
    for (const happens of meanwhile) happens();
    if (isLate) seen = this.purchases.filter(({ bill }) => bill !== null);
    const settled = this.releases.slice(before);
    const unpaid = open.filter(({ key, n }) => !seen.some((one) => one.key === key && one.n === n));
    const sum = (nameOf: (bill: Bill) => string | null, on?: string) => {
      const sums: Record<string, Record<string, number>> = {};
      for (const { bill } of seen) {
        if (bill === null || (on !== undefined && bill.day !== on)) continue;
        const name = nameOf(bill);
        if (name === null) continue;
        const kind = `${bill.resolution} ${bill.audio ? 'sound' : 'silent'}`;
        sums[name] = { ...sums[name], [kind]: (sums[name]?.[kind] ?? 0) + bill.seconds };
      }
      return sums;
    };
    const byBatch = sum(({ batch }) => batch);
    this.state = applySpending(
      this.state,
      {
        day: wholeDay ? { date: day, tenants: sum(({ tenant }) => tenant ?? '', day) } : null,
        batches: Object.fromEntries(batches.map((batch) => [batch, byBatch[batch] ?? {}])),
        paid: seen.flatMap(({ key, n, bill }) => (bill === null ? [] : [{ key, n, bill }])),
        open: unpaid,
      },
      settled,
      this.nowMs,
    );
  }

  /** Audits the holders: what has ended in the ledger is read again, then freed. */
  audit(forPersons: boolean): void {
    const newest = (key: string) => this.purchases.filter((one) => one.key === key).at(-1);
    const dead = heldEntries(this.state).flatMap(({ key, afterPurchase, sinceMs }) => {
      const one = newest(key);
      if (one === undefined || one.n <= afterPurchase) return [];
      if (one.closed) return [{ key, afterPurchase, sinceMs, settled: true, paid: one.bill !== null }];
      // It waits for a person: its slot is free.
      return forPersons && one.n % 2 === 1 ? [{ key, afterPurchase, sinceMs, settled: false, paid: false }] : [];
    });
    this.read(true, false, []);
    this.state = releaseDeadHolders(this.state, dead, this.nowMs);
  }

  /** The slots are lost and start again: they adopt what is open, and know nothing of what was granted. */
  restart(forPersons: boolean): void {
    // What waits for a person holds no slot.
    const open = this.purchases.filter(({ closed }) => !closed && !forPersons);
    this.state = adoptOpenPurchases(emptySlotState(this.state.limit, this.terms), open, this.nowMs);
  }

  spentIn(
    scope: 'day' | 'tenant' | 'batch',
    { tenant, batch }: Pick<SlotRequestMessage, 'tenant' | 'batch'>,
    day = utcDay(this.nowMs),
  ) {
    return this.purchases
      .flatMap(({ bill }) => (bill === null ? [] : [bill]))
      .filter((bill) => (scope === 'batch' ? bill.batch === batch : bill.day === day))
      .filter((bill) => scope !== 'tenant' || bill.tenant === tenant)
      .reduce((sum, bill) => sum + microsOf(this.terms, bill), 0);
  }

  /**
   * Requests that wait although a slot is free and their budgets have room, or although a budget can never have any.
   */
  heldUp(): string[] {
    const { holders, limit, queue } = this.state;
    const budgets = budgetsOf(this.state, this.nowMs);
    return [...queue.values()].flatMap((waiter) => {
      const rooms = payersOf(waiter).map((payer) => budgets?.room(payer, waiter.cost as Billable));
      const isFree = holders.length < limit && rooms.every((room) => room === 'fits');
      return isFree || rooms.some((room) => typeof room !== 'string') ? [waiter.key] : [];
    });
  }

  /** Budgets that are exceeded on any day by what was really billed. */
  overspent(): string[] {
    const { day, tenants, batches } = this.terms.limits;
    const faults: string[] = [];
    const days = new Set(this.purchases.flatMap(({ bill }) => (bill === null ? [] : [bill.day])));
    const check = (what: string, spent: number, limit: number | null | undefined) => {
      if (limit != null && spent > limit) faults.push(`${what}: ${spent} of ${limit}`);
    };
    for (const one of days) {
      check(one, this.spentIn('day', { tenant: null, batch: null }, one), day);
      for (const tenant of ['t', 'u'])
        check(`${one} ${tenant}`, this.spentIn('tenant', { tenant, batch: null }, one), tenants[tenant]);
    }
    for (const batch of ['a', 'b']) check(batch, this.spentIn('batch', { tenant: null, batch }), batches[batch]);
    return faults;
  }
}

const micros = fc.option(
  fc.integer({ min: 2, max: 30 }).map((tenths) => tenths * 100_000),
  { nil: null },
);
const terms = fc.record({ day: micros, t: micros, u: micros, a: micros, b: micros }).map(
  ({ day, t, u, a, b }): BudgetTerms => ({
    currency: 'CNY',
    prices: PRICES,
    limits: { day, tenants: { t, u }, batches: { a, b } },
  }),
);
const request = fc
  .record({
    id: fc.nat(24),
    whose: fc.nat(2),
    tenant: fc.constantFrom(null, 't', 'u'),
    batch: fc.constantFrom(null, 'a', 'b'),
  })
  .map(
    ({ id, whose, tenant, batch }): SlotRequestMessage => ({
      key: `k${id}`,
      afterPurchase: 0,
      requesterId: `r${id}-${whose}-${tenant}-${batch}`,
      tenant,
      batch,
      limit: 3,
      priority: batch === null ? 'interactive' : 'batch',
      // Of the key: equal requests cost the same.
      cost: { seconds: 2 + (id % 4), resolution: '720P', audio: id % 2 === 0 },
    }),
  );
const ending = fc.record({
  kind: fc.constant('end' as const),
  at: fc.nat(20),
  how: fc.constantFrom('billed' as const, 'billed' as const, 'free' as const, 'less' as const),
  isSettled: fc.boolean(),
  isLost: fc.boolean(),
});
const event = fc.oneof(
  { weight: 10, arbitrary: request.map((one) => ({ kind: 'request' as const, request: one })) },
  { weight: 10, arbitrary: fc.nat(20).map((at) => ({ kind: 'submit' as const, at })) },
  { weight: 6, arbitrary: ending },
  { weight: 1, arbitrary: fc.nat(20).map((at) => ({ kind: 'withdraw' as const, at })) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      wholeDay: fc.boolean(),
      isLate: fc.boolean(),
      during: fc.array(ending, { maxLength: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.boolean().map((forPersons) => ({ kind: 'audit' as const, forPersons })) },
  { weight: 1, arbitrary: fc.boolean().map((forPersons) => ({ kind: 'restart' as const, forPersons })) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 9 }).map((hours) => ({ kind: 'time' as const, hours })) },
);
type Event = typeof event extends fc.Arbitrary<infer One> ? One : never;

/** Long enough that budgets are spent: a short one buys nothing. */
const history = fc.array(event, { maxLength: 150, size: 'max' });

function happens(world: World, one: Event): void {
  switch (one.kind) {
    case 'request':
      world.request(one.request);
      break;
    case 'submit':
      world.submit(one.at);
      break;
    case 'end':
      world.end(one.at, one.how, one.isSettled, one.isLost);
      break;
    case 'withdraw': {
      const { key, requesters } = world.state.holders[one.at % Math.max(1, world.state.holders.length)] ?? {
        key: '',
        requesters: [],
      };
      const [requesterId = ''] = requesters;
      // A run that has bought something, or may have, does not claim that it has not.
      const isCertain = !world.purchases.some(
        (bought) => bought.key === key && (!bought.closed || bought.bill !== null),
      );
      world.state = removeRequester(world.state, key, requesterId, isCertain, world.nowMs);
      break;
    }
    case 'read':
      world.read(
        one.wholeDay || world.state.spending === null,
        one.isLate,
        one.during.map((end) => () => happens(world, end)),
      );
      break;
    case 'audit':
      world.audit(one.forPersons);
      break;
    case 'restart':
      world.restart(one.forPersons);
      break;
    case 'time':
      world.nowMs += one.hours * HOUR_MS;
      break;
  }
}

test('under any events in any order, no budget is exceeded by a millionth, and no run that has room is refused or held up', () => {
  fc.assert(
    fc.property(terms, history, (budget, events) => {
      const world = new World(budget, 3);
      for (const one of events) {
        happens(world, one);
        world.settle();
        expect(world.overspent()).toEqual([]);
        expect(world.wronglyRefused).toEqual([]);
        expect(world.heldUp()).toEqual([]);
      }
    }),
    { numRuns: 300 },
  );
});

test('the money of a slot that is released while the ledger is read, before its bill is known, stays reserved', () => {
  const world = new World(
    { currency: 'CNY', prices: PRICES, limits: { day: 0.6 * MILLION, tenants: {}, batches: {} } },
    3,
  );
  const requestOf = (key: string): SlotRequestMessage => ({
    key,
    afterPurchase: 0,
    requesterId: key,
    tenant: null,
    batch: null,
    limit: 3,
    priority: 'interactive',
    cost: { seconds: 2, resolution: '720P', audio: true },
  });
  const end: Event = { kind: 'end', at: 0, how: 'billed', isSettled: false, isLost: false };
  const events: readonly Event[] = [
    { kind: 'read', wholeDay: true, isLate: false, during: [] },
    { kind: 'request', request: requestOf('k0') },
    { kind: 'submit', at: 0 },
    { kind: 'restart', forPersons: true }, // the slots no longer know it, because it waits for a person
    { kind: 'read', wholeDay: true, isLate: false, during: [end] },
    { kind: 'request', request: requestOf('k1') },
  ];
  for (const one of events) {
    happens(world, one);
    world.settle();
  }
  expect(world.state.holders).toEqual([]);
  expect(world.state.unsettled).toMatchObject([{ key: 'k0' }]);
});

/** A world whose batches have room for one purchase each, and whose spending is known. */
function worldOfTwoBatches(): World {
  const limits = { day: null, tenants: {}, batches: { a: 0.5 * MILLION, b: 0.5 * MILLION } };
  const world = new World({ currency: 'CNY', prices: PRICES, limits }, 3);
  world.read(true, false, []);
  return world;
}

function requestOf(key: string, batch: string): SlotRequestMessage {
  const requesterId = `${key} of ${batch}`;
  const cost = { seconds: 5, resolution: '720P' as const, audio: false };
  return { key, afterPurchase: 0, requesterId, tenant: null, batch, limit: 3, priority: 'batch', cost };
}

/** Whether a batch has room for one more purchase. */
const roomIn = ({ state, nowMs }: World, batch: string) =>
  budgetsOf(state, nowMs)?.room({ tenant: null, batch }, { seconds: 5, resolution: '720P', audio: false });

test('a request whose budget is charged in the step in which a run of another batch joins it is refused once', () => {
  const world = worldOfTwoBatches();
  for (const key of ['k0', 'k1']) {
    world.request(requestOf(key, 'a'));
    world.settle();
  }
  world.submit(0);
  world.request(requestOf('k1', 'b'));
  world.end(0, 'billed', true, false);
  world.settle();
  expect(world.state.queue.get('k1')?.requesters ?? []).not.toContain('k1 of a');
  expect(world.wronglyRefused).toEqual([]);
});

test('a run that may have bought, and leaves its slot to others, keeps its money reserved', () => {
  const world = worldOfTwoBatches();
  world.request(requestOf('k0', 'a'));
  world.request(requestOf('k0', 'b'));
  world.settle();
  world.state = removeRequester(world.state, 'k0', 'k0 of b', false, world.nowMs);
  expect([roomIn(world, 'a'), roomIn(world, 'b')]).toEqual(['waits', 'waits']);
  // Nor is it free when an interactive request takes the slot over.
  world.request({ ...requestOf('k0', 'b'), requesterId: 'another', batch: null, priority: 'interactive' });
  expect([roomIn(world, 'a'), roomIn(world, 'b')]).toEqual(['waits', 'waits']);
  world.state = releaseSlot(world.state, { key: 'k0', n: 1, settled: { billed: null } }, world.nowMs);
  expect([roomIn(world, 'a'), roomIn(world, 'b')]).toEqual(['fits', 'fits']);
});

test('new slots reserve an open purchase for the run that bought it, although another one has requested it', () => {
  const world = worldOfTwoBatches();
  world.request(requestOf('k0', 'a'));
  world.settle();
  world.submit(0);
  world.restart(false);
  const fresh = addRequest(emptySlotState(3, world.terms), requestOf('k0', 'b'), world.nowMs);
  const open = world.purchases.filter(({ closed }) => !closed);
  world.state = adoptOpenPurchases(fresh, open, world.nowMs);
  world.read(true, false, []);
  expect([roomIn(world, 'a'), roomIn(world, 'b')]).toEqual(['waits', 'waits']);
});

test('a purchase that ends while its request waits, because its grant was undone by a reset, is counted once', () => {
  const world = worldOfTwoBatches();
  world.request(requestOf('k0', 'a'));
  const billed = { seconds: 5, resolution: '720P' as const, audio: false, tenant: null, batch: 'a', day: '2026-03-31' };
  const release = { key: 'k0', n: 1, settled: { billed } };
  for (let times = 0; times < 2; times += 1) world.state = releaseSlot(world.state, release, world.nowMs);
  expect(world.state.spending?.batches).toMatchObject({ a: { '720P silent': 5 } });
  expect(roomIn(world, 'a')).toMatchObject({ scope: 'batch', spent: 0.5 });
  world.state = releaseSlot(world.state, { key: 'k0', n: 2 }, world.nowMs);
  expect(world.state.unsettled).toMatchObject([{ key: 'k0', afterPurchase: 1 }]);
});
