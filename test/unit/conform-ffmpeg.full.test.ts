import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConformRules } from '../../src/contract/conform.js';
import {
  type Colours,
  colourArguments,
  conformArguments,
  conformHash,
  isAsPlanned,
  planConform,
  posterArguments,
  readColours,
} from '../../src/media/conform.js';
import { FFMPEG_LIMITS, type FfmpegLimits, findFfmpeg, runFfmpeg } from '../../src/media/ffmpeg.js';
import { type MeasuredMp4, measureMp4File } from '../../src/media/mp4-measure.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { hasFfmpeg } from '../support/ffmpeg.js';

const ffmpeg = hasFfmpeg('conformed files');
const run = promisify(execFile);
const TIERS = { '720P': [1280, 720], '1080P': [1920, 1080] } as const;
type Tier = keyof typeof TIERS;

let folder: string;
let program: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conform-ffmpeg-'));
  if (!ffmpeg) return;
  const found = await findFfmpeg({ program: 'ffmpeg', searchPath: process.env['PATH'] ?? '' });
  if (typeof found === 'string') throw new Error(found);
  program = found.program;
  for (const [tier, [width, height]] of Object.entries(TIERS)) {
    for (const sound of [true, false]) await render(sourceOf(tier as Tier, sound), [width, height], sound);
  }
}, COMPILE_TIMEOUT_MS);
afterAll(() => rm(folder, { recursive: true }));

const sourceOf = (tier: Tier, sound: boolean): string => join(folder, `${tier}-${sound ? 'sound' : 'silent'}.mp4`);

/** What the provider makes: 30 frames a second, some hundredths longer than two seconds, without colour tags. */
async function render(to: string, [width, height]: readonly [number, number], sound: boolean): Promise<void> {
  const picture = ['-f', 'lavfi', '-i', `testsrc2=s=${width}x${height}:r=30:d=2.034`];
  const tone = sound ? ['-f', 'lavfi', '-i', 'sine=440:r=44100:d=2.02', '-c:a', 'aac'] : [];
  const video = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '16', '-pix_fmt', 'yuv420p'];
  await run('ffmpeg', ['-v', 'error', '-y', ...picture, ...tone, ...video, to]);
}

async function inFfmpeg(args: readonly string[]): Promise<string> {
  const outcome = await runFfmpeg(program, args);
  if (outcome.kind === 'failed') throw new Error(outcome.reason);
  return outcome.log;
}

async function make(file: string, rules: ConformRules): Promise<{ to: string; made: MeasuredMp4; colours: Colours }> {
  const { measured } = await measureMp4File(file);
  const colours = readColours(await inFfmpeg(colourArguments(file)), measured);
  const plan = planConform(measured, rules);
  const to = join(folder, `${conformHash(rules)}-${measured.hasAudio}-${measured.width}.mp4`);
  await inFfmpeg(conformArguments({ file, measured, colours }, rules, plan, to));
  const { measured: made, fault } = await measureMp4File(to);
  expect(fault).toBeUndefined();
  expect(isAsPlanned(plan, made, measured.hasAudio)).toBe(true);
  return { to, made, colours };
}

interface Probed {
  readonly codec_name: string;
  readonly pix_fmt: string;
  readonly color_space: string;
  readonly r_frame_rate: string;
  readonly nb_frames: string;
  readonly width: number;
  readonly height: number;
  readonly duration: string;
  readonly start_time: string;
}

/** What ffprobe says of picture and sound. */
async function probe(file: string): Promise<readonly (Probed | undefined)[]> {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-show_streams', '-of', 'json', file]);
  const { streams } = JSON.parse(stdout) as { streams: (Probed & { readonly codec_type: string })[] };
  return ['video', 'audio'].map((type) => streams.find(({ codec_type }) => codec_type === type));
}

/** Names of the boxes of a file in their order: a player that streams needs the index first. */
async function boxesOf(file: string): Promise<string[]> {
  const handle = await open(file);
  const names: string[] = [];
  const { size } = await handle.stat();
  for (let at = 0; at < size; ) {
    const { buffer } = await handle.read(Buffer.alloc(8), 0, 8, at);
    names.push(buffer.toString('latin1', 4, 8));
    at += buffer.readUInt32BE(0);
  }
  await handle.close();
  return names;
}

const RATES = [
  [23.976, '24000/1001', 48],
  [24, '24/1', 48],
  [25, '25/1', 50],
  [30, '30/1', 60],
  [60, '60/1', 120],
] as const;
const SQUARES = { '720P': 960, '1080P': 1440 } as const;

describe.skipIf(!ffmpeg)('a conformed file is what was asked, as ffprobe says', () => {
  const cells = RATES.flatMap(([fps, rate, frames]) =>
    (['720P', '1080P'] as const).flatMap((tier) =>
      (['crop', 'pad'] as const).flatMap((shape) =>
        [true, false].map((sound) => ({ fps, rate, frames, tier, shape, sound })),
      ),
    ),
  );
  test.each(cells)('$fps frames per second, $tier, $shape, sound: $sound', async (cell) => {
    const { fps, rate, frames, tier, shape, sound } = cell;
    const side = SQUARES[tier];
    const motion = fps === 24 || fps === 60 ? 'blend' : 'duplicate';
    const rules = { fps, size: `${side}*${side}`, shape, motion, duration: 2 } as const;
    const { to, made } = await make(sourceOf(tier, sound), rules);
    const [video, audio] = await probe(to);
    expect(video).toMatchObject({
      codec_name: 'h264',
      pix_fmt: 'yuv420p',
      color_space: 'bt709',
      r_frame_rate: rate,
      nb_frames: String(frames),
      width: side,
      height: side,
    });
    expect(Math.abs(Number(video?.duration) - 2)).toBeLessThanOrEqual(1 / fps);
    expect(Math.abs(made.durationSeconds - Number(video?.duration))).toBeLessThan(0.002);
    expect(audio?.codec_name).toBe(sound ? 'aac' : undefined);
    if (sound) expect(Math.abs(Number(audio?.duration) - Number(video?.duration))).toBeLessThanOrEqual(0.02);
    const boxes = await boxesOf(to);
    expect(boxes.indexOf('moov')).toBeLessThan(boxes.indexOf('mdat'));
    await rm(to);
  });

  test.each(['720P', '1080P'] as const)(
    'where only the length changes, the pictures are those of the original: %s',
    async (tier) => {
      const source = sourceOf(tier, false);
      const rules = { fps: null, size: null, shape: 'crop', motion: 'blend', duration: 2 } as const;
      const { to } = await make(source, rules);
      const log = await inFfmpeg(['-i', to, '-i', source, '-lavfi', '[0:v][1:v]psnr=shortest=1', '-f', 'null', '-']);
      expect(Number(/average:([\d.]+)/.exec(log)?.[1])).toBeGreaterThanOrEqual(40);
    },
  );

  test('sound stays with its picture', async () => {
    const source = join(folder, 'flash.mp4');
    const flash = "nullsrc=s=320x240:r=30:d=2,geq=lum='if(gte(T,1),235,16)':cb=128:cr=128";
    const beep = "aevalsrc='if(gte(t,1),sin(2*PI*440*t),0)':d=2";
    await run('ffmpeg', [
      '-v',
      'error',
      '-y',
      '-f',
      'lavfi',
      '-i',
      flash,
      '-f',
      'lavfi',
      '-i',
      beep,
      '-shortest',
      source,
    ]);
    const { to } = await make(source, { fps: 24, size: null, shape: 'crop', motion: 'duplicate', duration: 2 });
    const log = await inFfmpeg(['-i', to, '-vf', 'blackdetect=d=0.1', '-af', 'silencedetect=d=0.1', '-f', 'null', '-']);
    const [bright, loud] = [/black_end:([\d.]+)/, /silence_end: ([\d.]+)/].map((found) => Number(found.exec(log)?.[1]));
    expect(Math.abs((bright ?? 0) - 1)).toBeLessThanOrEqual(1 / 24);
    expect(Math.abs((loud ?? 0) - 1)).toBeLessThanOrEqual(0.02);
  });

  test.each([
    ['named', ['-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709', '-color_range', 'tv']],
    ['not named', []],
  ])('colours that are %s in the file are kept in video and poster', async (_what, tags) => {
    const source = join(folder, 'colour.mp4');
    const colour = 'color=c=0xc04020:s=1280x720:r=30:d=1,scale=out_color_matrix=bt709:out_range=tv';
    await run('ffmpeg', ['-v', 'error', '-y', '-f', 'lavfi', '-i', colour, '-pix_fmt', 'yuv420p', ...tags, source]);
    const rules = { fps: 24, size: '640*360', shape: 'crop', motion: 'duplicate', duration: 1 } as const;
    const { to, colours } = await make(source, rules);
    expect((await probe(to))[0]).toMatchObject({ color_space: 'bt709' });
    const poster = join(folder, 'poster.jpg');
    await inFfmpeg(posterArguments(to, colours, poster));
    const { data, info } = await sharp(poster).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([640, 360]);
    for (const [at, value] of [0xc0, 0x40, 0x20].entries()) expect(Math.abs((data[at] ?? 0) - value)).toBeLessThan(6);
  });

  describe('a real ffmpeg that cannot do its work', () => {
    const job = async (to: string) => {
      const file = sourceOf('1080P', true);
      const { measured } = await measureMp4File(file);
      const rules = { fps: 60, size: '3840*2160', shape: 'crop', motion: 'blend', duration: 2 } as const;
      const colours = readColours('', measured);
      return conformArguments({ file, measured, colours }, rules, planConform(measured, rules), to);
    };
    const outcomeOf = async (to: string, limits: Partial<FfmpegLimits>) =>
      runFfmpeg(program, await job(to), {}, { ...FFMPEG_LIMITS, ...limits });

    test.runIf(process.platform === 'linux')('out of space: another machine may have some', async () => {
      expect(await outcomeOf('/dev/full', {})).toEqual({
        kind: 'failed',
        reason: 'has no space left on its disk',
        mayPass: true,
      });
    });

    test('beyond the largest file, the memory or the time that it may take: it fails for good', async () => {
      const to = join(folder, 'bounded.mp4');
      expect(await outcomeOf(to, { fileMegabytes: 0.0625 })).toMatchObject({
        kind: 'failed',
        reason: expect.stringMatching(/writes too large a file|File too large/),
        mayPass: false,
      });
      expect((await stat(to)).size).toBeLessThanOrEqual(65_536);
      expect(await outcomeOf(to, { seconds: 0.5 })).toMatchObject({
        reason: 'is slower than its bound of 0.5 s',
        mayPass: false,
      });
      expect(await outcomeOf(to, { megabytes: 150 })).toMatchObject({ kind: 'failed' });
    });

    test('killed by another program: another try may do better', async () => {
      const running = job(join(folder, 'killed.mp4')).then((args) =>
        runFfmpeg(program, args, {
          onFrame: () => {
            const [child] = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim().split(' ');
            process.kill(Number(child), 'SIGKILL');
          },
        }),
      );
      expect(await running).toEqual({ kind: 'failed', reason: 'was ended by SIGKILL', mayPass: true });
    });
  });
});
