import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Times } from '../../src/config/times.js';
import { measureMp4File } from '../../src/media/mp4-measure.js';
import type { Account } from '../support/account.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
import { codesOf, laterThan, workerWithFfmpeg } from '../support/ffmpeg-worker.js';
import { activitiesOf } from '../support/history.js';
import { type Stack, startStack } from '../support/stack.js';

const ffmpeg = hasFfmpeg('conformed videos');

let stack: Stack;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conform-test-'));
  stack = await startStack({ env: { PATH: process.env['PATH'] ?? '' } });
});
afterAll(async () => {
  await stack?.close();
  await rm(folder, { recursive: true });
});

const submitsOf = (prompt: string): number =>
  stack.emulator.state().tasks.filter((task) => task.prompt === prompt).length;
const fileOf = (url: string | undefined): string => fileURLToPath(url ?? '');
const sha256Of = async (url: string | undefined): Promise<string> =>
  createHash('sha256')
    .update(await readFile(fileOf(url)))
    .digest('hex');

// ffmpeg yields to everything else, so busy cores leave it little.
describe.skipIf(!ffmpeg)('with ffmpeg', { timeout: 240_000 }, () => {
  test('the specification’s request with conform exact has 24.000 frames per second, its size and length, and no warning', async () => {
    const request = { ...stack.request(randomUUID()), audio: true, conform: 'exact', poster: true } as const;
    const { id } = await stack.videos.start(request);
    const result = await stack.videos.result(id);

    expect(result).toMatchObject({ fps: 24, width: 1280, height: 720, duration: 4, has_audio: true, warnings: [] });
    expect(result.conformed).toEqual({ fps: 24, size: '1280*720', shape: 'crop', motion: 'duplicate', duration: 4 });
    const { measured, fault } = await measureMp4File(fileOf(result.video_url));
    expect(fault).toBeUndefined();
    expect(measured).toMatchObject({ frames: 96, fps: 24 });
    expect(await sha256Of(result.video_url)).toBe(result.sha256);
    // The original is what the provider made.
    const original = await measureMp4File(fileOf(result.original_url));
    expect(original.measured.fps).toBe(30);
    expect(await sharp(await readFile(fileOf(result.poster_url))).metadata()).toMatchObject({
      format: 'jpeg',
      width: 1280,
      height: 720,
    });
    // A slow look finds the task at its end, and polls once; otherwise twice.
    const steps = (await activitiesOf(stack.client, id)).filter((name) => name !== 'pollTask');
    expect(steps).toEqual(['prepareRequest', 'submitTask', 'conformVideo']);
  });

  test('other rules for the same video conform it again and buy nothing; the same rules find the file', async () => {
    const request = stack.request(randomUUID());
    const plain = await stack.videos.generate(request);
    expect(codesOf(plain)).toEqual(['fps_not_honoured']);
    const exact = await stack.videos.generate({ ...request, conform: 'exact' });
    const square = await stack.videos.generate({ ...request, conform: { size: '480*480', shape: 'pad' } });
    const { id } = await stack.videos.start(request);
    await stack.videos.result(id);
    const later = await stack.videos.conform(id, { conform: { fps: 24, size: '1280*720' }, poster: true });

    expect(submitsOf(request.prompt)).toBe(1);
    expect([exact, square].map(({ source }) => source)).toEqual(['cache', 'cache']);
    expect(exact).toMatchObject({ fps: 24, original_url: plain.video_url, usage: { billed_seconds: 0 } });
    expect(square).toMatchObject({ fps: 30, width: 480, height: 480, original_url: plain.video_url });
    expect(codesOf(square)).toEqual(['fps_not_honoured']);
    expect(later.video_url).toBe(exact.video_url);
    expect(later.sha256).toBe(exact.sha256);
    expect(later.poster_url).toBe(exact.video_url.replace(/mp4$/, 'jpg'));
    expect(await sha256Of(plain.video_url)).toBe(plain.sha256);
  });
});

describe('without a usable ffmpeg', () => {
  const accounts: Account[] = [];
  afterAll(() => Promise.all(accounts.map((one) => one.close())));
  const workerWith = async (...[script, times]: [script: string | undefined, times?: Partial<Times>]) => {
    const one = await workerWithFfmpeg(stack, folder, script, times);
    accounts.push(one);
    return one;
  };

  test.each<[what: string, script: string | undefined, reason: RegExp]>([
    ['absent', undefined, /no worker with ffmpeg took it in time/],
    ['broken', laterThan('echo "Conversion failed!" >&2; exit 69'), /ffmpeg fails with code 69: Conversion failed!/],
  ])(
    'an ffmpeg that is %s leaves the original as the result, says so, and buys nothing',
    async (_what, script, reason) => {
      const times = { retryInitialMs: 10, retryMaximumMs: 20 };
      // A worker that serves the queue takes each attempt, late on a busy machine.
      const isServed = !/no worker/.test(reason.source);
      const one = await workerWith(script, isServed ? { ...times, conformScheduleToStartMs: 60_000 } : times);
      const request = { ...stack.request(randomUUID()), conform: 'exact' } as const;
      const result = await one.videos.generate(request);
      expect(result).toMatchObject({ source: 'generated', fps: 30 });
      expect(result.video_url).toContain('/videos/');
      expect(result.original_url).toBeUndefined();
      expect(codesOf(result)).toEqual(['fps_not_honoured', 'conform_failed']);
      expect(result.warnings.at(-1)?.message).toMatch(reason);
      expect(submitsOf(request.prompt)).toBe(1);
    },
  );

  test('a deadline that passes while a file is made leaves the video as the result', async () => {
    const one = await workerWith(undefined, { conformScheduleToStartMs: 600_000 });
    const request = { ...stack.request(randomUUID()), conform: 'exact', deadline_seconds: 15 } as const;
    const result = await one.videos.generate(request);
    expect(codesOf(result)).toContain('conform_failed');
  });

  test('a cancel while a file is made says that the video is archived, and what it cost', async () => {
    const one = await workerWith(undefined, { conformScheduleToStartMs: 600_000 });
    const request = { ...stack.request(randomUUID()), conform: 'exact' } as const;
    const { id } = await one.videos.start(request);
    await expect.poll(async () => (await one.videos.progress(id)).stage).toBe('conforming');
    const cancelled = await one.videos.cancel(id);
    expect(cancelled).toMatchObject({
      billed: true,
      outcome: expect.stringMatching(/archived before, at .*\/videos\//),
    });
    expect((await one.videos.generate({ ...request, conform: 'off' })).source).toBe('cache');
  });
});
