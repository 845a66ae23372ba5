import { expect, test } from 'vitest';
import type { BatchStatus } from '../../src/client/batch-start.js';
import type { Prices } from '../../src/config/prices.js';
import type { BatchProgress } from '../../src/contract/batch.js';
import { batchLine } from '../../src/text/batch-line.js';
import { Screen } from '../support/screen.js';

const PRICES: Prices = {
  currency: 'CNY',
  per_second: { '720P': { silent: 0.15, sound: 0.3 }, '1080P': { silent: 0.25, sound: 0.5 } },
};
const progress: BatchProgress = {
  batch_id: 'spring',
  stage: 'running',
  pause: null,
  counts: {
    total: 50,
    generated: 8,
    cache: 1,
    adopted: 0,
    failed: 2,
    cancelled: 0,
    needs_attention: 1,
    budget_reached: 0,
    duplicate: 1,
    invalid: 0,
  },
  in_flight: 5,
  waiting: 33,
  window: 5,
  causes: { TaskFailed: 2 },
  billed: [{ resolution: '720P', audio: false, seconds: 32 }],
  maybe_billed: 0,
  started_at_ms: 0,
  items_per_minute: 4.25,
  eta_ms: 600_000,
  attention: ['video/1'],
  retry_of: null,
} as BatchProgress;
const running: BatchStatus = { batch_id: 'spring', status: 'running', progress, summary: null };

test('on a terminal the line has a bar of what has ended, counts, rate, money and the expected end', () => {
  const screen = new Screen(true, 200);
  const line = batchLine(screen, {}, PRICES);
  line.show(running, 60_000);
  line.end();
  const [, shown, cleared] = screen.text.split('\r\x1b[2K');
  expect(shown).toBe(
    '0 s  [####----------------]  running, 1 waiting for a decision  12 of 50, 9 min left, 4.3 per minute, ' +
      '4.80 CNY, 8 generated, 1 cache, 2 failed, 1 needs attention, 1 duplicate, 5 running',
  );
  expect(cleared).toBe('');
});

test('without a terminal a line is written when the state changes, and otherwise at most every ten seconds', () => {
  const screen = new Screen(false);
  const line = batchLine(screen, {}, undefined);
  const at = (generated: number, more: Partial<BatchProgress> = {}): BatchStatus => ({
    ...running,
    progress: { ...progress, eta_ms: null, items_per_minute: null, ...more, counts: { ...progress.counts, generated } },
  });
  line.show(at(8), 0);
  line.show(at(9), 1_000);
  line.show(at(10), 10_000);
  line.show(at(10), 25_000);
  const pause = { reason: 'overdue\x1b[31m', cause: 'AccountBlocked', since_ms: 0 };
  line.show(at(10, { stage: 'paused', pause }), 25_500);
  line.end();
  expect(screen.text.split('\n').map((text) => text.slice(0, 62))).toEqual([
    'running, 1 waiting for a decision, 12 of 50, 8 generated, 1 ca',
    'running, 1 waiting for a decision, 14 of 50, 10 generated, 1 c',
    'paused: AccountBlocked: overdue, 1 waiting for a decision, 14 ',
    '',
  ]);
});

test('a batch that nobody works on says why, and a cut line keeps it', () => {
  const screen = new Screen(true, 60);
  batchLine(screen, {}, undefined).show({ ...running, problem: 'no worker polls the queue video-generate' }, 0);
  expect(screen.text).toContain('running: no worker polls');
  const plain = new Screen(false);
  batchLine(plain, {}, undefined).show({ ...running, progress: null }, 0);
  expect(plain.text).toBe('running: no worker answers\n');
});
