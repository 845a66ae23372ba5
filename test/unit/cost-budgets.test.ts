import { expect, test } from 'vitest';
import { costBetween, costCsv, costTable } from '../../src/cli/cost.js';
import { budgetDifference } from '../../src/cli/doctor/check-runs.js';
import { termsOf } from '../../src/config/budgets.js';
import type { BudgetView } from '../../src/contract/budget.js';
import type { BillRecord } from '../../src/ledger/records.js';
import { slotsText } from '../../src/text/slots.js';
import { PRICES } from '../support/money.js';

const MICRO = 1_000_000;
const terms = termsOf(PRICES, {
  day: 2 * MICRO,
  tenants: { acme: 5 * MICRO, '*': MICRO, free: null, '': 3 * MICRO },
  batches: { 'night*': 2 * MICRO, once: MICRO },
});

/** Four silent seconds at 720P for each: 0.40. */
const paid = (tenant: string | null, batch?: string): BillRecord =>
  ({
    tenant,
    resolution: '720P',
    audio: false,
    billed_seconds: 4,
    memo: batch === undefined ? {} : { batch_id: batch },
  }) as unknown as BillRecord;
const ledgerOf = (records: Readonly<Record<string, readonly BillRecord[]>>) => {
  const read: string[] = [];
  return {
    read,
    async *listBills(day: string) {
      read.push(day);
      yield* records[day] ?? [];
    },
  } as never;
};
const RECORDS = {
  '2026-02-20': [paid('film', 'nightly'), paid('film', 'nightly'), paid('film', 'night-0')],
  '2026-02-28': [paid('film'), paid('free')],
  '2026-03-01': [paid('film', 'nightly'), paid('film'), paid('film'), paid(null), paid('free')],
};

test('cost shows each budget with what is spent of it and left: per day on the last day, of a batch over its life', async () => {
  const cost = await costBetween(ledgerOf(RECORDS), ['2026-02-28', '2026-03-01'], { prices: PRICES, budgets: terms });
  expect(cost.budgets).toEqual({
    day: '2026-03-01',
    limits: [
      { scope: 'day', name: null, limit: 2, spent: 2, left: 0 },
      { scope: 'tenant', name: null, limit: 3, spent: 0.4, left: 2.6 },
      { scope: 'tenant', name: 'acme', limit: 5, spent: 0, left: 5 },
      { scope: 'tenant', name: 'film', limit: 1, spent: 1.2, left: 0 },
      { scope: 'batch', name: 'nightly', limit: 2, spent: 1.2, left: 0.8 },
      { scope: 'batch', name: 'once', limit: 1, spent: 0, left: 1 },
    ],
  });
  const text = costTable(cost);
  expect(text).toContain(
    [
      '',
      'BUDGET (CNY)          LIMIT  SPENT  LEFT',
      'day                   2.00   2.00   0.00  reached',
      'no tenant, per day    3.00   0.40   2.60',
      'tenant acme, per day  5.00   0.00   5.00',
      'tenant film, per day  1.00   1.20   0.00  reached',
      'batch nightly         2.00   1.20   0.80',
      'batch once            1.00   0.00   1.00',
      '2026-03-01, UTC; batches over their whole life. "wan-video slots" shows what is reserved for unfinished videos.',
    ].join('\n'),
  );
  expect(costCsv(cost)).not.toContain('limit');
});

test('cost without budgets has none, reads no day twice, and shows budgets also of a day on which nothing was billed', async () => {
  const none = await costBetween(ledgerOf(RECORDS), ['2026-03-01'], { prices: PRICES });
  expect(none.budgets).toBeNull();
  expect(costTable(none)).not.toContain('BUDGET');
  const { read, ...quiet } = ledgerOf({}) as { read: string[] };
  const cost = await costBetween(quiet as never, ['2026-03-02'], { prices: PRICES, budgets: terms });
  expect(costTable(cost)).toMatch(/^Nothing was billed, 2026-03-02 to 2026-03-02, UTC\.\n\nBUDGET \(CNY\)/);
  expect(read).toHaveLength(30);
  expect(new Set(read).size).toBe(30);
});

const view = (scope: BudgetView['scope'], name: string | null, limit: number): BudgetView => ({
  scope,
  name,
  limit,
  spent: 0,
  reserved: 0,
});
const slots = { limit: 5, holders_count: 0, holders: [], waiting_count: 0, waiting_offset: 0, waiting: [] };
const day = view('day', null, 2);

test.each([
  ['the same', { currency: 'CNY', budgets: [day, view('tenant', 'film', 1), view('batch', 'nightly', 2)] }, undefined],
  ['none', {}, /they have none/],
  ['another currency', { currency: 'USD', budgets: [day] }, /use USD, not CNY/],
  ['another limit', { currency: 'CNY', budgets: [view('day', null, 20)] }, /day has 20\.00 there, and 2\.00 here/],
  ['no limit of the day', { currency: 'CNY', budgets: [view('tenant', 'film', 1)] }, /no limit for the day/],
  ['a limit that is gone', { currency: 'CNY', budgets: [day, view('tenant', 'free', 1)] }, /free.* no limit here/],
])('slots with %s are compared with the configured budgets', (_what, known, expected) => {
  const fault = budgetDifference({ ...slots, ...known }, terms);
  if (expected === undefined) expect(fault).toBeUndefined();
  else expect(fault).toMatch(expected);
});

test('slots shows what is left next to what is reserved, and what is not known yet', () => {
  const budgets = [
    { ...day, spent: 0.4, reserved: 0.1 },
    { ...view('tenant', null, 1), spent: 0.9, reserved: 0.3 },
    { ...view('batch', 'nightly', 2), spent: null, reserved: 0.4 },
  ];
  expect(
    slotsText({ ...slots, currency: 'CNY', budgets }, 0)
      .split('\n')
      .slice(2),
  ).toEqual([
    'BUDGET (CNY)        LIMIT  SPENT       RESERVED  LEFT',
    'day                 2.00   0.40        0.10      1.50',
    'no tenant, per day  1.00   0.90        0.30      0.00',
    'batch nightly       2.00   being read  0.40      -',
  ]);
});

test('cost says how many of the seconds are estimated, in text, JSON and CSV', async () => {
  const records = [
    paid('film'),
    { ...paid('film'), estimated: true },
    { ...paid('acme'), audio: true, estimated: true },
  ];
  const cost = await costBetween(ledgerOf({ '2026-03-01': records }), ['2026-03-01'], { by: 'tenant' });
  expect(cost.total).toMatchObject({ videos: 3, seconds: 12, estimated_seconds: 8 });
  expect(cost.rows).toMatchObject([
    { group: 'acme', seconds: 4, estimated_seconds: 4 },
    { group: 'film', seconds: 8, estimated_seconds: 4, items: [{ seconds: 8, estimated_seconds: 4 }] },
  ]);
  expect(costTable(cost)).toContain('estimated 8 s of it: the provider did not say all of what it bills');
  expect(costCsv(cost).split('\r\n')).toEqual([
    'tenant,resolution,audio,videos,seconds,amount,currency,estimated_seconds',
    'acme,720P,sound,1,4,,,4',
    'film,720P,silent,2,8,,,4',
  ]);
  const confirmed = await costBetween(ledgerOf({ '2026-03-01': [paid('film')] }), ['2026-03-01'], {});
  expect(costTable(confirmed)).not.toContain('estimated');
});
