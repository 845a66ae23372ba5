import { expect, test } from 'vitest';
import { notCancellable, notWatchable } from '../../src/client/run-kind.js';
import type { VideoStatus } from '../../src/client/video-run.js';
import type { VideoProgress } from '../../src/contract/result.js';
import { statusText } from '../../src/text/status.js';

const NOW = Date.parse('2026-03-01T17:03:30Z');
const waiting: VideoProgress = {
  stage: 'waiting_for_slot',
  waiting_for: 'a place at the provider',
  task_id: null,
  attempt: 1,
  since_ms: NOW - 95_000,
  queued_seconds: null,
  rendering_since_ms: null,
  eta: null,
  slot: { position: 3, ahead_interactive: 1, ahead_batch: 1, running: 5, limit: 5, as_of_ms: NOW - 20_000 },
  notes: [],
  attention: null,
  cancel: null,
};
const running: VideoStatus = {
  id: 'video/1',
  run_id: 'r',
  workflow_type: 'videoGenerate',
  status: 'running',
  started_at: '2026-03-01T17:01:00.000Z',
  closed_at: null,
  task_id: null,
  outcome: 'running',
  error_code: null,
  tenant: null,
  batch_id: null,
  labels: [],
  task_queue: 'video-generate',
  events: 20,
  problem: null,
  progress: waiting,
  result: null,
  error: null,
};

test('status shows how far ahead the grant of a slot is, and for how long the run has waited', () => {
  expect(statusText(running, NOW).split('\n')).toEqual([
    'run       video/1',
    'status    running',
    'started   2026-03-01T17:01:00.000Z',
    'stage     waiting_for_slot for 1 min 35 s',
    'waits     for a place at the provider',
    'place     position 3 at 17:03:10 UTC: 1 interactive and 1 of batches ahead, 5 of 5 slots taken',
  ]);
});

test.each([
  { samples: 2, expected: 1, why: 'was learned' },
  { samples: 0, expected: 0, why: 'is a guess, not' },
])('status shows when a render should end, when that $why', ({ samples, expected }) => {
  const eta = { earliest_ms: NOW, latest_ms: NOW + 10_000, samples };
  const progress = { ...waiting, stage: 'rendering' as const, attempt: 2, slot: null, eta };
  const text = statusText({ ...running, task_id: 't', progress }, NOW);
  expect(text).toContain('\ntask      t\nstage     rendering for 1 min 35 s, attempt 2\n');
  expect(text.split('\nexpected  17:03:30 to 17:03:40 UTC')).toHaveLength(expected + 1);
});

test('status of a run that nobody answers for says so, instead of nothing', () => {
  expect(statusText({ ...running, progress: null }, NOW)).toContain('\nproblem   no worker answers');
  const known = { ...running, progress: null, problem: 'no worker picks it up' };
  expect(statusText(known, NOW).match(/problem/g)).toHaveLength(1);
});

const salvage: VideoStatus = { ...running, id: 'salvage/k/1', workflow_type: 'salvageVideo' };

test('status of a salvage says what it is, and what it means that it ended without a video', () => {
  expect(statusText(salvage, NOW)).toContain('\nkind      a salvage, which keeps the video of a purchase');
  const ended = { ...salvage, status: 'completed', progress: { ...waiting, stage: 'done', slot: null } } as VideoStatus;
  const text = statusText(ended, NOW);
  expect(text).toContain('\nresult    no video');
  expect(text).not.toMatch(/^(waits|stage)/m);
});

test('status of what is no generation names the command that shows it', () => {
  const batch = { ...running, id: 'batch/spring', workflow_type: 'videoBatch', progress: null };
  const text = statusText(batch, NOW);
  expect(text).toContain('\nkind      a batch\n');
  expect(text).toContain('wan-video batch status spring');
  expect(text).not.toContain('problem');
});

test.each([
  ['videoGenerate', undefined, undefined],
  ['salvageVideo', /is a salvage/, undefined],
  ['videoBatch', /is a batch/, /is a batch/],
  ['accountSlots', /the slots/, /the slots/],
  ['sweepPurchases', /a sweep/, /a sweep/],
  ['deliverWebhook', /one webhook event/, /one webhook event/],
  ['another', /not a workflow of wan-video/, /not a workflow of wan-video/],
] as const)('a %s is refused to be cancelled with %o, and to be watched with %o', (type, cancel, watch) => {
  for (const [refusal, expected] of [
    [notCancellable('batch/spring', type), cancel],
    [notWatchable('batch/spring', type), watch],
  ] as const) {
    if (expected === undefined) expect(refusal).toBeUndefined();
    else expect(refusal?.message).toMatch(expected);
  }
});
