import { describe, expect, test } from 'vitest';
import { noTotals } from '../../src/contract/batch-totals.js';
import { failedShare, pauseNote, pauseReason, schedulePauseText } from '../../src/contract/schedule-pause.js';
import { endedBatch } from '../../src/contract/webhook-data.js';

const countsOf = (ended: Partial<ReturnType<typeof noTotals>['counts']>) => ({
  ...noTotals({ total: 100, duplicate: 0, invalid: 0 }).counts,
  ...ended,
});

describe('the share of a batch that failed', () => {
  test.each([
    { counts: {}, share: 0, why: 'nothing was run' },
    { counts: { generated: 45, cache: 20, adopted: 10, failed: 25 }, share: 0.25, why: 'every video counts' },
    { counts: { generated: 1, needs_attention: 1 }, share: 0.5, why: 'an item that waits for a person has no video' },
    { counts: { generated: 1, failed: 1, budget_reached: 98 }, share: 0.5, why: 'a reached budget is no failure' },
    { counts: { budget_reached: 100 }, share: 0, why: 'a budget alone is no reason' },
    { counts: { generated: 3, failed: 1, cancelled: 96 }, share: 0.25, why: 'cancelled ones were not run to an end' },
    { counts: { generated: 3, failed: 1, duplicate: 50, invalid: 46 }, share: 0.25, why: 'these were not run' },
  ])('is $share because $why', ({ counts, share }) => {
    expect(failedShare(countsOf(counts))).toBe(share);
  });

  test('exactly as much as a schedule allows is not more, for any number', () => {
    for (let failed = 0; failed < 1000; failed += 1) {
      expect(failedShare(countsOf({ generated: 1000 - failed, failed }))).toBe(
        Number(`0.${String(failed).padStart(3, '0')}`),
      );
    }
  });
});

test('a pause names the batch, the share and what to do', () => {
  const counts = countsOf({ generated: 48, failed: 9, needs_attention: 3 });
  const reason = pauseReason({ counts, causes: { TaskFailed: 2, ContentRejected: 7 } }, 0.125);
  expect(reason).toBe(
    '12 of 60 items failed (3 of them wait for a person), 20 %, more than 12.5 %; above all ContentRejected',
  );
  const batchId = 'nightly-2026-03-31T00:30:00Z';
  expect(pauseNote({ scheduleId: 'nightly', batchId, reason })).toBe(
    `${batchId}: ${reason}. See "wan-video batch report ${batchId}", fix the cause, then "wan-video schedule resume nightly"`,
  );
});

test.each([
  {
    done: 'paused',
    text: /Its schedule nightly is paused: 2 of 3/,
    next: /; fix the cause, .*schedule resume nightly"\.$/,
  },
  { done: 'changed', text: /nightly continues, because it was changed/, next: /schedule pause nightly"\.$/ },
  { done: 'unknown', text: /nightly should be paused and perhaps is not/, next: /schedule show nightly", and/ },
] as const)('the end of a batch says that its schedule is: $done', ({ done, text, next }) => {
  const counts = countsOf({ total: 3, generated: 1, failed: 2 });
  const source = { workflowId: 'batch/n', batchId: 'n', retryOf: null, inFlight: 0, waiting: 0, startedAtMs: 0 };
  const totals = { ...noTotals(counts), counts };
  const schedulePause = { schedule_id: 'nightly', done, reason: '2 of 3' };
  const event = endedBatch({ ...source, ...totals }, 'completed', { schedule_pause: schedulePause });
  expect(event).toMatchObject({ schedule_pause: schedulePause, text: expect.stringMatching(text) });
  expect(event.next_step).toMatch(next);
  expect(schedulePauseText(schedulePause).text).toMatch(/\.$/);
  expect(endedBatch({ ...source, ...totals }, 'completed')).toMatchObject({ schedule_pause: null });
});
