import { expect, test } from 'vitest';
// @ts-expect-error the chaos run is plain JavaScript
import { misexplained } from '../chaos/audit.mjs';
// @ts-expect-error the same
import { misdelivered, misnotified } from '../chaos/deliveries.mjs';

const message = (id: string, type: string, workflowId: string, text = '') => ({
  id,
  body: JSON.stringify({ type, data: { workflow_id: workflowId, text } }),
});
const notified = {
  runs: [
    { workflowId: 'a', end: 'completed' },
    { workflowId: 'batch/b', end: 'completed' },
    { workflowId: 'left', leave: 'cancel', end: 'cancelled' },
    { workflowId: undefined, end: 'completed' },
  ],
  // One message came twice: its answer was lost.
  taken: [message('1', 'run.ended', 'a'), message('1', 'run.ended', 'a'), message('2', 'batch.ended', 'batch/b')],
  undelivered: [],
};

test.each([
  { what: 'nothing when each end came under one id', change: {}, says: /^$/ },
  { what: 'an end that never came', change: { taken: notified.taken.slice(0, 2) }, says: /under 0 ids: batch\/b/ },
  {
    what: 'an end under two ids',
    change: { taken: [...notified.taken, message('3', 'run.ended', 'a')] },
    says: /under 2 ids: a/,
  },
  {
    what: 'one id with two texts',
    change: { taken: [...notified.taken, message('1', 'run.ended', 'a', 'other')] },
    says: /one id with two texts: 1/,
  },
  { what: 'a delivery that failed', change: { undelivered: ['webhook/1'] }, says: /not delivered: webhook\/1/ },
])('of the messages of a chaos run the judge names $what', ({ change, says }) => {
  expect((misnotified({ ...notified, ...change }) as string[]).join('\n')).toMatch(says);
});

const documents = ['csv', 'html', 'json'].map((format) => ({ name: `report-b.${format}`, sha256: format }));
const delivered = {
  id: 'b',
  videos: [{ item_id: 'i', sha256: 'x' }],
  files: [{ name: 'i.mp4', sha256: 'x' }, ...documents],
  delivery: { files: 1, undelivered: 0, failure: null },
};

test.each([
  { what: 'nothing when all is there', change: {}, says: /^$/ },
  { what: 'a video that is not there', change: { files: documents }, says: /did not deliver i$/ },
  {
    what: 'a file that is not the video',
    change: { files: [{ name: 'i.mp4', sha256: 'y' }, ...documents] },
    says: /did not deliver i$/,
  },
  { what: 'a document that is not there', change: { files: delivered.files.slice(0, 3) }, says: /report-b.json/ },
  {
    what: 'a file of nobody',
    change: { files: [...delivered.files, { name: 'j.mp4', sha256: 'x' }] },
    says: /delivered j.mp4/,
  },
  { what: 'a batch that says otherwise', change: { delivery: undefined }, says: /says of its 1 files/ },
])('of the named files of a chaos run the judge names $what', ({ change, says }) => {
  expect((misdelivered({ ...delivered, ...change }) as string[]).join('\n')).toMatch(says);
});

const tasks = [
  { task_id: 'paid', billed_seconds: 4 },
  { task_id: 'failed', billed_seconds: 0 },
  { task_id: 'planted', billed_seconds: 4 },
];
const explained = [
  { task_id: 'paid', verdict: 'archived', why: '' },
  { task_id: 'failed', verdict: 'free', why: '' },
  { task_id: 'planted', verdict: 'orphan', why: '' },
];
const report = { explained, rescued: ['salvage'], seconds: { provider: 8, ledger: 4 } };

test.each([
  { what: 'nothing when each task is explained', code: 1, change: {}, says: /^$/ },
  { what: 'an exit code of 0 with an orphan', code: 0, change: {}, says: /ended with 0, not with 1/ },
  {
    what: 'a paid task that is unclear',
    code: 1,
    change: { explained: [{ task_id: 'paid', verdict: 'unclear', why: 'w' }, ...explained.slice(1)] },
    says: /calls task paid unclear: w/,
  },
  { what: 'a task that is not explained', code: 1, change: { explained: explained.slice(1) }, says: /paid not listed/ },
  { what: 'an orphan without a rescue', code: 1, change: { rescued: [] }, says: /rescued 0/ },
  {
    what: 'other seconds than the provider',
    code: 1,
    change: { seconds: { provider: 7, ledger: 4 } },
    says: /billed 8 s, the audit says 7 s/,
  },
])('of the audit of a chaos run the judge names $what', ({ code, change, says }) => {
  const found = misexplained({ code, report: { ...report, ...change } }, { tasks, planted: 'planted' }) as string[];
  expect(found.join('\n')).toMatch(says);
});

test('once the orphan is rescued nothing is an orphan, and the seconds of the ledger are the provider’s', () => {
  const rescued = {
    ...report,
    explained: explained.map((one) => ({ ...one, verdict: one.verdict.replace('orphan', 'archived') })),
  };
  const found = (ledger: number) =>
    misexplained({ code: 0, report: { ...rescued, seconds: { provider: 8, ledger } } }, { tasks }) as string[];
  expect(found(8)).toEqual([]);
  expect(found(4)).toHaveLength(1);
});
