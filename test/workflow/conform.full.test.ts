import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VideoRunError } from '../../src/client/run-error.js';
import type { Times } from '../../src/config/times.js';
import { planPurge, purge } from '../../src/ledger/purge.js';
import { type Account, account } from '../support/account.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
import { codesOf, laterThan, workerWithFfmpeg, writeProgram } from '../support/ffmpeg-worker.js';
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

describe.skipIf(!ffmpeg)('with ffmpeg', () => {
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
  const workerWith = async (...[script, times]: [script: string | undefined, times?: Partial<Times>]) => {
    const one = await workerWithFfmpeg(stack, folder, script, times);
    accounts.push(one);
    return one;
  };

  test.each<[what: string, script: string | undefined, reason: RegExp]>([
    ['too old', 'echo "Unrecognized option \'stop_mode\'" >&2; exit 1', /no worker with ffmpeg took it in time/],
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
    const pid = join(folder, randomUUID());
    const hanging = await writeProgram(folder, laterThan(`echo $$ >${pid}; exec sleep 300`));
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

  test('a file that is wanted later and cannot be made is a failure', async () => {
    const one = await workerWith(laterThan('exit 69'));
    const { id } = await one.videos.start(stack.request(randomUUID()));
    await one.videos.result(id);
    const failure = await one.videos.conform(id).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(VideoRunError);
    expect(failure).toMatchObject({ error: { type: 'ConformFailed', message: 'ffmpeg fails with code 69: ' } });
  });
});
