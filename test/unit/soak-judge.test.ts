import { expect, test } from 'vitest';
// @ts-expect-error the soak is plain JavaScript
import { largestPayload, soakVerdict } from '../soak/judge.mjs';

const task = (id: string, seconds = 2) => ({ task_id: `t-${id}`, prompt: `prompt ${id}`, billed_seconds: seconds });
const row = (id: string, seconds = 2) => ({ item_id: id, outcome: 'generated', billed_seconds: seconds });

/** Two items of two seconds each, of which nothing is to be said. */
const good = {
  items: ['a', 'b'],
  rows: [row('a'), row('b')],
  summary: { counts: { generated: 2 }, billed: [{ seconds: 4 }] },
  tasks: [task('a'), task('b'), task('refused', 0)],
  days: [{ billed_seconds: 2 }, { billed_seconds: 2 }],
  hashes: new Map(['a', 'b'].map((id) => [`t-${id}`, { provider: id, stored: id }])),
  open: [],
  histories: [{ runId: 'r', events: 9_999, payloadBytes: 1_000 }],
};

const violationsOf = (change: object) => (soakVerdict({ ...good, ...change }) as { violations: string[] }).violations;

test('books that fit together are no violation', () => {
  expect(violationsOf({})).toEqual([]);
});

test.each([
  { what: 'a day record that is missing', change: { days: [{ billed_seconds: 2 }] }, says: /totals differ/ },
  {
    what: 'a second in the report that nobody billed',
    change: { rows: [row('a', 3), row('b')] },
    says: /totals differ/,
  },
  {
    what: 'a task that was bought twice',
    change: { tasks: [task('a'), task('a'), task('b')] },
    says: /bought 2 times: prompt a/,
  },
  {
    what: 'an item without a video',
    change: { rows: [row('a'), { ...row('b'), outcome: 'failed' }] },
    says: /no video of b: failed/,
  },
  { what: 'an item that is not in the report', change: { rows: [row('a')] }, says: /no video of b/ },
  {
    what: 'an item that is in the report twice',
    change: { rows: [row('a'), row('b'), row('b')] },
    says: /3 lines for 2 items/,
  },
  { what: 'a video that is not in the store', change: { hashes: new Map() }, says: /billed and not kept: t-a/ },
  {
    what: 'a video of other bytes',
    change: { hashes: new Map([['t-a', { provider: 'a', stored: 'x' }]]) },
    says: /billed and not kept: t-a/,
  },
  { what: 'a purchase that is open', change: { open: ['key/1'] }, says: /open in the ledger: key\/1/ },
  {
    what: 'a history that is too long',
    change: { histories: [{ runId: 'r', events: 10_000, payloadBytes: 1 }] },
    says: /10000 events/,
  },
  {
    what: 'a payload that is too large',
    change: { histories: [{ runId: 'r', events: 1, payloadBytes: 262_144 }] },
    says: /262144 bytes/,
  },
  { what: 'histories that were not read', change: { histories: [] }, says: /no history/ },
])('the judge of the soak names $what', ({ change, says }) => {
  expect(violationsOf(change).join('\n')).toMatch(says);
});

test('the payload of an event is counted in bytes, over all of its parts', () => {
  const payload = (bytes: number) => ({ metadata: { encoding: new Uint8Array(10) }, data: new Uint8Array(bytes) });
  const events = [
    { eventId: 1 },
    { activityTaskScheduledEventAttributes: { input: { payloads: [payload(90), payload(100)] } } },
  ];
  expect(largestPayload(events)).toBe(210);
});
