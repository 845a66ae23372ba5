import { copyFile, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BatchRow } from '../../src/batch/batch-files.js';
import { NO_VIDEO } from '../../src/contract/batch-item.js';
import { makeClip } from '../../src/emulator/index.js';
import { pageReport } from '../../src/report/batch-documents.js';
import { BATCH_CSV_HEAD, batchCsvRow } from '../../src/report/batch-rows.js';
import { type PageHead, type PageRow, reportPage } from '../../src/report/report-page.js';
import { findChromium } from '../structure/parts.js';
import { ROOT } from '../support/root.js';

const executablePath = findChromium();

const HEAD: PageHead = {
  batchId: 'spring',
  facts: ['lines     3: 1 generated, 1 failed', 'billed    5 s at 720P, silent'],
  ended: true,
  prices: {
    currency: 'CNY',
    per_second: { '720P': { silent: 0.15, sound: 0.3 }, '1080P': { silent: 0.25, sound: 0.5 } },
  },
  madeAtMs: Date.UTC(2026, 10, 30, 8),
  linksExpireAtMs: null,
};
/** Members of a browser's video element. */
interface Clip {
  readonly currentTime: number;
  readonly videoWidth: number;
  play(): Promise<void>;
}

/** What a reader waits for a page of 1,000 lines, at most. */
const OPENS_WITHIN_MS = 2_000;
const STARTED = Date.UTC(2026, 10, 30, 2, 30);

function line(nth: number, more: Partial<BatchRow> = {}): BatchRow {
  return {
    ...NO_VIDEO,
    line: nth,
    item_id: `shot-${nth}`,
    outcome: 'generated',
    same_as: null,
    cause: null,
    tenant: null,
    labels: {},
    prompt: `Boats in the breeze ${nth}`,
    reference_image: null,
    run: `batch/spring/shot-${nth}`,
    billed: true,
    billed_seconds: 5,
    resolution: '720P',
    duration: 5.005,
    started_at_ms: STARTED + nth * 1_000,
    ended_at_ms: STARTED + nth * 1_000 + 65_000,
    timings: { queued: 2, rendering: 60, detected: 1, archived: 0.5 },
    ...more,
  };
}

const page = (row: BatchRow, video: string | null = null): PageRow => ({ row, video, poster: null, reference: null });

test('a page has each line with its outcome, cause, warnings, bill and money by tenant', () => {
  const text = reportPage(HEAD, [
    page(line(1, { tenant: 'studio-a', warnings: ['fps_not_honoured', 'unverified'] }), 'shot-1.mp4'),
    page(
      line(2, {
        ...NO_VIDEO,
        outcome: 'failed',
        cause: 'ContentRejected',
        code: 'DataInspectionFailed',
        billed: false,
      }),
    ),
    page(line(3, { ...NO_VIDEO, outcome: 'open', billed: false })),
  ]);
  expect(text).toContain('data-src="shot-1.mp4"');
  expect(text).toContain('fps not honoured, unverified');
  expect(text).toContain('ContentRejected (DataInspectionFailed)');
  expect(text).toContain('<th scope="row" dir="auto">studio-a</th><td>1</td><td>0</td><td>5 s</td><td>0.75 CNY</td>');
  expect(text).toContain('not run 1');
  expect(text).toContain('Tasks of this batch at the provider at a time, 1 at most');
});

test('links that expire say so, and only their host may be loaded from', () => {
  const video = 'https://bucket.example.com/videos/a.mp4?X-Amz-Expires=60&X-Amz-Signature=ab';
  const text = reportPage({ ...HEAD, linksExpireAtMs: HEAD.madeAtMs + 60_000 }, [page(line(1), video)]);
  expect(text).toContain('Its addresses expire at 2026-11-30T08:01:00Z');
  expect(text).toContain('media-src &#39;self&#39; https://bucket.example.com;');
  expect(text).toContain('?X-Amz-Expires=60&amp;X-Amz-Signature=ab');
});

test('a picture of a video is of the page, may be loaded, and is a column of the table', async () => {
  const poster = 'https://pictures.example.com/a.jpg?X-Amz-Signature="cd"';
  const text = reportPage(HEAD, [{ ...page(line(1), 'shot-1.mp4'), poster }]);
  expect(text).toContain(
    'data-src="shot-1.mp4" data-poster="https://pictures.example.com/a.jpg?X-Amz-Signature=&quot;cd',
  );
  expect(text).toContain('img-src &#39;self&#39; file: https://pictures.example.com;');
  const made = [
    line(1, { task_id: 't-1', video_url: 's3://b/videos/t-1.mp4', poster_url: 's3://b/conformed/t-1/original.jpg' }),
    line(2, { task_id: 't-2', video_url: 's3://b/conformed/t-2/0a.mp4', poster_url: 's3://b/conformed/t-2/0a.jpg' }),
    line(3, { task_id: 't-3', video_url: 's3://b/videos/t-3.mp4' }),
  ];
  const head = { batchId: 'spring', summary: null, totals: null, prices: undefined };
  const links = { of: async (key: string) => key, madeAtMs: 0, expireAtMs: () => null };
  const report = await pageReport(head, Readable.from(made), links);
  expect([...report.matchAll(/data-poster="([^"]*)"/g)].map(([, key]) => key)).toEqual([
    'conformed/t-1/original.jpg',
    'conformed/t-2/0a.jpg',
  ]);
  const cells = batchCsvRow(line(1, { poster_url: 's3://videos/conformed/a/original.jpg' }));
  expect(cells[BATCH_CSV_HEAD.indexOf('poster_url')]).toBe('s3://videos/conformed/a/original.jpg');
});

describe.skipIf(executablePath === undefined)('in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    browser = await chromium.launch({ executablePath: executablePath ?? '', args });
  });
  afterAll(() => browser?.close());

  /** Opens a page from disk, and notes what it loads. */
  async function open(rows: readonly PageRow[], head = HEAD, fill = async (_: string): Promise<void> => undefined) {
    const folder = await mkdtemp(join(tmpdir(), 'report-'));
    const file = join(folder, 'report.html');
    await writeFile(file, reportPage(head, rows));
    await fill(folder);
    const tab = await browser.newPage();
    const loaded: string[] = [];
    const problems: string[] = [];
    tab.on('request', (request) => loaded.push(request.url()));
    tab.on('dialog', (dialog) => {
      problems.push(dialog.message());
      void dialog.dismiss();
    });
    tab.on('pageerror', (error) => problems.push(error.message));
    const startedMs = performance.now();
    await tab.goto(pathToFileURL(file).href);
    return { tab, loaded, problems, openedMs: Math.round(performance.now() - startedMs) };
  }

  test('of 1,000 lines only the videos in view are loaded, and one outcome is shown at a time', async () => {
    const rows = Array.from({ length: 1_000 }, (_, nth) =>
      nth % 10 === 9
        ? page(line(nth + 1, { ...NO_VIDEO, outcome: 'failed', cause: 'TaskFailed', billed: false }))
        : page(line(nth + 1), `clip-${nth + 1}.mp4`),
    );
    const { tab, loaded, problems } = await open(rows);
    const clips = () => loaded.filter((url) => url.endsWith('.mp4'));
    await expect.poll(() => clips().length).toBeGreaterThan(0);
    expect(clips().length).toBeLessThan(60);
    expect(clips().some((url) => url.endsWith('/clip-998.mp4'))).toBe(false);
    await tab.locator('article').last().scrollIntoViewIfNeeded();
    await expect.poll(() => clips().some((url) => url.endsWith('/clip-998.mp4'))).toBe(true);
    await tab.getByRole('button', { name: 'failed 100' }).click();
    expect(await tab.locator('article:visible').count()).toBe(100);
    expect(problems).toEqual([]);
    await tab.close();
  });

  test('of 1,000 lines each plays its clip next to its image', async () => {
    const facts = ['lines     1000: 667 generated, 333 failed', 'billed    3335 s at 720P, silent'];
    const refused = { ...NO_VIDEO, outcome: 'failed', cause: 'ContentRejected', billed: false } as const;
    const rows = Array.from({ length: 1_000 }, (_, nth) => {
      if (nth % 3 === 1) return page(line(nth + 1, { ...refused, tenant: 'studio-b' }));
      const made = line(nth + 1, { tenant: 'studio-a', video_url: 's3://videos/clip.mp4' });
      return { ...page(made, 'clip.mp4'), reference: 'sample.jpg' };
    });
    const { tab, problems, openedMs } = await open(rows, { ...HEAD, facts }, async (folder) => {
      await copyFile(join(ROOT, 'assets', 'sample.jpg'), join(folder, 'sample.jpg'));
      const format = { width: 1280, height: 720, durationSeconds: 2, audio: false };
      await writeFile(join(folder, 'clip.mp4'), await makeClip({ ...format, seed: 7, label: 'shot-1' }));
    });
    // Another suite may have the machine; the page itself takes less than a second.
    let bestMs = openedMs;
    for (let tries = 1; bestMs >= OPENS_WITHIN_MS && tries < 5; tries += 1) {
      const again = await open(rows, { ...HEAD, facts });
      await again.tab.close();
      bestMs = Math.min(bestMs, again.openedMs);
    }
    expect(bestMs).toBeLessThan(OPENS_WITHIN_MS);
    const clip = tab.locator('article video').first();
    await clip.evaluate((video) => Object.assign(video as unknown as Clip, { muted: true }).play());
    const played = () => clip.evaluate((video) => (video as unknown as Clip).currentTime);
    await expect.poll(played, { timeout: 30_000 }).toBeGreaterThan(0.3);
    expect(await clip.evaluate((video) => (video as unknown as Clip).videoWidth)).toBe(1280);
    // Written only when asked for: a picture differs on every machine.
    if (process.env['WRITE_SCREENSHOTS'] === '1') {
      await tab.setViewportSize({ width: 1280, height: 900 });
      await tab.screenshot({ path: join(ROOT, 'docs', 'report.png') });
    }
    expect(problems).toEqual([]);
    await tab.close();
  });

  test('hostile texts are shown as texts: nothing runs, nothing is fetched, nothing reads backwards', async () => {
    const hostile = [
      '<script>alert(1)</script><img src=x onerror=alert(2)>',
      '"><svg onload=alert(3)><a href="javascript:alert(4)">x</a>',
      "' onmouseover='alert(5)",
      '</style></script><iframe src=https://evil.example></iframe>',
      '=HYPERLINK("https://evil.example")\u0007\u001b[31m',
      '\u202egnp.exe\u2066',
    ];
    const rows = hostile.map((text, nth) =>
      page(
        line(nth + 1, { item_id: text, prompt: text, tenant: text, message: text, labels: { a: text }, cause: 'X' }),
      ),
    );
    const { tab, loaded, problems } = await open(rows);
    await tab.locator('article').last().hover();
    expect(await tab.locator('article p').allInnerTexts()).toEqual([
      ...hostile.slice(0, 4),
      '=HYPERLINK("https://evil.example")',
      'gnp.exe',
    ]);
    expect(await tab.locator('main script, main iframe, main svg, main img').count()).toBe(0);
    expect(loaded).toHaveLength(1);
    expect(problems).toEqual([]);
    await tab.close();
  });
});
