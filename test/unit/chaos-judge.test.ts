import { expect, test } from 'vitest';
import { parseBudgets } from '../../src/config/budgets.js';
import { requestIssues } from '../../src/contract/validate.js';
// @ts-expect-error the chaos run is plain JavaScript
import { REQUESTS, withHostility } from '../chaos/hostility.mjs';
// @ts-expect-error the same
import { verdict } from '../chaos/judge.mjs';
// @ts-expect-error the same
import { budgetFileOf, limitsOf, slotsBelieve } from '../chaos/money.mjs';
// @ts-expect-error the same
import { DRIFT, planOf } from '../chaos/plan.mjs';
// @ts-expect-error the same
import { randomOf } from '../chaos/random.mjs';

const task = { task_id: 't', prompt: 'p', billed_seconds: 3, end_ms: 1_000 };
const good = {
  tasks: [task],
  hashes: new Map([['t', { provider: 'x', stored: 'x', storedAtMs: 1_500 }]]),
  generations: [{ prompt: 'p' }],
  runs: [{ id: 'r', end: 'completed' }],
  open: [],
  openPurchases: [],
  reports: [{ prompt: 'p', billed_seconds: 3 }],
  limits: { day: 900_000, tenant: 450_000, batch: 450_000 }, // at 0.15 a second: six, three and three seconds
  summaries: [{ id: 'b', summary: { seconds: 3 }, lines: { seconds: 3 } }],
  booked: [{ task_id: 't', seconds: 3, estimated: false }],
  beliefs: [],
};
const booked = (...seconds: number[]) => ({
  booked: seconds.map((one) => ({ task_id: 't', seconds: one, estimated: false })),
});
const dear = { ...task, task_id: 'u', prompt: 'q', billed_seconds: 4 };
const two = (second: object) => ({
  tasks: [task, dear],
  hashes: new Map(['t', 'u'].map((id) => [id, { provider: 'x', stored: 'x', storedAtMs: 1_500 }])),
  generations: [{ prompt: 'p' }, { prompt: 'q', duration: 4, ...second }],
  booked: [3, 4].map((seconds, index) => ({ task_id: 'tu'[index], seconds, estimated: index === 1 })),
});
const refused = (run: object) => ({
  generations: [{ prompt: 'p' }, { prompt: 'q', duration: 4 }],
  runs: [{ id: 'r', end: 'budget_reached', prompt: 'q', scope: 'day', endedAtMs: 2_000, ...run }],
});

test.each([
  { what: 'nothing when the books fit together', change: {}, says: /^$/ },
  { what: 'a second purchase', change: { tasks: [task, task] }, says: /bought 2 times: p/ },
  {
    what: 'a video that is not in the store',
    change: { hashes: new Map([['t', { provider: 'x' }]]) },
    says: /not in the store/,
  },
  {
    what: 'a batch that did not end',
    change: { runs: [{ id: 'batch/b', end: 'running' }] },
    says: /running: batch\/b/,
  },
  {
    what: 'an item that failed',
    change: { runs: [{ id: 'b/i', end: 'failed TaskFailed' }] },
    says: /failed TaskFailed: b\/i/,
  },
  {
    what: 'a report that is short of a second',
    change: { reports: [{ prompt: 'p', billed_seconds: 2 }] },
    says: /reported with 2 s/,
  },
  { what: 'a day on which more is billed than its budget', change: two({}), says: /budget of the day is overspent/ },
  { what: 'a tenant that had more than its own', change: two({ tenant: 'short' }), says: /of the tenant is overspent/ },
  { what: 'a batch that had more than its own', change: two({ batch: 'second' }), says: /of the batch is overspent/ },
  { what: 'nothing of a run that was refused for want of money', change: refused({}), says: /^$/ },
  {
    what: 'a run that was refused before the money was spent',
    change: refused({ endedAtMs: 999 }),
    says: /refused although the day had 900000 left: r/,
  },
  {
    what: 'a run that was refused by a budget of others',
    change: refused({ scope: 'tenant' }),
    says: /refused by a budget that does not hold for it \(tenant\): r/,
  },
  {
    what: 'a run that was refused and bought all the same',
    change: refused({ prompt: 'p' }),
    says: /refused and bought all the same: r/,
  },
  {
    what: 'a batch whose result is not what its lines add up to',
    change: { summaries: [{ id: 'b', summary: { seconds: 3 }, lines: { seconds: 2 } }] },
    says: /batch b says/,
  },
  { what: 'a task that is not booked', change: { booked: [] }, says: /booked with nothing, billed with 3 s: task t/ },
  { what: 'a bill that is short of a second', change: booked(2), says: /booked with 2, billed with 3 s: task t/ },
  { what: 'a task that is booked twice', change: booked(3, 3), says: /booked with 3 \+ 3, billed with 3 s: task t/ },
  {
    what: 'a bill for what was free',
    change: { booked: [...booked(3).booked, { task_id: 'v', seconds: 2, estimated: true }] },
    says: /booked with 2 s, billed with nothing: task v/,
  },
  { what: 'an open purchase', change: { openPurchases: ['k/1'] }, says: /open in the ledger: k\/1/ },
])('the judge of the chaos run names $what', ({ change, says }) => {
  expect((verdict({ ...good, ...change }) as { violations: string[] }).violations.join('\n')).toMatch(says);
});

test('the budgets of a chaos run suffice for most of what it asks for, and for neither the tenant, the batch nor the day', () => {
  const plan = [
    ...Array.from({ length: 10 }, () => ({ duration: 4 })),
    ...Array.from({ length: 5 }, () => ({ duration: 4, tenant: 'short' })),
    ...Array.from({ length: 5 }, () => ({ duration: 4, batch: 'second' })),
  ];
  const [all, part] = [10 * 4 * 150_000, 5 * 4 * 150_000];
  const limits = limitsOf(plan);
  expect(limits).toEqual({ day: 0.9 * (all + 2 * 0.6 * part), tenant: 0.6 * part, batch: 0.6 * part });
  const file = parseBudgets(JSON.stringify(budgetFileOf(limits)), 'budgets.json');
  expect(file).toEqual({
    day: limits.day,
    tenants: { short: limits.tenant },
    batches: { 'second*': limits.batch },
  });
});

test.each([
  { what: 'nothing when they count what was billed', budgets: [{ spent: 0.45, reserved: 0 }], says: /^$/ },
  {
    what: 'money that stays reserved',
    budgets: [{ spent: 0.45, reserved: 0.6 }],
    says: /still reserve 0.6 for the day/,
  },
  {
    what: 'a bill that they do not count',
    budgets: [{ spent: 0, reserved: 0 }],
    says: /count 0 .*; billed are 450000/,
  },
])('of what the slots believe at the end the judge names $what', ({ budgets, says }) => {
  const view = { holders: [], budgets: budgets.map((one) => ({ scope: 'day', name: null, ...one })) };
  const { tasks, generations, limits } = good;
  const found = slotsBelieve(view, { tasks, generations, limits, nowMs: 2_000 }) as string[];
  expect(found.join('\n')).toMatch(says);
});

test('one of ten generations comes with something hostile, and the seed alone decides which and what', () => {
  const plan = planOf(2026, 2_000) as { hostile?: string; faults: unknown[] }[];
  const hostile = () => withHostility(plan, randomOf(2029)) as typeof plan;
  const chosen = hostile().filter((generation) => generation.hostile !== undefined);
  expect(chosen.length).toBeGreaterThan(150);
  expect(chosen.length).toBeLessThan(250);
  expect(new Set(chosen.map((one) => one.hostile))).toEqual(new Set(['file', 'messages', ...Object.keys(REQUESTS)]));
  expect(hostile()).toEqual(hostile());
});

test('the hostile requests of chaos are refused', () => {
  const request = { prompt: 'p', duration: 4, fps: 30, size: '1280*720', reference_image: 'https://a.example/b.png' };
  expect(requestIssues(request)).toEqual([]);
  for (const change of Object.values(REQUESTS as Record<string, object>)) {
    expect(requestIssues({ ...request, ...change }).length).toBeGreaterThan(0);
  }
});

test('five of a hundred answers of each kind of request differ from the documents, in any one place', () => {
  const on = ['submit', 'query', 'list', 'cancel', 'policy'];
  expect(DRIFT).toEqual(on.map((kind) => ({ on: kind, probability: 0.05, changes: [{ kind: 'any' }] })));
});
