import { expect, test } from 'vitest';
import { videoEnd } from '../../src/contract/batch-item.js';
import { countEnd, noTotals } from '../../src/contract/batch-totals.js';
import type { VideoResult } from '../../src/contract/result.js';
import { sharedResult } from '../../src/contract/shared-result.js';
import { batchCountLines } from '../../src/report/batch-counts.js';
import { BATCH_CSV_HEAD, batchCsvRow, batchTableRow } from '../../src/report/batch-rows.js';
import { resultText } from '../../src/text/result.js';

const BOUGHT: VideoResult = {
  video_url: 'file:///v.mp4',
  duration: 4,
  fps: 30,
  seed: 1,
  width: 1280,
  height: 720,
  bytes: 10,
  sha256: 'ab',
  has_audio: false,
  task_id: 't1',
  request_id: 'r1',
  source: 'generated',
  requested: { duration: 4, fps: 30, size: '1280*720' },
  usage: { billed_seconds: 4, resolution: '720P', audio: false, estimated: true },
  timings: { queued: 1, rendering: 2, detected: 0, archived: 1 },
  warnings: [],
};
const HEAD = { item_id: 'a', run: 'video/a', started_at_ms: 1 };
const TOTALS = noTotals({ total: 2, duplicate: 0, invalid: 0 });
const NO_REQUEST = { prompt: null, reference_image: null };

const row = (result: VideoResult) =>
  ({ ...videoEnd(HEAD, result, 2), line: 1, same_as: null, tenant: null, labels: {}, ...NO_REQUEST }) as const;

test.each(['cache', 'adopted'] as const)(
  'a sum over results counts a purchase once: nothing is billed for one that comes from elsewhere (%s)',
  (source) => {
    const shared = sharedResult(BOUGHT, source);
    expect(shared).toMatchObject({ source, usage: { billed_seconds: 0, original_billed_seconds: 4 } });
    expect(sharedResult(shared, source)).toEqual(shared);
    expect(resultText(shared)).toContain('0 s billed at 720P (4 s by the run that bought it; estimated');
    const totals = [BOUGHT, shared]
      .map((one) => videoEnd(HEAD, one, 2))
      .reduce((all, end) => countEnd(all, end), TOTALS);
    expect(totals).toMatchObject({ billed: [{ seconds: 4 }], estimated_seconds: 4 });
    expect(row(shared)).toMatchObject({ billed: false, billed_seconds: 0 });
    expect(row(shared).estimated).toBeUndefined();
  },
);

test('an estimated bill is shown as one: of a result, of a line of a report, and of a batch', () => {
  expect(resultText(BOUGHT)).toContain('4 s billed at 720P (estimated: the provider did not say all of it)');
  expect(batchTableRow(row(BOUGHT), true)).toContain('4 s, estimated');
  const cells = batchCsvRow(row(BOUGHT));
  expect(cells[BATCH_CSV_HEAD.indexOf('estimated')]).toBe('yes');
  const once = countEnd(TOTALS, videoEnd(HEAD, BOUGHT, 2));
  expect(batchCountLines(once, undefined, true)).toContain(
    'estimated 4 s of it: the provider did not say all of what it bills',
  );
  // An end that is taken back takes its estimate with it.
  expect(countEnd(once, videoEnd(HEAD, BOUGHT, 2), -1).estimated_seconds).toBeUndefined();
});
