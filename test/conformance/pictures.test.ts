import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, test } from 'vitest';
import { imageSizeOf } from '../../src/emulator/image.js';
import { fitImage, ImageFaults } from '../../src/media/fit-image.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
import { findPython, PYTHON_PART } from '../support/python.js';
import { ROOT } from '../support/root.js';

/** A picture of another maker, and what Pillow sees in it. */
interface MadePicture {
  readonly what: string;
  readonly file: string;
  /** Upright. */
  readonly size: readonly [number, number];
  /** What has to be done to it; null: nothing is claimed. */
  readonly changes: readonly string[] | null;
}

const python = await findPython('PIL');
if (python === undefined) console.warn(`The pictures of other makers are skipped: ${PYTHON_PART}`);
const folder = mkdtempSync(join(tmpdir(), 'pictures-'));
afterAll(() => rmSync(folder, { recursive: true }));

function makePictures(): readonly MadePicture[] {
  if (python === undefined) return [];
  const ffmpeg = hasFfmpeg('the pictures of ffmpeg') ? ['ffmpeg'] : [];
  const script = join(ROOT, 'test', 'conformance', 'pictures.py');
  return JSON.parse(execFileSync(python, [script, folder, ...ffmpeg], { encoding: 'utf8' })) as MadePicture[];
}

/** Formats in which an image may be sent. */
const SENT = ['jpeg', 'png', 'webp'];
/** Mean difference of two decoders' samples; those of JPEG round differently. */
const WITHIN = 3;
/** The same of CMYK without a profile: one takes a printer's inks, the other pure colours; inverted it is above 100. */
const CMYK_WITHIN = 40;

describe.skipIf(python === undefined)('a picture of another maker is sent upright, opaque, in 8-bit sRGB:', () => {
  test.each(makePictures())('$what', async ({ file, size, changes }) => {
    const output = join(folder, `${file}.sent`);
    const image = await fitImage({ file: join(folder, file), output }).catch((error: unknown) => {
      if (!(error instanceof ImageFaults)) throw error;
      return error.faults;
    });
    // BMP is read by a small reader of our own, which names what it does not read.
    if ('length' in image) return expect(image.join(), 'Pillow reads it').toMatch(/BMP/);
    if (changes !== null) {
      const codes = image.changes.map(({ code }) => code.replace('reference_', ''));
      expect(codes).toEqual(expect.arrayContaining([...changes]));
      if (changes.length === 0) expect(codes).toEqual([]);
    }
    const sent = readFileSync(image.fitted === undefined ? join(folder, file) : output);
    const { format, depth, hasAlpha, exif, pages = 1, orientation } = await sharp(sent).metadata();
    expect(SENT).toContain(format);
    expect({ depth, hasAlpha, exif, pages, orientation }).toEqual({
      depth: 'uchar',
      hasAlpha: false,
      exif: undefined,
      pages: 1,
      orientation: undefined,
    });
    const [ours, seen] = await Promise.all([pixelsOf(sent), pixelsOf(readFileSync(join(folder, `${file}.seen.png`)))]);
    expect([ours.info.width, ours.info.height]).toEqual(size);
    const total = ours.data.reduce((sum, value, at) => sum + Math.abs(value - (seen.data[at] ?? 0)), 0);
    expect(total / ours.data.length).toBeLessThan(/cmyk/.test(file) ? CMYK_WITHIN : WITHIN);
    // The emulator sees the file as it came in the same shape.
    const [width = 0, height = 0] = size;
    if (/\.(jpg|png|webp|bmp)$/.test(file)) {
      expect(await imageSizeOf(readFileSync(join(folder, file)))).toMatchObject({ width, height });
    }
  });
});

const pixelsOf = (bytes: Buffer) =>
  sharp(bytes).toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true });
