import { expect, test } from 'vitest';
// @ts-expect-error the chaos run is plain JavaScript
import { verdict } from '../chaos/judge.mjs';

const task = { task_id: 't', prompt: 'p', billed_seconds: 3, end_ms: 1_000 };
const good = {
  tasks: [task],
  hashes: new Map([['t', { provider: 'x', stored: 'x', storedAtMs: 1_500 }]]),
  generations: [{ prompt: 'p' }],
  runs: [{ id: 'r', end: 'completed' }],
  open: [],
  openPurchases: [],
  reports: [{ prompt: 'p', billed_seconds: 3 }],
};

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
  { what: 'an open purchase', change: { openPurchases: ['k/1'] }, says: /open in the ledger: k\/1/ },
])('the judge of the chaos run names $what', ({ change, says }) => {
  expect((verdict({ ...good, ...change }) as { violations: string[] }).violations.join('\n')).toMatch(says);
});
