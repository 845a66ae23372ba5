import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { measureMp4File } from '../../src/media/mp4-measure.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { hasFfmpeg } from '../support/ffmpeg.js';

const decoder = hasFfmpeg('what ffmpeg’s muxer writes');
const run = promisify(execFile);

let folder: string;
/** Two frames in a row are shown later than they are decoded; sound in AAC. */
let reordered: string;
/** Frames in their order, no sound. */
let ordered: string;

const PICTURE = ['-f', 'lavfi', '-i', 'testsrc=s=128x96:r=30:d=5'];
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '30'];
const sound = (seconds: number) => ['-f', 'lavfi', '-i', `sine=440:d=${seconds}`];

const ffmpeg = (...args: string[]) => run('ffmpeg', ['-v', 'error', '-y', ...args]);

beforeAll(async () => {
  if (!decoder) return;
  folder = await mkdtemp(join(tmpdir(), 'mp4-ffprobe-'));
  [reordered, ordered] = [join(folder, 'reordered.mp4'), join(folder, 'ordered.mp4')];
  const order = ['-bf', '2', '-x264-params', 'b-adapt=0:bframes=2', '-c:a', 'aac'];
  await ffmpeg(...PICTURE, ...sound(5), ...H264, ...order, reordered);
  await ffmpeg(...PICTURE, ...H264, '-bf', '0', ordered);
}, COMPILE_TIMEOUT_MS);
afterAll(async () => {
  if (decoder) await rm(folder, { recursive: true });
});

interface Case {
  readonly what: string;
  readonly args: () => readonly string[];
  /** Why the file is unverified. */
  readonly fault?: string;
  /** Figures that differ from ffprobe's, which are those of the coded picture. */
  readonly size?: readonly [number, number];
  readonly name?: string;
}

const copy = (what: string, ...flags: string[]): Case => ({
  what,
  args: () => ['-i', reordered, '-c', 'copy', ...flags],
});
const plain = (what: string, ...flags: string[]): Case => ({
  what,
  args: () => ['-i', ordered, '-c', 'copy', ...flags],
});
const encoded = (what: string, ...flags: string[]): Case => ({ what, args: () => [...PICTURE, ...H264, ...flags] });

const CASES: readonly Case[] = [
  copy('its index last'),
  copy('its index first', '-movflags', 'faststart'),
  copy('an empty index and fragments', '-movflags', 'frag_keyframe+empty_moov'),
  copy('fragments with their own base', '-movflags', 'frag_keyframe+empty_moov+default_base_moof'),
  copy('its first fragment in the index', '-movflags', 'frag_keyframe'),
  plain('its first fragment in the index, in order', '-movflags', 'frag_keyframe'),
  copy('an index that was written late', '-movflags', 'frag_keyframe+delay_moov'),
  copy('an index of its segments', '-movflags', 'frag_keyframe+empty_moov+default_base_moof+global_sidx'),
  copy('segments for DASH', '-movflags', 'dash+delay_moov'),
  copy('segments for CMAF', '-movflags', 'cmaf'),
  copy('a fragment for each frame', '-movflags', 'frag_every_frame+empty_moov'),
  copy('a fragment for each track', '-movflags', 'frag_keyframe+empty_moov+separate_moof'),
  copy('negative shifts in fragments', '-movflags', 'frag_keyframe+empty_moov+negative_cts_offsets'),
  copy('negative shifts', '-movflags', 'negative_cts_offsets'),
  copy('no edit list', '-use_editlist', '0'),
  copy('a time code track', '-write_tmcd', 'on', '-timecode', '00:00:00:00'),
  copy('no sound', '-an'),
  { what: 'its first 0.7 s cut away', args: () => ['-ss', '0.7', '-i', reordered, '-c', 'copy'] },
  { what: 'its first 0.7 s cut away, in order', args: () => ['-ss', '0.7', '-i', ordered, '-c', 'copy'] },
  copy('its first 1.2 s left out', '-ss', '1.2'),
  {
    what: 'a delayed picture',
    args: () => ['-itsoffset', '1', '-i', ordered, '-i', reordered, '-map', '0:v', '-map', '1:a', '-c', 'copy'],
  },
  {
    what: 'delayed sound',
    args: () => ['-itsoffset', '1', '-i', reordered, '-i', reordered, '-map', '1:v', '-map', '0:a', '-c', 'copy'],
  },
  plain('90,000 ticks a second', '-video_track_timescale', '90000'),
  plain('30 ticks a second', '-video_track_timescale', '30'),
  plain('600 ticks a second for the movie', '-movie_timescale', '600'),
  { what: 'sound in MP3', args: () => ['-i', reordered, '-c:v', 'copy', '-c:a', 'libmp3lame'] },
  {
    what: 'sound that lasts longer',
    args: () => ['-i', ordered, ...sound(9), '-c:v', 'copy', '-c:a', 'aac'],
  },
  { what: 'two pictures', args: () => ['-i', reordered, '-i', ordered, '-map', '0', '-map', '1:v', '-c', 'copy'] },
  { ...plain('a quarter turn', '-metadata:s:v', 'rotate=90'), size: [96, 128] },
  { ...encoded('pixels that are no squares', '-vf', 'setsar=4/3'), size: [171, 96] },
  encoded('a frame rate that varies', '-vf', "select='not(mod(n,7))+not(mod(n,3))'", '-vsync', 'vfr'),
  encoded('24000/1001 frames a second', '-vf', 'fps=24000/1001'),
  encoded('120 frames a second', '-vf', 'fps=120'),
  encoded('one frame a second', '-vf', 'fps=1'),
  encoded('one frame', '-frames:v', '1'),
  { ...copy('the form of QuickTime'), name: 'video.mov', fault: 'is a QuickTime file' },
  {
    what: 'H.265',
    args: () => [...PICTURE, '-t', '1', '-c:v', 'libx265', '-x265-params', 'log-level=none', '-tag:v', 'hvc1'],
    fault: 'has a video track in hevc instead of H.264',
  },
  {
    what: 'AV1',
    args: () => [...PICTURE, '-t', '0.2', '-c:v', 'libaom-av1', '-cpu-used', '8'],
    fault: 'has a video track in av1 instead of H.264',
  },
];

interface Probed {
  readonly streams: ReadonlyArray<Record<string, string | number>>;
}

async function probe(file: string) {
  const entries = 'stream=codec_type,width,height,duration,avg_frame_rate,nb_read_packets';
  const args = ['-v', 'quiet', '-count_packets', '-show_entries', entries, '-of', 'json', file];
  const { streams } = JSON.parse((await run('ffprobe', args)).stdout) as Probed;
  const video = streams.find((stream) => stream['codec_type'] === 'video') ?? {};
  const [frames = 0, seconds = 1] = String(video['avg_frame_rate']).split('/').map(Number);
  return {
    durationSeconds: Number(video['duration']),
    fps: frames / seconds,
    frames: Number(video['nb_read_packets']),
    size: [video['width'], video['height']],
    hasAudio: streams.some((stream) => stream['codec_type'] === 'audio'),
  };
}

test.skipIf(!decoder).each(CASES)('ffprobe and we measure the same of a file with $what', async (one) => {
  const file = join(folder, one.name ?? 'video.mp4');
  await ffmpeg(...one.args(), file);
  const [{ measured, fault }, probed] = await Promise.all([measureMp4File(file), probe(file)]);
  expect(fault).toBe(one.fault);
  expect(measured.durationSeconds).toBeCloseTo(probed.durationSeconds, 2);
  expect(measured.fps).toBeCloseTo(probed.fps, 2);
  expect(measured.frames).toBe(probed.frames);
  expect(measured.hasAudio).toBe(probed.hasAudio);
  expect([measured.width, measured.height]).toEqual(one.size ?? probed.size);
});
