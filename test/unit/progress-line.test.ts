import { expect, test } from 'vitest';
import { displayWidth } from '../../src/text/display-width.js';
import { progressLine, type ShownProgress } from '../../src/text/progress-line.js';
import { Screen } from '../support/screen.js';

const rendering: ShownProgress = {
  stage: 'rendering',
  waiting_for: 'the provider to finish the task',
  task_id: 'task-1',
  attempt: 1,
  since_ms: 10_000,
  queued_seconds: 0.04,
  rendering_since_ms: 10_000,
  eta: null,
  slot: null,
  notes: [],
  attention: null,
  cancel: null,
};

test('without a terminal each change is one plain line, and no line comes twice', () => {
  const screen = new Screen(false);
  const line = progressLine(screen, {});
  line.show({ ...rendering, stage: 'uploading', task_id: null }, 10_000);
  line.show(rendering, 11_000);
  line.show(rendering, 12_000);
  line.end();
  line.show(rendering, 13_000);
  expect(screen.text).toBe(
    'uploading: waiting for the provider to finish the task\n' +
      'rendering, task task-1: waiting for the provider to finish the task\n',
  );
});

test('on a terminal one line is written over and over, with the seconds of stage and run, never wider than the screen', () => {
  const screen = new Screen(true);
  const line = progressLine(screen, { TERM: 'xterm' });
  line.show(rendering, 12_000);
  line.show(rendering, 15_000);
  line.end();
  const shown = screen.text.split('\r\x1b[2K');
  expect(shown).toHaveLength(4);
  expect(shown[2]).toMatch(/^3 s {2}rendering for 5 s: waiting/);
  expect(Math.max(...shown.map((text) => text.length))).toBeLessThan(60);
  expect(shown[3]).toBe('');
});

test('on the narrowest terminal the id of a task is shown once, and whole', () => {
  const screen = new Screen(true, 20);
  const line = progressLine(screen, {});
  const task_id = '0385dc79-5ff8-4d82-bcb6-7a3f9a1b2c3d';
  line.show({ ...rendering, task_id: null }, 11_000);
  line.show({ ...rendering, task_id }, 12_000);
  line.show({ ...rendering, task_id }, 13_000);
  expect(screen.text.split(task_id)).toHaveLength(2);
  expect(screen.text).toContain(`\r\x1b[2Ktask      ${task_id}\n\r\x1b[2K1 s  rendering`);
});

test('wide characters are counted as the two columns that they take, and none is cut in two', () => {
  const screen = new Screen(true, 40);
  progressLine(screen, {}).show({ ...rendering, task_id: null, problem: '船がゆっくり進む👩‍👩‍👧‍👦'.repeat(4) }, 12_000);
  const text = screen.text.replace('\r\x1b[2K', '');
  expect(displayWidth(text)).toBe(38); // a character of two columns does not fit into the last one
  expect(text).toMatch(/[船がゆっくり進む👩👧👦]$/u);
});

test.each([{ CI: 'true' }, { TERM: 'dumb' }])('a terminal with %o gets plain lines', (env) => {
  const screen = new Screen(true);
  progressLine(screen, env).show(rendering, 12_000);
  expect(screen.text).toBe('rendering, task task-1: waiting for the provider to finish the task\n');
});

test('what keeps a run back is shown instead of what it waits for, and cannot steer the terminal', () => {
  const screen = new Screen(false);
  progressLine(screen, {}).show({ ...rendering, problem: 'attempt 2 failed: \x1b[31mred\nline' }, 12_000);
  expect(screen.text).toBe('rendering, task task-1: attempt 2 failed: red line\n');
});

const expecting: ShownProgress = {
  ...rendering,
  queued_seconds: 12.4,
  eta: { earliest_ms: 40_000, latest_ms: 50_000, samples: 3 },
};

test.each([
  { nowMs: 10_000, shown: '[--------------------] 30 to 40 s left' },
  { nowMs: 30_000, shown: '[##########----------] 10 to 20 s left' },
  { nowMs: 45_000, shown: '[#################---] 0 to 5 s left' },
  { nowMs: 58_000, shown: '[####################] 8 s late' },
])('at $nowMs ms a learned render shows $shown', ({ nowMs, shown }) => {
  const screen = new Screen(true, 80);
  progressLine(screen, {}).show(expecting, nowMs);
  expect(screen.text).toContain(` ${shown}`);
});

test.each([
  ['is not known', rendering],
  ['is over', { ...expecting, stage: 'archiving' }],
] as [string, ShownProgress][])('a render whose end %s has no bar', (_why, progress) => {
  const screen = new Screen(true);
  progressLine(screen, {}).show(progress, 30_000);
  expect(screen.text).not.toContain('[#');
});

test('a first render has a bar from the documented times, and says so', () => {
  const first = { ...expecting, eta: { earliest_ms: 40_000, latest_ms: 50_000, samples: 0 } };
  const screen = new Screen(true, 100);
  progressLine(screen, {}).show(first, 30_000);
  expect(screen.text).toContain("[##########----------] 10 to 20 s left by the provider's documents");
  const plain = new Screen(false);
  progressLine(plain, {}).show(first, 30_000);
  expect(plain.text).toContain("expected 00:00:40 to 00:00:50 UTC by the provider's documents");
});

test('a plain line says once when the video is expected, how long the task was queued, and which attempt it is', () => {
  const screen = new Screen(false);
  const line = progressLine(screen, {});
  line.show({ ...expecting, attempt: 2 }, 12_000);
  line.show({ ...expecting, attempt: 2 }, 13_000);
  expect(screen.text).toBe(
    'rendering, attempt 2, task task-1: waiting for the provider to finish the task, ' +
      "after 12 s in the provider's queue, expected 00:00:40 to 00:00:50 UTC\n",
  );
});

test('a run that waits for a slot shows its place', () => {
  const slot = { position: 2, ahead_interactive: 1, ahead_batch: 0, running: 5, limit: 5, as_of_ms: 3_600_000 };
  const screen = new Screen(false);
  const waiting: ShownProgress = {
    ...rendering,
    stage: 'waiting_for_slot',
    task_id: null,
    waiting_for: 'a place',
    slot,
  };
  progressLine(screen, {}).show(waiting, 3_700_000);
  expect(screen.text).toBe(
    'waiting_for_slot: waiting for a place, position 2 at 01:00:00 UTC: 1 interactive and 0 of batches ahead, 5 of 5 slots taken\n',
  );
});

test('a run that has ended waits for nothing, and does not say that it does', () => {
  const screen = new Screen(false);
  progressLine(screen, {}).show({ ...rendering, stage: 'cancelled', waiting_for: 'nothing' }, 12_000);
  expect(screen.text).toBe('cancelled, task task-1\n');
});
