import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { findPart, PARTS_FOLDER, partIsMissing } from '../structure/parts.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
import { findPython, PYTHON_PART } from '../support/python.js';
import { ROOT } from '../support/root.js';

// Many of these pictures are small: what is compared is the decoder.
vi.mock('../../src/media/image.js', async (original) => ({ ...(await original<object>()), IMAGE_SIDE_MIN: 1 }));
const { fitImage, ImageFaults } = await import('../../src/media/fit-image.js');

/** A file, and what Pillow sees in it: upright, on white, in sRGB; or why it does not read it. */
interface CorpusPicture {
  readonly file: string;
  readonly bytes: number;
  readonly mode?: string;
  readonly orientation?: number;
  readonly size?: readonly [number, number];
  readonly seen?: string;
  readonly error?: string;
}

/** What became of a picture. */
interface Fitted {
  readonly picture: CorpusPicture;
  readonly faults?: string;
  readonly codes: readonly string[];
  readonly sent: { readonly width: number; readonly height: number; readonly data: Buffer } | undefined;
  readonly metadata?: unknown;
}

const corpus = findPart('pictures', join(PARTS_FOLDER, 'pictures'));
if (corpus === undefined)
  partIsMissing('pictures of phones and cameras', 'scripts/parts/full/pictures.sh fetches them');
const python = await findPython('PIL');
if (python === undefined) console.warn(`The corpus of pictures is skipped: ${PYTHON_PART}`);
const ffmpeg = hasFfmpeg('the corpus of pictures');
const isThere = corpus !== undefined && python !== undefined && ffmpeg;
const folder = mkdtempSync(join(tmpdir(), 'corpus-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Mean difference of two decoders' samples; those of JPEG round differently. Inks become colours in several ways. */
const WITHIN = 3;
const INKS_WITHIN = 40;

/** Pictures that Pillow reads and that are refused, and why that is right. */
const REFUSED: readonly RegExp[] = [
  /_(10ct_32bit_128|12bit\.cropped|16bit\.s|8bit\.s|16_bit_binary_pgm|separate_planar_extra_samples)\.tiff?$/, // measurements
  /_(hopper\.Lab|lab|lab-green|lab-red|hopper_lzma)\.tif$/, // no decoder at hand
  /_(old-style-jpeg-compression\S*|tiff_tiled_planar_\S*)\.tiff?$/, // the same
  /_clipboard\.dib$/, // a BMP without its beginning
  /_hopper_bad_exif\.jpg$/, // a segment of a wrong length, whose rest is in the picture
  /_test_extents_transparency\.gif$/, // a frame outside the picture
];
/** Pictures in which another picture is seen, and why that is right. */
const OTHERWISE: readonly RegExp[] = [
  // XMP and ImageMagick's texts name an orientation there, which browsers ignore as well.
  /_(xmp_tags_orientation\S*|exif_imagemagick_orientation)\.(png|avif)$/,
  /_i_trns\.png$/, // Pillow drops the transparency of 16 grey bits
  /_tiff_tiled_jpeg_oob_read\.tif$/, // damaged on purpose; each decoder makes up something
  /_mmap_error\.bmp$|_bmp_b_bad\S*\.bmp$/, // the same: a picture inside its palette, a size of nothing
  /_show_hopper\.webp$/, // Pillow puts the first frame on the colour of the animation's canvas
];

/** Files of one suite that only we read, and those that show the same picture. */
const SAME_AS: Readonly<Record<string, string>> = {
  g_rgb32bf: 'g_rgb32',
  'q_pal8os2v2-16': 'g_pal8',
  q_pal8oversizepal: 'g_pal8',
  'q_rgb16-231': 'g_rgb24',
  'q_rgb32-111110': 'g_rgb24',
  'q_rgba16-4444': 'q_rgba32',
  q_rgba32abf: 'q_rgba32',
  q_pal2: 'q_pal2',
};
/** One to three bits of a colour are less than eight. */
const COARSE_WITHIN = 45;

const isOneOf = (names: readonly RegExp[], { file }: CorpusPicture): boolean => names.some((name) => name.test(file));
const samplesOf = (file: Buffer) =>
  sharp(file, { failOn: 'none' }).toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true });

function differenceOf(one: Buffer, other: Buffer): number {
  if (one.length !== other.length) return 255;
  let sum = 0;
  for (let at = 0; at < one.length; at++) sum += Math.abs((one[at] ?? 0) - (other[at] ?? 0));
  return sum / one.length;
}

/** What ffmpeg sees in a BMP, on white: where Pillow differs from it, it is a second opinion. */
function differenceToFfmpeg(file: string, ours: Buffer): number {
  try {
    const args = ['-v', 'error', '-i', file, '-frames:v', '1', '-f', 'rawvideo', '-pix_fmt', 'rgba', 'pipe:1'];
    const rgba = execFileSync('ffmpeg', args, { maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] });
    const flat = Buffer.alloc((rgba.length / 4) * 3);
    for (let from = 0, to = 0; from < rgba.length; from += 4) {
      const alpha = (rgba[from + 3] ?? 255) / 255;
      for (let part = 0; part < 3; part++)
        flat[to++] = Math.round((rgba[from + part] ?? 0) * alpha + 255 * (1 - alpha));
    }
    return differenceOf(ours, flat);
  } catch {
    return 255;
  }
}

describe.skipIf(!isThere)('pictures of phones, cameras and other libraries’ tests', () => {
  let fitted: readonly Fitted[] = [];
  const withSeen = (): readonly Fitted[] => fitted.filter(({ picture }) => picture.seen !== undefined);

  test('each of them is decoded, by Pillow and by us', { timeout: COMPILE_TIMEOUT_MS * 4 }, async () => {
    const script = join(ROOT, 'test', 'conformance', 'corpus.py');
    const pictures = JSON.parse(
      execFileSync(python ?? '', [script, corpus ?? '', folder], {
        encoding: 'utf8',
        maxBuffer: 1 << 26,
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );
    const results: Fitted[] = [];
    for (const picture of pictures as CorpusPicture[]) results.push(await tryPicture(picture));
    fitted = results;
    expect(withSeen().length).toBeGreaterThan(900);
  });

  async function tryPicture(picture: CorpusPicture): Promise<Fitted> {
    const file = join(corpus ?? '', picture.file);
    const output = join(folder, 'sent');
    rmSync(output, { force: true });
    const image = await fitImage({ file, output }).catch((error: unknown) => {
      // Anything else would be called the process's own fault.
      if (!(error instanceof ImageFaults)) throw new Error(`${picture.file}: ${String(error)}`);
      return error.message;
    });
    if (typeof image === 'string') return { picture, faults: image, codes: [], sent: undefined };
    const codes = image.changes.map(({ code }) => code.replace('reference_', ''));
    const bytes = readFileSync(existsSync(output) ? output : file);
    const { format, depth, hasAlpha, exif, pages = 1, orientation } = await sharp(bytes, { failOn: 'none' }).metadata();
    const { data, info } = await samplesOf(bytes);
    const { width, height } = info;
    const metadata = { format, depth, hasAlpha, exif: exif !== undefined, pages, orientation };
    return { picture, codes, sent: { width, height, data }, metadata };
  }

  test('what Pillow reads is accepted, or is refused by its kind or its size', () => {
    const refused = withSeen().filter(({ faults }) => faults !== undefined);
    const wrong = refused.filter(
      ({ picture, faults = '' }) =>
        !/^has a (width|height) of|larger than 20 MB/.test(faults) && !isOneOf(REFUSED, picture),
    );
    expect(wrong.map(({ picture, faults }) => `${picture.file}: ${faults}`)).toEqual([]);
  });

  test('what Pillow finds damaged is refused, and HEIC is; what only we read is a rare BMP, TIFF or PNG', () => {
    const accepted = fitted.filter(({ picture, sent }) => picture.error !== undefined && sent !== undefined);
    const wrong = accepted.filter(
      ({ picture: { file, error = '' } }) =>
        !/bitfields layout|BMP (compression|pixel depth|header type)|palette size/i.test(error) &&
        !/_(apng_chunk_no_fctl|png_decompression_dos|unknown_compression_method)\.png$/.test(file) &&
        !/_hopper_(webp|unknown_pixel_mode)\.tif$/.test(file),
    );
    expect(wrong.map(({ picture }) => `${picture.file}: ${picture.error}`)).toEqual([]);
    const heic = fitted.filter(({ picture, faults = '' }) => /\.heic$/.test(picture.file) && /HEIC/.test(faults));
    expect(heic.length).toBeGreaterThan(15);
    for (const { faults } of heic) expect(faults).toMatch(/Most Compatible.*sips.*heif-convert/);
  });

  test('what is sent is upright, opaque, 8-bit sRGB without metadata, as Pillow or ffmpeg sees it', async () => {
    const wrong: string[] = [];
    for (const { picture, sent, metadata } of fitted) {
      if (sent === undefined) continue;
      const { file, seen, size = [sent.width, sent.height], mode = '' } = picture;
      const shape = { depth: 'uchar', hasAlpha: false, exif: false, pages: 1, orientation: undefined };
      expect(metadata, file).toMatchObject({ ...shape, format: expect.stringMatching(/^(jpeg|png|webp)$/) });
      if (isOneOf(OTHERWISE, picture)) continue;
      const within = mode === 'CMYK' ? INKS_WITHIN : WITHIN;
      const toPillow = seen === undefined ? 255 : differenceOf(sent.data, (await samplesOf(readFileSync(seen))).data);
      const isSame = [sent.width, sent.height].join() === size.join() && toPillow < within;
      if (isSame || (seen === undefined && !/\.bmp$/.test(file))) continue;
      const toFfmpeg = /\.bmp$/.test(file) ? differenceToFfmpeg(join(corpus ?? '', file), sent.data) : 255;
      const [, name = ''] = /_bmp_(\S+)\.bmp$/.exec(file) ?? [];
      const twin = fitted.find((one) => one.picture.file.endsWith(`_bmp_${SAME_AS[name]}.bmp`));
      if (twin?.sent !== undefined && differenceOf(sent.data, twin.sent.data) < COARSE_WITHIN) continue;
      if (toFfmpeg >= within) wrong.push(`${file}: ${toPillow.toFixed(1)} to Pillow, ${toFfmpeg.toFixed(1)} to ffmpeg`);
    }
    expect(wrong).toEqual([]);
  });

  test.each([
    ['an iPhone’s portrait', /IMG_0001\.JPG$/, ['rotated', 'stripped']],
    ['a Xiaomi’s photo', /_short-ascii-II\.jpg$/, ['stripped']],
    ['a Lumia’s photo', /_starfish\.jpg$/, ['stripped']],
    ['an iPhone’s MPO in Display P3', /images_frame_size\.mpo$/, ['converted', 'stripped']],
    ['a camera’s MPO of 24 megapixels', /_sony-alpha-6000\.jpg$/, ['stripped']],
    ['a camera’s CMYK that lies', /cmyk-orientation-exif\.jpg$/, ['rotated', 'converted', 'stripped']],
  ])('%s: only what is needed is done to it', (_what, name, codes) => {
    const found = fitted.filter(({ picture }) => name.test(picture.file));
    expect(found.length).toBeGreaterThan(0);
    for (const one of found) expect(one.codes).toEqual(codes);
  });

  test('a Pixel’s Ultra HDR is sent without place, owner and gain map', async () => {
    // The published file has all of its headers and the beginning of its picture, so another picture goes in.
    const name = fitted.find(({ picture }) => /_ultrahdr\.jpg$/.test(picture.file));
    expect(name?.faults).toMatch(/cut off/);
    const phone = readFileSync(join(corpus ?? '', name?.picture.file ?? ''));
    let end = 2;
    while (phone[end + 1] !== 0xdb) end += 2 + phone.readUInt16BE(end + 2);
    const headers = phone.subarray(2, end);
    const scene = await sharp(join(ROOT, 'assets', 'sample.jpg'))
      .jpeg({ quality: 95 })
      .toBuffer();
    const gainMap = await sharp(join(ROOT, 'assets', 'sample.jpg'))
      .greyscale()
      .resize(320)
      .jpeg()
      .toBuffer();
    const file = join(folder, 'ultra-hdr.jpg');
    writeFileSync(file, Buffer.concat([scene.subarray(0, 2), headers, scene.subarray(2), gainMap]));
    const output = `${file}.sent`;
    const { changes } = await fitImage({ file, output });
    expect(changes.map(({ code }) => code)).toContain('reference_stripped');
    const sent = readFileSync(output);
    for (const word of ['Exif', 'hdrgm', 'Pixel 6', 'MPF\0']) {
      expect(phone.includes(word), word).toBe(true);
      expect(sent.includes(word), word).toBe(false);
    }
    expect(sent.lastIndexOf(Buffer.from([0xff, 0xd8, 0xff]))).toBe(0);
    const [ours, seen] = await Promise.all([samplesOf(sent), samplesOf(scene)]);
    expect(differenceOf(ours.data, seen.data)).toBeLessThan(12);
  });

  test('every EXIF orientation occurs', () => {
    const orientations = withSeen().map(({ picture }) => picture.orientation);
    expect(new Set(orientations)).toEqual(expect.objectContaining(new Set([1, 2, 3, 4, 5, 6, 7, 8])));
    const turned = withSeen().filter(({ picture, sent }) => (picture.orientation ?? 1) > 1 && sent !== undefined);
    // An AVIF is turned by its container, so that every decoder shows it upright.
    const missed = turned.filter(
      ({ picture, codes }) =>
        !codes.includes('rotated') && !/\.avif$/.test(picture.file) && !isOneOf(OTHERWISE, picture),
    );
    expect(missed.map(({ picture }) => picture.file)).toEqual([]);
  });
});
