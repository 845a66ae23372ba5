import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VideoRunError } from '../../src/client/run-error.js';
import type { VideoResult } from '../../src/contract/result.js';
import { planPurge, purge } from '../../src/ledger/purge.js';
import { measureMp4File } from '../../src/media/mp4-measure.js';
import { type Account, account } from '../support/account.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
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
const codesOf = ({ warnings }: VideoResult): string[] => warnings.map(({ code }) => code);
const fileOf = (url: string | undefined): string => fileURLToPath(url ?? '');
const sha256Of = async (url: string | undefined): Promise<string> =>
  createHash('sha256')
    .update(await readFile(fileOf(url)))
    .digest('hex');

describe.skipIf(!ffmpeg)('with ffmpeg', () => {
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
    expect(await activitiesOf(stack.client, id)).toEqual([
      'prepareRequest',
      'submitTask',
      'pollTask',
      'pollTask',
      'conformVideo',
    ]);
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

  test('a poster alone leaves the video as it is', async () => {
    const { poster_url, original_url, video_url } = await stack.videos.generate({
      ...stack.request(randomUUID()),
      poster: true,
    });
    expect(original_url).toBeUndefined();
    expect(video_url).toContain('/videos/');
    expect(await sharp(await readFile(fileOf(poster_url))).metadata()).toMatchObject({ width: 1280, height: 720 });
  });

  test('a purge finds what was made from a video together with it', async () => {
    const image = `asset:${stack.image.slice('asset:'.length)}`;
    const { task_id } = await stack.videos.generate({
      ...stack.request(randomUUID()),
      conform: { fps: 12 },
      poster: true,
    });
    const plan = await planPurge(stack.store, { by: 'reference', key: image.slice('asset:'.length) }, Date.now());
    const ofTask = plan.items.filter(({ key }) => key.includes(task_id));
    expect(ofTask.map(({ area }) => area).toSorted()).toEqual(['conformed', 'conformed', 'videos']);
    await purge(stack.store, { items: ofTask });
    for (const { key } of ofTask) expect(await stack.store.head(key)).toBeUndefined();
  });
});

describe('without a usable ffmpeg', () => {
  const accounts: Account[] = [];
  afterAll(() => Promise.all(accounts.map((one) => one.close())));
  /** A worker with its own queues whose ffmpeg is this script; undefined: none. */
  async function workerWith(script: string | undefined, times: Parameters<typeof account>[2] = {}): Promise<Account> {
    const one = account(stack, 5, { conformScheduleToStartMs: 500, ...times });
    accounts.push(one);
    if (script === undefined) await one.startWorker();
    else {
      const program = join(folder, randomUUID());
      await writeFile(program, `#!/bin/sh\n${script}\n`);
      await chmod(program, 0o755);
      await one.startWorker(5, { ffmpeg: { program, searchPath: '' } });
    }
    return one;
  }
  /** Passes the trial at the start, and then does this. */
  const laterThan = (script: string) => `case "$*" in *lavfi*) exit 0;; esac; ${script}`;

  test.each<[what: string, script: string | undefined, reason: RegExp]>([
    ['absent', undefined, /no worker with ffmpeg took it in time/],
    ['too old', 'echo "Unrecognized option \'stop_mode\'" >&2; exit 1', /no worker with ffmpeg took it in time/],
    ['broken', laterThan('echo "Conversion failed!" >&2; exit 69'), /ffmpeg fails with code 69: Conversion failed!/],
    ['killed each time', laterThan('kill -KILL $$'), /ffmpeg was ended by SIGKILL/],
    ['out of space', laterThan('echo "No space left on device" >&2; exit 1'), /no space left on its disk/],
    ['a liar', laterThan('exit 0'), /cannot be read: ENOENT/],
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

  test.skipIf(!ffmpeg)('a worker that ends in the middle is followed by another one', async () => {
    const one = account(stack, 5, { conformScheduleToStartMs: 60_000 });
    accounts.push(one);
    const [hanging, pid] = [join(folder, randomUUID()), join(folder, randomUUID())];
    await writeFile(hanging, `#!/bin/sh\n${laterThan(`echo $$ >${pid}; exec sleep 300`)}\n`);
    await chmod(hanging, 0o755);
    const stopFirst = await one.startWorker(5, { ffmpeg: { program: hanging, searchPath: '' } });
    const request = { ...stack.request(randomUUID()), conform: 'exact' } as const;
    const { id } = await one.videos.start(request);
    await expect.poll(() => readFile(pid, 'utf8').catch(() => '')).toMatch(/\d/);
    await stopFirst();
    expect(() => process.kill(Number(readFileSync(pid, 'utf8')), 0)).toThrow();
    await one.startWorker(5, { ffmpeg: stack.config.ffmpeg });
    expect(await one.videos.result(id)).toMatchObject({ fps: 24, source: 'generated', warnings: [] });
    expect(submitsOf(request.prompt)).toBe(1);
  });

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

  test('a file that is wanted later and cannot be made is a failure', async () => {
    const one = await workerWith(laterThan('exit 69'));
    const { id } = await one.videos.start(stack.request(randomUUID()));
    await one.videos.result(id);
    const failure = await one.videos.conform(id).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(VideoRunError);
    expect(failure).toMatchObject({ error: { type: 'ConformFailed', message: 'ffmpeg fails with code 69: ' } });
  });
});
