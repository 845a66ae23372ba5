import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { ALL_FORMATS, BufferSource, BufferTarget, Conversion, Input, Mp4OutputFormat, Output } from 'mediabunny';
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import { makeClip } from '../../src/emulator/clip/plain-clip.js';
import { measureMp4 } from '../support/measure-mp4.js';

const SHAPE = { width: 640, height: 360, durationSeconds: 2, seed: 7, label: 'TEST-1' };
let faststart: Buffer;
let moovLast: Buffer;
let fragmented: Buffer;
let silent: Buffer;

beforeAll(async () => {
  faststart = Buffer.from(await makeClip({ ...SHAPE, audio: true }));
  silent = Buffer.from(await makeClip({ ...SHAPE, audio: false }));
  moovLast = await remux(faststart, false);
  fragmented = await remux(faststart, 'fragmented');
});

/** The same packets in another layout. */
async function remux(bytes: Buffer, fastStart: false | 'fragmented'): Promise<Buffer> {
  const input = new Input({ formats: ALL_FORMATS, source: new BufferSource(bytes) });
  const target = new BufferTarget();
  const output = new Output({ format: new Mp4OutputFormat({ fastStart }), target });
  await (await Conversion.init({ input, output, showWarnings: false })).execute();
  return Buffer.from(target.buffer as ArrayBuffer);
}

/** Top-level boxes in order: name, offset, length. */
function boxesOf(file: Buffer): Array<{ name: string; at: number; length: number }> {
  const boxes = [];
  for (let at = 0; at < file.length; ) {
    const length = file.readUInt32BE(at) === 1 ? Number(file.readBigUInt64BE(at + 8)) : file.readUInt32BE(at);
    boxes.push({ name: file.toString('latin1', at + 4, at + 8), at, length });
    at += length;
  }
  return boxes;
}

const boxOf = (file: Buffer, name: string) => boxesOf(file).find((box) => box.name === name)!;

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mp4-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function measure(bytes: Uint8Array) {
  const file = join(await folder(), 'video');
  await writeFile(file, bytes);
  return measureMp4(file);
}

async function faultOf(bytes: Uint8Array): Promise<string> {
  const error = await measure(bytes).then(
    (measured) => expect.fail(`it was taken as ${JSON.stringify(measured)}`),
    (fault: unknown) => fault,
  );
  expect(error).toBeInstanceOf(VideoError);
  expect(error).toMatchObject({ type: FailureType.ResultRejected, retryable: false, billed: true });
  return (error as VideoError).message;
}

/** A copy with `bytes` put at `at`. */
function patched(file: Buffer, at: number, bytes: Uint8Array): Buffer {
  const copy = Buffer.from(file);
  copy.set(bytes, at);
  return copy;
}

const measured = { durationSeconds: 2, fps: 30, frames: 60, width: 640, height: 360, codec: 'avc', hasAudio: true };

test.each([
  ['with its index first', () => faststart, measured],
  ['with its index last', () => moovLast, measured],
  ['in fragments', () => fragmented, measured],
  ['without sound', () => silent, { ...measured, hasAudio: false }],
  ['with a 64-bit box', () => large64(silent), { ...measured, hasAudio: false }],
  [
    'with a free box behind it',
    () => Buffer.concat([silent, Buffer.from('\0\0\0\x0cfree\0\0\0\0')]),
    { ...measured, hasAudio: false },
  ],
])('a clip %s is measured by its video track', async (_, clip, expected) => {
  expect(await measure(clip())).toEqual(expected);
});

/** The same file with the body's length written in 64 bits, which `free` makes room for. */
function large64(clip: Buffer): Buffer {
  const mdat = boxOf(clip, 'mdat');
  const header = Buffer.alloc(16);
  header.writeUInt32BE(1);
  header.write('free', 4);
  header.writeBigUInt64BE(20n, 8);
  return Buffer.concat([clip, header, Buffer.alloc(4 + 0 * mdat.length)]);
}

test.each([
  [720, 1280, 2],
  [1108, 830, 4],
  [1920, 1080, 15],
])('a clip of %i x %i and %i s has these measures', async (width, height, durationSeconds) => {
  const clip = await makeClip({ ...SHAPE, width, height, durationSeconds, audio: true });
  expect(await measure(clip)).toEqual({ ...measured, width, height, durationSeconds, frames: durationSeconds * 30 });
});

test.each([
  ['nothing', () => Buffer.alloc(0), 'is empty'],
  ['an HTML page', () => Buffer.from('<!doctype html><html><body>504</body></html>'), 'is an HTML page'],
  [
    'an XML error',
    () => Buffer.from('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
    'is an XML document',
  ],
  ['a JSON error', () => Buffer.from('{"code":"NoSuchKey"}'), 'is a JSON document'],
  ['zeros', () => Buffer.alloc(100_000), 'zero bytes'],
  [
    'random bytes',
    () => Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 7919 + (i >> 3) * 31) & 255)),
    'unknown kind',
  ],
  ['a PNG', () => Buffer.from('\x89PNG\r\n\x1a\n0000000000000000000000', 'latin1'), 'a PNG image'],
  ['one byte', () => Buffer.from([0]), 'zero bytes'],
  ['ftyp alone', () => faststart.subarray(0, boxesOf(faststart)[0]!.length), 'no index'],
  ['text behind the video', () => Buffer.concat([faststart, Buffer.from('<html>')]), 'no part of an MP4'],
  ['zeros behind the video', () => Buffer.concat([faststart, Buffer.alloc(64)]), 'no part of an MP4'],
  ['three bytes behind the video', () => Buffer.concat([faststart, Buffer.alloc(3)]), 'no part of an MP4'],
  ['a second, cut video behind it', () => Buffer.concat([faststart, faststart.subarray(0, -1)]), 'second index'],
  ['an index without tracks', () => withoutTracks(faststart), 'no video track'],
  ['sound alone', () => renamed(faststart, 'vide', 'text'), 'no video track'],
  ['another codec', () => renamed(faststart, 'avc1', 'xvid'), 'unknown codec'],
  [
    'a box of hostile length',
    () => patched(faststart, boxOf(faststart, 'mdat').at, Buffer.from([0xff, 0xff, 0xff, 0xff])),
    'cut off',
  ],
  [
    'a box shorter than its header',
    () => patched(faststart, boxOf(faststart, 'mdat').at, Buffer.from([0, 0, 0, 7])),
    'damaged',
  ],
  ['an index of hostile length', () => hostileIndex(), 'index of'],
  [
    'ten thousand empty boxes',
    () => Buffer.concat([faststart, ...Array(10_000).fill(Buffer.from('\0\0\0\x08free'))]),
    'more than 8192',
  ],
])('%s is refused because it %s', async (_, bytes, words) => {
  expect(await faultOf(bytes())).toContain(words);
});

function withoutTracks(file: Buffer): Buffer {
  return renamed(file, 'trak', 'free');
}

function renamed(file: Buffer, from: string, to: string): Buffer {
  return Buffer.from(file.toString('latin1').replaceAll(from, to), 'latin1');
}

function hostileIndex(): Buffer {
  const bytes = Buffer.concat([faststart.subarray(0, boxesOf(faststart)[0]!.length), Buffer.alloc(17 * 1024 * 1024)]);
  const at = boxesOf(faststart)[0]!.length;
  bytes.writeUInt32BE(bytes.length - at, at);
  bytes.write('moov', at + 4);
  return bytes;
}

test.each([
  ['first', () => faststart],
  ['last', () => moovLast],
])('a video with its index %s is refused wherever it is cut', async (_, clip) => {
  const file = join(await folder(), 'video');
  const bytes = clip();
  const cuts = Array.from({ length: 60 }, (_unused, i) => Math.floor(((i + 0.5) * bytes.length) / 60));
  for (const at of [
    1,
    7,
    8,
    ...boxesOf(bytes)
      .flatMap((box) => [box.at, box.at + 8])
      .slice(1),
    ...cuts,
    bytes.length - 1,
  ]) {
    await writeFile(file, bytes.subarray(0, at));
    await expect(measureMp4(file), `cut to ${at}`).rejects.toMatchObject({ type: FailureType.ResultRejected });
  }
});

test.each([
  ['all of it', 0, 1],
  ['its second half', 0.5, 1],
  ['its first 4 kB', 0, 4096],
  ['4 kB in the middle', 0.5, 4096],
  ['one sector, somewhere', 0.37, 1024],
  ['its last 8 kB', 0.96, 1],
])('a body of which %s is zeros, behind a complete index, is refused', async (_, from, length) => {
  for (const clip of [silent, await remux(silent, false)]) {
    const mdat = boxOf(clip, 'mdat');
    const start = mdat.at + 16 + Math.floor(from * (mdat.length - 16));
    const end = Math.min(mdat.at + mdat.length, length === 1 ? Number.MAX_SAFE_INTEGER : start + length);
    expect(await faultOf(patched(clip, start, Buffer.alloc(end - start)))).toMatch(/zeros|damaged picture/);
  }
});

test('a body that another file overwrote is refused', async () => {
  const { at, length } = boxOf(silent, 'mdat');
  const noise = Buffer.from(Array.from({ length: length - 16 }, (_, i) => (i * 7919 + (i >> 5) * 131) & 255));
  expect(await faultOf(patched(silent, at + 16, noise))).toContain('damaged picture');
});

test.each([
  ['stsc', 'a first chunk that does not exist', 16, 0x7fffffff],
  ['stsc', 'more entries than it holds', 12, 0x7fffffff],
  ['stsc', 'more samples in a chunk than a video has', 20, 0xffffffff],
  ['stts', 'more samples than a video has', 16, 0xffffffff],
  ['stts', 'more entries than it holds', 12, 0x10000000],
  ['stsz', 'more samples than a video has', 16, 0xffffffff],
  ['stco', 'more chunks than a video has', 12, 0xffffffff],
])('an index whose %s claims %s is refused at once', async (name, _, at, value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  const startedAt = performance.now();
  expect(await faultOf(patched(silent, silent.indexOf(name) - 4 + at, bytes))).toContain('damaged index');
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});

test('for any damage of the index, the file is measured or refused, in bounded time', async () => {
  const file = join(await folder(), 'video');
  const clip = Buffer.from(await makeClip({ ...SHAPE, width: 64, height: 64, durationSeconds: 1, audio: true }));
  const moov = boxOf(clip, 'moov');
  const change = fc.tuple(
    fc.nat(moov.length - 5),
    fc.constantFrom([0xff], [0], [0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0], [0, 0, 0, 1]),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      let bytes: Buffer = clip;
      for (const [at, value] of changes) bytes = patched(bytes, moov.at + at, Buffer.from(value));
      await writeFile(file, bytes);
      const startedAt = performance.now();
      try {
        const { durationSeconds, fps, frames, width, height } = await measureMp4(file);
        for (const value of [durationSeconds, fps, frames, width, height]) {
          expect(Number.isFinite(value) && value > 0).toBe(true);
        }
      } catch (error) {
        if (!(error instanceof VideoError)) throw error;
        expect(error.type).toBe(FailureType.ResultRejected);
      }
      expect(performance.now() - startedAt).toBeLessThan(5_000);
    }),
    { numRuns: 300 },
  );
});

test('a file of 200 MB is measured in little memory', async () => {
  const file = join(await folder(), 'video');
  const padding = 200 * 1024 * 1024;
  const header = Buffer.alloc(8);
  header.writeUInt32BE(padding);
  header.write('free', 4);
  await writeFile(file, Buffer.concat([silent, header]));
  await truncate(file, silent.length + padding); // a sparse file: the zeros take no room
  await measureMp4(file); // what is loaded once does not count
  const before = process.memoryUsage().rss;
  expect(await measureMp4(file)).toMatchObject({ frames: 60 });
  expect(process.memoryUsage().rss - before).toBeLessThan(16 * 1024 * 1024);
});

test('a file that cannot be read is a fault of the disk, not of the video', async () => {
  const path = await folder();
  for (const file of [join(path, 'missing'), path]) {
    await expect(measureMp4(file)).rejects.toMatchObject({ type: FailureType.StoreUnavailable, retryable: true });
  }
  await (await open(path)).close();
});

test('a file that the library cannot parse prints nothing to the console', async () => {
  const printed = (['log', 'info', 'warn', 'error'] as const).map((name) => vi.spyOn(console, name));
  onTestFinished(() => {
    for (const spy of printed) spy.mockRestore();
  });
  const avcC = faststart.indexOf('avcC') + 4;
  const damaged = Buffer.from(faststart);
  damaged.fill(0xff, avcC, avcC + 8);
  const file = join(await mkdtemp(join(tmpdir(), 'mp4-')), 'damaged.mp4');
  await writeFile(file, damaged);
  await measureMp4(file).catch(() => undefined);
  for (const spy of printed) expect(spy).not.toHaveBeenCalled();
});
