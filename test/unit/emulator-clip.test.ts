import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type ClipOptions, makeClip } from '../../src/emulator/index.js';
import { hasFfmpeg } from '../support/ffmpeg.js';

const run = promisify(execFile);

const decoder = hasFfmpeg('the emulator’s clips');

const base: ClipOptions = { width: 1108, height: 830, durationSeconds: 2, audio: true, seed: 7, label: 'abc-123' };

afterEach(() => {
  vi.useRealTimers();
});

test('the same options give the same bytes at any time, and other options give others', async () => {
  const first = Buffer.from(await makeClip(base));
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 86_400_000 });
  expect(Buffer.from(await makeClip(base)).equals(first)).toBe(true);
  for (const other of [{ seed: 8 }, { label: 'abc-124' }, { durationSeconds: 3 }, { audio: false }]) {
    expect(Buffer.from(await makeClip({ ...base, ...other })).equals(first)).toBe(false);
  }
});

describe.skipIf(!decoder)('a real decoder', () => {
  // Every tier, both orientations, sizes that are no multiple of 16, the shortest and the longest.
  test.each<Partial<ClipOptions>>([
    { width: 1280, height: 720, durationSeconds: 5 },
    { width: 1108, height: 830, durationSeconds: 4, audio: false },
    { width: 1920, height: 1080, durationSeconds: 3, seed: 2_147_483_647 },
    { width: 1080, height: 1920, durationSeconds: 2, audio: false, seed: 0 },
    { width: 960, height: 960, durationSeconds: 15 },
    { width: 5242, height: 174, durationSeconds: 2 },
  ])('decodes %j without a warning and counts its frames', async (options) => {
    const clip = { ...base, ...options };
    const folder = await mkdtemp(join(tmpdir(), 'wan-video-clip-'));
    try {
      const file = join(folder, 'clip.mp4');
      await writeFile(file, await makeClip(clip));
      const decode = ['-v', 'warning', '-err_detect', 'explode', '-i', file, '-f', 'null', '-', '-progress', 'pipe:1'];
      const { stdout, stderr } = await run('ffmpeg', decode);
      expect(stderr).toBe('');
      expect(stdout.match(/^frame=\d+$/gm)?.at(-1)).toBe(`frame=${clip.durationSeconds * 30}`);
      const probe = await run('ffprobe', ['-v', 'error', '-show_streams', '-of', 'json', file]);
      const { streams } = JSON.parse(probe.stdout) as { streams: Record<string, unknown>[] };
      const video = streams.find((stream) => stream['codec_type'] === 'video');
      expect(video).toMatchObject({
        codec_name: 'h264',
        width: clip.width,
        height: clip.height,
        avg_frame_rate: '30/1',
        r_frame_rate: '30/1',
        nb_frames: String(clip.durationSeconds * 30),
      });
      expect(Number(video?.['duration'])).toBeCloseTo(clip.durationSeconds, 6);
      const sound = streams.filter((stream) => stream['codec_type'] === 'audio');
      expect(sound).toHaveLength(clip.audio ? 1 : 0);
      if (clip.audio) expect(sound[0]).toMatchObject({ codec_name: 'aac', sample_rate: '44100', channels: 2 });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
