import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { VideoError } from '../../src/contract/video-error.js';
import { makeClip } from '../../src/emulator/clip/plain-clip.js';
import { type BmpPixels, readBmp } from '../../src/media/bmp.js';
import { ImageFitter } from '../../src/media/image-fitter.js';
import { kindOfImage } from '../../src/media/image-kind.js';
import { layoutOf, stripImage } from '../../src/media/image-layout.js';
import { Mp4Fault } from '../../src/media/mp4-boxes.js';
import { type InspectedMp4, measureMp4File } from '../../src/media/mp4-measure.js';
import { writeMp4 } from '../support/mp4-writer.js';
import { pipelineOf, testPicture } from '../support/pictures.js';
import { ROOT } from '../support/root.js';
import { bmp, gif, jpeg, jpegSegment, png, pngChunk, turned, webpExtended } from '../unit/image-samples.js';
import { Random } from './random.js';

/** Processor time for one file, in milliseconds. The machine may be busy, so the time that passes says nothing. */
const CPU_MS_MAX = 1000;
/** Growth of this process over all files. */
const GROWTH_MAX = 256 * 1024 * 1024;
/** A trimmed and an untrimmed length that a tolerance may hide behind one another. */
const SECONDS_TOLERANCE = 0.25;

/** Seconds of a run: a few in `npm test`, `FUZZ_SECONDS` or two minutes in `npm run test:full`. */
export const fuzzSeconds = (usual: number): number => Number(process.env['FUZZ_SECONDS'] ?? usual);

interface Seed {
  readonly name: string;
  readonly bytes: Buffer;
  /** Whether a cut between two boxes leaves a shorter file that is whole. */
  readonly hasParts?: boolean;
}

const reordered = Array.from({ length: 60 }, (_, index) => [512, 1024, 0][index % 3] ?? 0);

async function mp4Seeds(): Promise<readonly Seed[]> {
  const clip = await makeClip({ width: 64, height: 64, durationSeconds: 1, audio: true, seed: 7, label: 'FUZZ' });
  return [
    { name: 'clip', bytes: Buffer.from(clip) },
    { name: 'first', bytes: writeMp4() },
    { name: 'last', bytes: writeMp4({ layout: 'last', sound: 87 }) },
    {
      name: 'open',
      bytes: writeMp4({ layout: 'open', shifts: reordered, edits: [{ duration: 2000, mediaTime: 512 }] }),
    },
    { name: 'large', bytes: writeMp4({ layout: 'large' }) },
    { name: 'one size', bytes: writeMp4({ frameBytes: 48, sound: 200 }) },
    { name: 'trimmed', bytes: writeMp4({ edits: [{ duration: 1300, mediaTime: 10_752 }] }) },
    { name: 'fragments', bytes: writeMp4({ layout: 'fragments', shifts: reordered, shiftVersion: 1 }), hasParts: true },
    { name: 'segments', bytes: writeMp4({ layout: 'fragments', segmentIndex: true }) },
    { name: 'partial', bytes: writeMp4({ layout: 'partial' }), hasParts: true },
    { name: 'hevc', bytes: writeMp4({ codec: 'hvc1' }) },
  ];
}

const COUNTS = [0, 1, 2, 7, 0x7f, 0x80, 0xff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 1e8];

/** How a file was damaged: in one bit, in more, or by its length. */
type Damage = 'bit' | 'more' | 'cut';

/** Damages a copy. Most damage is done in the first part, where indexes and headers are. */
function damage(random: Random, bytes: Buffer, others: readonly Seed[]): { bytes: Buffer; kind: Damage; at: number } {
  const place = (width: number) =>
    Math.min(bytes.length - width, Math.floor(random.next() ** (random.chance(0.8) ? 2 : 1) * bytes.length));
  const copy = Buffer.from(bytes);
  const flip = () => {
    const at = place(1);
    copy[at] = (copy[at] ?? 0) ^ (1 << random.between(0, 7));
  };
  switch (random.pick(['bit', 'bits', 'count', 'count', 'cut', 'cut', 'insert', 'remove', 'splice'] as const)) {
    case 'bit':
      flip();
      return { bytes: copy, kind: 'bit', at: 0 };
    case 'bits':
      for (let left = random.between(2, 12); left > 0; left--) flip();
      return { bytes: copy, kind: 'more', at: 0 };
    case 'count':
      for (let left = random.between(1, 3); left > 0; left--) {
        copy.writeUInt32BE(random.pick(COUNTS), Math.floor(place(8) / 4) * 4);
      }
      return { bytes: copy, kind: 'more', at: 0 };
    case 'cut': {
      const at = random.between(1, bytes.length - 1);
      return { bytes: copy.subarray(0, at), kind: 'cut', at };
    }
    case 'insert': {
      const at = place(1);
      const more = Buffer.alloc(random.between(1, 64), random.between(0, 255));
      return { bytes: Buffer.concat([copy.subarray(0, at), more, copy.subarray(at)]), kind: 'more', at };
    }
    case 'remove': {
      const at = place(1);
      return {
        bytes: Buffer.concat([copy.subarray(0, at), copy.subarray(at + random.between(1, 64))]),
        kind: 'more',
        at,
      };
    }
    case 'splice': {
      const other = random.pick(others).bytes;
      const at = place(1);
      return {
        bytes: Buffer.concat([copy.subarray(0, at), other.subarray(random.between(0, other.length))]),
        kind: 'more',
        at,
      };
    }
  }
}

/** Figures of a run. */
interface FuzzFigures {
  files: number;
  accepted: number;
  kept: number;
  refused: number;
  slowestMs: number;
  grownBytes: number;
}

interface FuzzRun {
  readonly seconds: number;
  readonly seed: number;
}

/** Calls `one` with a random source until the time is over, and watches processor time and memory. */
async function repeat({ seconds, seed }: FuzzRun, one: (random: Random, figures: FuzzFigures) => Promise<void>) {
  const figures = { files: 0, accepted: 0, kept: 0, refused: 0, slowestMs: 0, grownBytes: 0 };
  const endsAt = performance.now() + seconds * 1000;
  const before = process.resourceUsage().maxRSS;
  for (; performance.now() < endsAt; figures.files += 1) {
    const at = seed + figures.files;
    const cpu = process.cpuUsage();
    try {
      await one(new Random(at), figures);
    } catch (cause) {
      throw new Error(`seed ${at}: ${(cause as Error).message}`, { cause });
    }
    const { user, system } = process.cpuUsage(cpu);
    figures.slowestMs = Math.max(figures.slowestMs, (user + system) / 1000);
    expect(figures.slowestMs, `seed ${at}: processor time in ms`).toBeLessThan(CPU_MS_MAX);
  }
  figures.grownBytes = (process.resourceUsage().maxRSS - before) * 1024;
  expect(figures.grownBytes).toBeLessThan(GROWTH_MAX);
  return figures;
}

/**
 * Measures damaged MP4 files: each ends within its bounds, as a typed fault or with plausible figures, and none that is
 * cut is verified.
 */
export async function fuzzMp4(run: FuzzRun): Promise<FuzzFigures> {
  const seeds = await mp4Seeds();
  const folder = await mkdtemp(join(tmpdir(), 'mp4-fuzz-'));
  const file = join(folder, 'video.mp4');
  const measure = async (bytes: Buffer) => {
    await writeFile(file, bytes);
    return measureMp4File(file);
  };
  try {
    const originals = new Map<Seed, InspectedMp4>();
    for (const seed of seeds) originals.set(seed, await measure(seed.bytes));
    return await repeat(run, async (random, figures) => {
      const seed = random.pick(seeds);
      const { bytes, kind, at } = damage(random, seed.bytes, seeds);
      const inspected = await measure(bytes).catch((error: unknown) => {
        if (!(error instanceof Mp4Fault)) throw error;
        figures.refused += 1;
      });
      if (inspected === undefined) return;
      const { measured, fault } = inspected;
      for (const value of [measured.durationSeconds, measured.fps, measured.frames, measured.width, measured.height]) {
        expect(Number.isFinite(value) && value > 0, `${seed.name}: ${JSON.stringify(measured)}`).toBe(true);
      }
      if (fault !== undefined) {
        figures.kept += 1;
        return;
      }
      figures.accepted += 1;
      expect(measured.durationSeconds).toBeLessThanOrEqual(600);
      const original = originals.get(seed)?.measured;
      if (kind === 'cut') {
        expect(seed.hasParts === true && isBetweenParts(seed.bytes, at), `${seed.name} cut to ${at} is verified`).toBe(
          true,
        );
      } else if (kind === 'bit' && seed.hasParts !== true && seed.name !== 'segments') {
        const change = Math.abs(measured.durationSeconds - (original?.durationSeconds ?? 0));
        expect(change, `${seed.name}: change of the length`).toBeLessThanOrEqual(SECONDS_TOLERANCE);
        expect(measured.frames, `${seed.name}: frames`).toBe(original?.frames);
      }
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

function isBetweenParts(bytes: Buffer, at: number): boolean {
  let start = 0;
  while (start < at) start += bytes.readUInt32BE(start);
  return start === at;
}

/** Pictures in every format that is read, and in the variants that are read differently. */
async function imageSeeds(): Promise<readonly Seed[]> {
  const picture = pipelineOf(testPicture());
  return [
    { name: 'sample', bytes: await readFile(join(ROOT, 'assets', 'sample.jpg')) },
    { name: 'jpeg', bytes: await picture.clone().jpeg().withMetadata({ orientation: 6 }).toBuffer() },
    { name: 'progressive', bytes: await picture.clone().jpeg({ progressive: true }).toBuffer() },
    { name: 'png', bytes: await picture.clone().png().toBuffer() },
    { name: 'alpha', bytes: await picture.clone().ensureAlpha(0.5).png({ progressive: true }).toBuffer() },
    { name: 'bmp', bytes: bmp({ width: 240, height: 240, bits: 8 }) },
    { name: 'webp', bytes: await picture.clone().webp().toBuffer() },
    { name: 'lossless', bytes: await picture.clone().ensureAlpha(0.5).webp({ lossless: true }).toBuffer() },
    { name: 'tiff', bytes: await picture.clone().tiff({ compression: 'lzw' }).toBuffer() },
    { name: 'gif', bytes: await picture.clone().gif().toBuffer() },
    { name: 'avif', bytes: await picture.clone().avif({ effort: 0 }).toBuffer() },
  ];
}

/**
 * Reads the kind and the structure of damaged images: what is read ends, is within the file, and a picture without its
 * metadata has none left.
 */
export async function fuzzImageHeaders(run: FuzzRun): Promise<FuzzFigures> {
  const small = [
    png({ extra: [pngChunk('tEXt', Buffer.from('Place\0here'))] }),
    bmp({ bits: 32 }),
    webpExtended(),
    gif(),
  ];
  const exif = [turned(jpeg(), 6), jpeg({ orientation: 3, order: 'le', extra: [jpegSegment(0xed, Buffer.alloc(40))] })];
  const names = [...small, ...exif].map((bytes, n) => ({ name: `made ${n}`, bytes }));
  const seeds = [...(await imageSeeds()).filter(({ bytes }) => bytes.length < 100_000), ...names];
  return repeat(run, async (random, figures) => {
    const { bytes } = damage(random, random.pick(seeds).bytes, seeds);
    const { format, name } = kindOfImage(bytes);
    expect(name).toMatch(/^an? /);
    if (format === undefined) {
      figures.refused += 1;
      return;
    }
    figures.accepted += 1;
    if (format === 'bmp') {
      const { width, height, channels, pixels } = await readPixels(bytes, figures);
      expect(pixels.length).toBe(width * height * channels);
      expect(pixels.length).toBeLessThanOrEqual(24 * bytes.length);
    }
    const layout = layoutOf(bytes, format);
    if (layout === undefined) return;
    expect(layout.parts.reduce((sum, part) => sum + part.bytes.length, 0)).toBeLessThanOrEqual(bytes.length);
    const stripped = stripImage(layout, format);
    expect(layoutOf(stripped, format)).toMatchObject({ isPersonal: false });
    figures.kept += 1;
  });
}

/** The pixels of a BMP; none of one that is refused. */
async function readPixels(bytes: Buffer, figures: FuzzFigures): Promise<BmpPixels> {
  try {
    return readBmp(bytes, 8_000);
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    figures.refused += 1;
    return { width: 0, height: 0, channels: 3, pixels: Buffer.alloc(0) };
  }
}

/**
 * Decodes damaged images in the process for it: each is accepted with plausible sides or refused by its type, none ends
 * the process, and no cut one is taken.
 */
export async function fuzzImages(run: FuzzRun): Promise<FuzzFigures> {
  const seeds = await imageSeeds();
  const folder = await mkdtemp(join(tmpdir(), 'image-fuzz-'));
  const [file, output] = [join(folder, 'image'), join(folder, 'fitted')];
  const fitter = new ImageFitter();
  try {
    return await repeat(run, async (random, figures) => {
      const seed = random.pick(seeds);
      const { bytes, kind } = damage(random, seed.bytes, seeds);
      await writeFile(file, bytes);
      try {
        const { width, height } = await fitter.fit({ file, output });
        expect(Math.min(width, height)).toBeGreaterThanOrEqual(240);
        expect(Math.max(width, height)).toBeLessThanOrEqual(8000);
        expect(kind, `${seed.name} cut to ${bytes.length} is taken`).not.toBe('cut');
        figures.accepted += 1;
      } catch (error) {
        if (!(error instanceof VideoError)) throw error;
        expect(error.type).toBe('ReferenceRejected');
        expect(error.message).not.toContain('ends the process');
        figures.refused += 1;
      }
    });
  } finally {
    fitter.close();
    await rm(folder, { recursive: true, force: true });
  }
}
