import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Bill, type Billable, type BudgetTerms, microsOf } from '../../src/contract/budget.js';
import type { SlotReleaseMessage, SlotRequestMessage } from '../../src/contract/slots.js';
import { utcDay } from '../../src/contract/utc.js';
import {
  addRequest,
  adoptOpenPurchases,
  budgetsOf,
  emptySlotState,
  grantSlots,
  type OpenSlot,
  payersOf,
  releaseDeadHolders,
  releaseSlot,
  removeRequester,
  roomForAnotherPayer,
  type SlotState,
} from '../../workflows/slots/slot-queue.js';
import { applySpending } from '../../workflows/slots/spending.js';

/** A purchase of the simulated account: granted, then perhaps sent, then perhaps billed. */
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

/** What an account does that keeps to what the slots say, with a ledger that never lies and messages that get lost. */
class World {
  state: SlotState;
  nowMs = Date.UTC(2026, 2, 31, 20);
  readonly purchases: Purchase[] = [];
  /** Granted runs that have not sent yet, by key. */
  readonly granted = new Map<string, SlotRequestMessage>();
  readonly asks: SlotRequestMessage[] = [];
  /** What was reported to the slots. */
  readonly returns: SlotReleaseMessage[] = [];
  /** Refusals for which the ledger shows that there was room. */
  readonly wronglyRefused: string[] = [];
  readonly terms: BudgetTerms;

  constructor(terms: BudgetTerms, limit: number) {
    this.terms = terms;
    this.state = { ...emptySlotState(limit), budget: terms, spending: null, parked: [] };
  }

  ask(ask: SlotRequestMessage): void {
    // A run looks in the ledger first: an open purchase is followed, one that is archived taken.
    const newest = this.purchases.filter(({ key }) => key === ask.key).at(-1);
    if (newest !== undefined && (!newest.closed || newest.bill !== null)) return;
    const one = { ...ask, afterPurchase: newest?.n ?? 0 };
    if (roomForAnotherPayer(this.state, one, this.nowMs) !== 'fits') return;
    this.state = addRequest(this.state, one, this.nowMs);
    this.asks.push(one);
  }

  settle(): void {
    const step = grantSlots(this.state, this.nowMs);
    this.state = step.state;
    for (const { key, requesters } of step.grants) {
      const winner = this.asks.findLast((ask) => ask.key === key && requesters.includes(ask.requesterId));
      if (winner !== undefined) this.granted.set(key, winner);
    }
    for (const { key, requesterId, reached } of step.refusals) {
      const ask = this.asks.findLast((one) => one.key === key && one.requesterId === requesterId);
      if (ask === undefined) throw new Error('refused somebody who did not ask');
      const { scope, limit } = reached;
      const needed = this.spentIn(scope, ask) + microsOf(this.terms, ask.cost as Billable);
      if (needed <= Math.round(limit * MILLION))
        this.wronglyRefused.push(`${requesterId}: ${needed} of ${limit} (${scope})`);
    }
  }

  /** A run sends what was granted: only while it holds its slot. `by` is any of those who share it. */
  send(at: number): void {
    const [key, ask] = [...this.granted][at % Math.max(1, this.granted.size)] ?? [];
    if (key === undefined || ask === undefined) return;
    this.granted.delete(key);
    const held = this.state.holders.find((holder) => holder.key === key);
    if (held === undefined || this.purchases.some((one) => one.key === key && !one.closed)) return;
    // Any of those who share the slot may be the one that buys.
    const sharing = this.asks.filter((one) => one.key === key && held.requesters.includes(one.requesterId));
    const buyer = sharing[at % Math.max(1, sharing.length)] ?? ask;
    const n = this.purchases.filter((one) => one.key === key).length + 1;
    const { tenant, batch, cost } = buyer;
    if (cost === undefined) throw new Error('no cost');
    this.purchases.push({ key, n, workflowId: buyer.requesterId, tenant, batch, cost, bill: null, closed: false });
  }

  /** A task ends: its bill is in the ledger before it is reported to the slots, if it is. */
  end(at: number, how: 'billed' | 'free' | 'less', isReported: boolean, ledgerOnly: boolean): void {
    const open = this.purchases.filter(({ bill, closed }) => !closed && bill === null);
    const one = open[at % Math.max(1, open.length)];
    if (one === undefined) return;
    const { key, n, tenant, cost } = one;
    const seconds = how === 'less' ? cost.seconds - 1 : cost.seconds;
    const batch = one.batch ?? null;
    const billed = how === 'free' ? null : { ...cost, seconds, tenant, batch, day: utcDay(this.nowMs) };
    one.bill = billed;
    one.closed = true;
    if (ledgerOnly) return;
    const given = { key, n, ...(isReported && { settled: { billed } }) };
    this.returns.push(given);
    this.state = releaseSlot(this.state, given, this.nowMs);
  }

  /** What the ledger shows; `meanwhile` happens while it is read, before the bills are when `isLate`. */
  read(whole: boolean, isLate: boolean, meanwhile: readonly (() => void)[]): void {
    const batches = ['a', 'b'];
    const open = this.purchases.filter(({ closed }) => !closed).map((one) => ({ ...one }));
    const day = utcDay(this.nowMs);
    const before = this.returns.length;
    let seen = this.purchases.filter(({ bill }) => bill !== null);
    for (const happens of meanwhile) happens();
    if (isLate) seen = this.purchases.filter(({ bill }) => bill !== null);
    const settled = this.returns.slice(before);
    const unpaid = open.filter(({ key, n }) => !seen.some((one) => one.key === key && one.n === n));
    const sum = (of: (paid: Bill) => string | null, on?: string) => {
      const sums: Record<string, Record<string, number>> = {};
      for (const { bill } of seen) {
        if (bill === null || (on !== undefined && bill.day !== on)) continue;
        const name = of(bill);
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
        day: whole ? { date: day, tenants: sum(({ tenant }) => tenant ?? '', day) } : null,
        batches: Object.fromEntries(batches.map((batch) => [batch, byBatch[batch] ?? {}])),
        paid: seen.flatMap(({ key, n, bill }) => (bill === null ? [] : [{ key, n, billed: bill }])),
        open: unpaid,
      },
      settled,
      this.nowMs,
    );
  }

  /** A look at the holders: what is over in the ledger is read again, then freed. */
  look(forPersons: boolean): void {
    const newest = (key: string) => this.purchases.filter((one) => one.key === key).at(-1);
    const entries = [...this.state.holders, ...(this.state.parked ?? [])];
    const dead = entries.flatMap(({ key, afterPurchase, sinceMs }) => {
      const one = newest(key);
      if (one === undefined || one.n <= afterPurchase) return [];
      if (one.closed) return [{ key, afterPurchase, sinceMs, over: true }];
      // It waits for a person: its slot is free.
      return forPersons && one.n % 2 === 1 ? [{ key, afterPurchase, sinceMs, over: false }] : [];
    });
    this.read(true, false, []);
    this.state = releaseDeadHolders(this.state, dead, this.nowMs);
  }

  /** The slots are gone, and started again: they take what is open as held, and know nothing of what was granted. */
  restart(forPersons: boolean): void {
    // What waits for a person holds no slot.
    const open = this.purchases.filter(({ closed }) => !closed && !forPersons);
    this.state = adoptOpenPurchases(
      { ...emptySlotState(this.state.limit), budget: this.terms, spending: null, parked: [] },
      open,
      this.nowMs,
    );
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

  /** Who waits although a slot is free and its own budgets have room, or although they cannot have any. */
  heldUp(): string[] {
    const { holders, limit, waiters } = this.state;
    const budgets = budgetsOf(this.state, this.terms, this.nowMs);
    return waiters.flatMap((waiter) => {
      const rooms = payersOf(waiter).map((payer) => budgets.room(payer, waiter.cost as Billable));
      const isFree = holders.length < limit && rooms.every((room) => room === 'fits');
      return isFree || rooms.some((room) => typeof room !== 'string') ? [waiter.key] : [];
    });
  }

  /** Every budget, on every day, against what was really billed. */
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
  isReported: fc.boolean(),
  isLost: fc.boolean(),
});
const event = fc.oneof(
  { weight: 10, arbitrary: request.map((ask) => ({ kind: 'ask' as const, ask })) },
  { weight: 10, arbitrary: fc.nat(20).map((at) => ({ kind: 'send' as const, at })) },
  { weight: 6, arbitrary: ending },
  { weight: 1, arbitrary: fc.nat(20).map((at) => ({ kind: 'leave' as const, at })) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      whole: fc.boolean(),
      isLate: fc.boolean(),
      during: fc.array(ending, { maxLength: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.boolean().map((forPersons) => ({ kind: 'look' as const, forPersons })) },
  { weight: 1, arbitrary: fc.boolean().map((forPersons) => ({ kind: 'restart' as const, forPersons })) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 9 }).map((hours) => ({ kind: 'time' as const, hours })) },
);
type Event = typeof event extends fc.Arbitrary<infer One> ? One : never;

/** Long enough that budgets are spent: a short one buys nothing. */
const history = fc.array(event, { maxLength: 150, size: 'max' });

function happens(world: World, one: Event): void {
  switch (one.kind) {
    case 'ask':
      world.ask(one.ask);
      break;
    case 'send':
      world.send(one.at);
      break;
    case 'end':
      world.end(one.at, one.how, one.isReported, one.isLost);
      break;
    case 'leave': {
      const { key, requesters } = world.state.holders[one.at % Math.max(1, world.state.holders.length)] ?? {
        key: '',
        requesters: [],
      };
      const [requesterId = ''] = requesters;
      // A run that has bought something, or may have, does not say that it has not.
      const isCertain = !world.purchases.some(
        (bought) => bought.key === key && (!bought.closed || bought.bill !== null),
      );
      world.state = removeRequester(world.state, key, requesterId, isCertain, world.nowMs);
      break;
    }
    case 'read':
      world.read(
        one.whole || world.state.spending == null,
        one.isLate,
        one.during.map((end) => () => happens(world, end)),
      );
      break;
    case 'look':
      world.look(one.forPersons);
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
        // What goes through continue-as-new is JSON.
        expect(JSON.parse(JSON.stringify(world.state))).toEqual(world.state);
      }
    }),
    { numRuns: 300 },
  );
});

test('what is given back while the ledger is read, before it is known what it came to, stays reserved', () => {
  const world = new World(
    { currency: 'CNY', prices: PRICES, limits: { day: 0.6 * MILLION, tenants: {}, batches: {} } },
    3,
  );
  const ask = (key: string): SlotRequestMessage => ({
    key,
    afterPurchase: 0,
    requesterId: key,
    tenant: null,
    batch: null,
    limit: 3,
    priority: 'interactive',
    cost: { seconds: 2, resolution: '720P', audio: true },
  });
  const end: Event = { kind: 'end', at: 0, how: 'billed', isReported: false, isLost: false };
  const events: readonly Event[] = [
    { kind: 'read', whole: true, isLate: false, during: [] },
    { kind: 'ask', ask: ask('k0') },
    { kind: 'send', at: 0 },
    { kind: 'restart', forPersons: true }, // the slots do not know it any more, as it waits for a person
    { kind: 'read', whole: true, isLate: false, during: [end] },
    { kind: 'ask', ask: ask('k1') },
  ];
  for (const one of events) {
    happens(world, one);
    world.settle();
  }
  expect(world.state.holders).toEqual([]);
  expect(world.state.parked).toMatchObject([{ key: 'k0' }]);
});
