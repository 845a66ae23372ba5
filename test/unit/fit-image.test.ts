import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FitJob, fitImage, ImageFaults } from '../../src/media/fit-image.js';
import type { ExaminedImage } from '../../src/media/image.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
import {
  decodeWithFfmpeg,
  differenceOf,
  type Picture,
  pipelineOf,
  storedWith,
  testPicture,
} from '../support/pictures.js';
import { ROOT } from '../support/root.js';
import { bmp, jpegSegment, pngChunk } from './image-samples.js';

const canDecode = hasFfmpeg('references');
const picture = testPicture();
const pipeline = () => pipelineOf(picture);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fit-image-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Fitted {
  readonly image: ExaminedImage;
  /** What is sent. */
  readonly sent: Buffer;
}

async function fitted(bytes: Uint8Array, options: Partial<FitJob> = {}): Promise<Fitted> {
  const file = join(folder, crypto.randomUUID());
  const output = `${file}.fit`;
  await writeFile(file, bytes);
  const image = await fitImage({ file, output, ...options });
  return { image, sent: image.fitted === undefined ? Buffer.from(bytes) : await readFile(output) };
}

const codesOf = ({ image }: Fitted): string[] => image.changes.map(({ code }) => code.replace('reference_', ''));

async function faultsOf(bytes: Uint8Array, options: Partial<FitJob> = {}): Promise<readonly string[]> {
  const error = await fitted(bytes, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ImageFaults);
  return (error as ImageFaults).faults;
}

/** Compares what is sent with a picture, by another decoder. */
async function expectPicture(result: Fitted, expected: Picture, within: number) {
  const { image, sent } = result;
  const { fitted: own = image } = image;
  expect([own.width, own.height]).toEqual([expected.width, expected.height]);
  expect([image.width, image.height]).toEqual([expected.width, expected.height]);
  const { hasAlpha, depth, space, orientation, icc, exif, xmp } = await sharp(sent).metadata();
  expect({ hasAlpha, depth, space, orientation }).toEqual({
    hasAlpha: false,
    depth: 'uchar',
    space: expect.stringMatching(/^(srgb|b-w)$/),
    orientation: undefined,
  });
  expect([exif, xmp]).toEqual([undefined, undefined]);
  // An image that is only stripped keeps its own profile of sRGB.
  if (result.image.changes.some(({ code }) => code === 'reference_converted')) expect(icc).toBeUndefined();
  if (canDecode) expect(differenceOf(decodeWithFfmpeg(sent, expected), expected)).toBeLessThan(within);
}

const withAlpha = () => pipeline().ensureAlpha(0.5);
const frames = async (format: 'gif' | 'webp') => {
  const [first, second] = [await pipeline().png().toBuffer(), await pipeline().negate().png().toBuffer()];
  return sharp([first, second], { join: { animated: true } })
    [format]()
    .toBuffer();
};
/** A PNG that moves: decoders that know nothing of it show its own picture. */
const apng = async () => {
  const file = await pipeline().png().toBuffer();
  const control = pngChunk('acTL', Buffer.from([0, 0, 0, 2, 0, 0, 0, 0]));
  return Buffer.concat([file.subarray(0, 33), control, file.subarray(33)]);
};

describe('a picture that is fit is sent byte for byte', () => {
  test.each<[string, () => Promise<Buffer>]>([
    ['the sample of the repository', () => readFile(join(ROOT, 'assets', 'sample.jpg'))],
    ['a JPEG', () => pipeline().jpeg().toBuffer()],
    ['a progressive JPEG', () => pipeline().jpeg({ progressive: true }).toBuffer()],
    ['a grey JPEG', () => pipeline().greyscale().jpeg().toBuffer()],
    ['a JPEG with the profile of sRGB', () => pipeline().jpeg().withIccProfile('srgb').toBuffer()],
    [
      'a JPEG with bytes behind its end',
      async () => Buffer.concat([await pipeline().jpeg().toBuffer(), Buffer.alloc(300)]),
    ],
    ['a PNG', () => pipeline().png().toBuffer()],
    ['an interlaced PNG', () => pipeline().png({ progressive: true }).toBuffer()],
    ['a palette PNG', () => pipeline().png({ palette: true }).toBuffer()],
    ['a grey PNG', () => pipeline().greyscale().toColourspace('b-w').png().toBuffer()],
    ['a WEBP', () => pipeline().webp().toBuffer()],
    ['a WEBP without losses', () => pipeline().webp({ lossless: true }).toBuffer()],
  ])('%s', async (_, make) => {
    const bytes = await make();
    const { image, sent } = await fitted(bytes);
    expect(image).toMatchObject({ changes: [], bytes: bytes.length });
    expect(image.fitted).toBeUndefined();
    expect(sent.equals(bytes)).toBe(true);
  });
});

describe('a picture that is stored lying is sent upright', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('EXIF orientation %i', async (orientation) => {
    for (const format of ['jpeg', 'png', 'webp'] as const) {
      const stored = pipelineOf(storedWith(orientation, picture)).withMetadata({ orientation });
      const result = await fitted(await stored[format]({ quality: 95 }).toBuffer());
      expect(codesOf(result)).toEqual(orientation === 1 ? ['stripped'] : ['rotated', 'stripped']);
      await expectPicture(result, picture, 4);
    }
  });
});

describe('what is not opaque 8-bit sRGB is converted', () => {
  const over = (background: readonly number[]): Picture => ({
    ...picture,
    data: picture.data.map((value, at) => (value * 0.5 + (background[at % 3] ?? 0) * 0.5) as number) as Buffer,
  });

  test.each<[string, () => Promise<Buffer>, readonly string[], number]>([
    ['a PNG with 16 bits', () => pipeline().toColourspace('rgb16').png().toBuffer(), ['converted'], 1],
    ['a CMYK JPEG', () => pipeline().toColourspace('cmyk').jpeg({ quality: 95 }).toBuffer(), ['converted'], 40],
    ['a JPEG in Display P3', () => pipeline().withIccProfile('p3').jpeg({ quality: 95 }).toBuffer(), ['converted'], 4],
    ['a TIFF', () => pipeline().tiff({ compression: 'lzw' }).toBuffer(), ['converted'], 1],
    ['a TIFF with 16 bits', () => pipeline().toColourspace('rgb16').tiff().toBuffer(), ['converted'], 1],
    ['a CMYK TIFF', () => pipeline().toColourspace('cmyk').tiff().toBuffer(), ['converted'], 40],
    ['a GIF', () => pipeline().gif().toBuffer(), ['converted'], 12],
    // Its frames are stored as differences, with transparent parts.
    ['a GIF that moves', () => frames('gif'), ['flattened', 'converted'], 12],
    ['a WEBP that moves', () => frames('webp'), ['converted'], 4],
    ['a PNG that moves', apng, ['converted'], 1],
    ['an AVIF', () => pipeline().avif({ quality: 80, effort: 0 }).toBuffer(), ['converted'], 6],
  ])('%s', async (_, make, codes, within) => {
    const result = await fitted(await make());
    expect(codesOf(result)).toEqual(codes);
    await expectPicture(result, picture, within);
  });

  test.each<[string, () => Promise<Buffer>]>([
    ['a PNG with an alpha channel', () => withAlpha().png().toBuffer()],
    ['a WEBP with an alpha channel', () => withAlpha().webp({ lossless: true }).toBuffer()],
    ['a TIFF with an alpha channel', () => withAlpha().tiff({ compression: 'none' }).toBuffer()],
    ['a PNG with 16 bits and an alpha channel', () => withAlpha().toColourspace('rgb16').png().toBuffer()],
  ])('%s is put on white, or on the colour of the request', async (_, make) => {
    const bytes = await make();
    const white = await fitted(bytes);
    expect(codesOf(white)).toContain('flattened');
    await expectPicture(white, over([255, 255, 255]), 2);
    await expectPicture(await fitted(bytes, { background: '#204060' }), over([0x20, 0x40, 0x60]), 2);
  });

  test('a transparent colour of a palette, or of a PNG without alpha channel, is seen', async () => {
    const palette = await withAlpha().png({ palette: true }).toBuffer();
    expect(codesOf(await fitted(palette))).toEqual(['flattened']);
    const file = await pipeline().png().toBuffer();
    const key = pngChunk('tRNS', Buffer.from([0, 0, 0, 0, 0, 40]));
    expect(codesOf(await fitted(Buffer.concat([file.subarray(0, 33), key, file.subarray(33)])))).toEqual(['flattened']);
  });

  test.each([
    ['24 bits', 'bgr24'],
    ['32 bits', 'bgra'],
    ['16 bits, 5-6-5', 'rgb565le'],
    ['16 bits, 5-5-5', 'rgb555le'],
    ['a grey palette', 'gray'],
    ['two colours', 'monob'],
  ])('a BMP with %s is what ffmpeg decodes', async (_, format) => {
    if (!canDecode) return;
    const png = await pipeline().png().toBuffer();
    const args = ['-v', 'error', '-i', 'pipe:0', '-pix_fmt', format, '-c:v', 'bmp', '-f', 'image2pipe', 'pipe:1'];
    const file = execFileSync('ffmpeg', args, { input: png, maxBuffer: 1 << 28 });
    const result = await fitted(file);
    expect(codesOf(result)).toContain('converted');
    await expectPicture(result, decodeWithFfmpeg(file, picture), 4);
  });

  test('a BMP of OS/2, and one that is run-length encoded, is what ffmpeg decodes', async () => {
    if (!canDecode) return;
    const [width, height] = [250, 244];
    const header = (bits: number, method: number, data: Buffer, colours: number) => {
      const head = Buffer.alloc(54);
      head.write('BM', 'latin1');
      head.writeUInt32LE(54 + 4 * colours + data.length, 2);
      head.writeUInt32LE(54 + 4 * colours, 10);
      head.writeUInt32LE(40, 14);
      head.writeInt32LE(width, 18);
      head.writeInt32LE(height, 22);
      head.writeUInt16LE(1, 26);
      head.writeUInt16LE(bits, 28);
      head.writeUInt32LE(method, 30);
      head.writeUInt32LE(colours, 46);
      return Buffer.concat([head, palette(colours, 4), data]);
    };
    const palette = (colours: number, entry: number) =>
      Buffer.from(Array.from({ length: colours * entry }, (_, at) => (at % entry === 3 ? 0 : (at * 37) % 256)));
    // Runs, pixels as they are, a move, and an end of a row.
    const row8 = [200, 3, 0, 5, 1, 2, 3, 4, 5, 0, 0, 2, 20, 0, 25, 7, 0, 0];
    const rows8 = Buffer.from([...Array.from({ length: height }, () => row8).flat(), 0, 1]);
    const row4 = [200, 0x3a, 0, 5, 0x12, 0x34, 0x50, 0, 45, 0x07, 0, 0];
    const rows4 = Buffer.from([...Array.from({ length: height }, () => row4).flat(), 0, 1]);
    const core = Buffer.alloc(26);
    core.write('BM', 'latin1');
    core.writeUInt32LE(26 + 3 * 256 + 252 * height, 2);
    core.writeUInt32LE(26 + 3 * 256, 10);
    core.writeUInt32LE(12, 14);
    core.writeUInt16LE(width, 18);
    core.writeUInt16LE(height, 20);
    core.writeUInt16LE(1, 22);
    core.writeUInt16LE(8, 24);
    const plain = Buffer.from(Array.from({ length: 252 * height }, (_, at) => (at * 7) % 256));
    const files = [header(8, 1, rows8, 64), header(4, 2, rows4, 16), Buffer.concat([core, palette(256, 3), plain])];
    for (const file of files) {
      const result = await fitted(file);
      expect(codesOf(result)).toEqual(['converted']);
      await expectPicture(result, decodeWithFfmpeg(file, { width, height }), 1);
    }
    const [rle8 = Buffer.alloc(0)] = files;
    expect(await faultsOf(rle8.subarray(0, 2_000))).toEqual([expect.stringMatching(/is damaged or cut off/)]);
    expect(await faultsOf(header(24, 4, plain, 0))).toEqual([expect.stringMatching(/is of a kind that is not read/)]);
  });

  test('a BMP from the top down, with 8 bits and with masks of its own is read', async () => {
    for (const shape of [{ bits: 24, height: -260 }, { bits: 8 }, { bits: 32 }])
      expect(codesOf(await fitted(bmp(shape)))).toEqual(['converted']);
  });
});

describe('metadata is removed', () => {
  const exif = { IFD0: { Artist: 'Ann Owner', Copyright: 'Ann' }, IFD3: { GPSLatitude: '52/1 30/1 0/1' } };

  test.each(['jpeg', 'png', 'webp'] as const)('from a %s, whose picture stays bit for bit', async (format) => {
    const bytes = await pipeline()
      [format]({ quality: 90 })
      .withExif(exif)
      .withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/">Ann</x:xmpmeta>')
      .toBuffer();
    expect(bytes.includes('Ann Owner')).toBe(true);
    const result = await fitted(bytes);
    expect(codesOf(result)).toEqual(['stripped']);
    expect(result.sent.includes('Ann')).toBe(false);
    expect(result.image.fitted?.mime).toBe(result.image.mime);
    const raw = (file: Buffer) => sharp(file).raw().toBuffer();
    expect((await raw(result.sent)).equals(await raw(bytes))).toBe(true);
    await expectPicture(result, picture, 6);
  });

  test('IPTC and a second picture behind the first one go with it; what programs write of themselves may stay', async () => {
    const file = await pipeline().jpeg().toBuffer();
    const iptc = jpegSegment(0xed, Buffer.from('Photoshop 3.0\0secret', 'latin1'));
    const more = Buffer.concat([file.subarray(0, 2), iptc, file.subarray(2), Buffer.from('second picture')]);
    const result = await fitted(more);
    expect(codesOf(result)).toEqual(['stripped']);
    expect(result.sent.equals(file)).toBe(true);
    const png = await pipeline().png().toBuffer();
    const text = (words: string) =>
      Buffer.concat([png.subarray(0, 33), pngChunk('tEXt', Buffer.from(words)), png.subarray(33)]);
    expect(codesOf(await fitted(text('Software\0gimp')))).toEqual([]);
    expect(codesOf(await fitted(text('Author\0Ann')))).toEqual(['stripped']);
  });
});

describe('what is damaged is refused before anything is bought', () => {
  const whole = {
    jpeg: () => pipeline().jpeg({ quality: 95 }).toBuffer(),
    progressive: () => pipeline().jpeg({ quality: 95, progressive: true }).toBuffer(),
    png: () => pipeline().png().toBuffer(),
    interlaced: () => pipeline().png({ progressive: true }).toBuffer(),
    webp: () => pipeline().webp().toBuffer(),
    tiff: () => pipeline().tiff({ compression: 'lzw' }).toBuffer(),
    avif: () => pipeline().avif({ effort: 0 }).toBuffer(),
    bmp: async () => bmp(),
    gif: () => pipeline().gif().toBuffer(),
  };

  test.each(Object.entries(whole))('a %s wherever it is cut', async (_, make) => {
    const bytes = await make();
    for (const part of [0.05, 0.3, 0.6, 0.9, 0.98]) {
      const [fault] = await faultsOf(bytes.subarray(0, Math.floor(bytes.length * part)));
      expect(fault, `cut to ${part}`).toMatch(/damaged|cut off|unknown kind/);
    }
  });

  test.each(['jpeg', 'progressive', 'png', 'interlaced'] as const)('a %s with a hole inside', async (name) => {
    const bytes = await whole[name]();
    const [from, to] = [Math.floor(bytes.length * 0.5), Math.floor(bytes.length * 0.7)];
    const hole = Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
    expect(await faultsOf(hole)).toEqual([expect.stringMatching(/is a (JPEG|PNG) image that is (damaged|cut off)/)]);
  });

  test('a PNG with one flipped bit', async () => {
    const bytes = await whole.png();
    for (let at = 60; at < bytes.length - 12; at += Math.ceil(bytes.length / 12)) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 4;
      expect(await faultsOf(flipped), `bit at ${at}`).toHaveLength(1);
    }
  });

  test('stray bytes between the segments of a JPEG are no damage', async () => {
    const bytes = await whole.jpeg();
    const stray = Buffer.concat([bytes.subarray(0, 20), Buffer.from([0, 0, 0]), bytes.subarray(20)]);
    const result = await fitted(stray);
    expect(codesOf(result)).toEqual([]);
    expect(result.sent.equals(stray)).toBe(true);
  });
});

describe('bombs and foreign files are refused within bounds', () => {
  const pngOf = (size: readonly [number, number], data: Buffer, extra: readonly Buffer[] = []) => {
    const header = Buffer.alloc(13);
    header.writeUInt32BE(size[0]);
    header.writeUInt32BE(size[1], 4);
    header.set([8, 2], 8);
    const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
    return Buffer.concat([signature, pngChunk('IHDR', header), ...extra, pngChunk('IDAT', data), pngChunk('IEND')]);
  };

  test('60,000 x 60,000 pixels are refused by the header, with both sides', async () => {
    expect(await faultsOf(pngOf([60_000, 60_000], deflateSync(Buffer.alloc(1000))))).toEqual([
      expect.stringMatching(/width of 60000 px; give 240 to 8000/),
      expect.stringMatching(/height of 60000 px/),
    ]);
  });

  test('one pixel is refused by its size', async () => {
    const one = await sharp({ create: { width: 1, height: 1, channels: 3, background: '#888' } })
      .png()
      .toBuffer();
    expect(await faultsOf(one)).toEqual([
      expect.stringContaining('width of 1 px'),
      expect.stringContaining('height of 1 px'),
    ]);
  });

  test('hundreds of megabytes of zeros behind a small picture, or in its text, take neither time nor memory', async () => {
    const zeros = deflateSync(Buffer.alloc(200 * 1024 * 1024), { level: 1 });
    const before = process.memoryUsage.rss();
    const startedAt = process.cpuUsage();
    await fitted(pngOf([300, 260], zeros)).catch(() => undefined);
    const text = pngChunk('zTXt', Buffer.concat([Buffer.from('a\0\0'), zeros]));
    await fitted(pngOf([300, 260], deflateSync(Buffer.alloc(260 * 901)), [text])).catch(() => undefined);
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024);
    expect(process.cpuUsage(startedAt).user / 1000).toBeLessThan(2000);
  });

  test('a profile of 5 MB is dropped', async () => {
    const file = await pipeline().jpeg().toBuffer();
    const part = (n: number) =>
      jpegSegment(
        0xe2,
        Buffer.concat([
          Buffer.from(`ICC_PROFILE\0${String.fromCharCode(n + 1, 80)}`, 'latin1'),
          Buffer.alloc(65_000, 1),
        ]),
      );
    const segments = Array.from({ length: 80 }, (_, n) => part(n));
    const result = await fitted(Buffer.concat([file.subarray(0, 2), ...segments, file.subarray(2)]));
    expect(codesOf(result)).toEqual(['converted']);
    expect(result.sent.length).toBeLessThan(200_000);
    await expectPicture(result, picture, 6);
  });

  test('a JPEG of a rare kind is refused or converted, never sent as it is', async () => {
    const file = await pipeline().jpeg().toBuffer();
    const arithmetic = Buffer.from(file);
    arithmetic[file.indexOf(Buffer.from([0xff, 0xc0])) + 1] = 0xc9;
    const twelve = Buffer.from(file);
    twelve[file.indexOf(Buffer.from([0xff, 0xc0])) + 4] = 12;
    for (const bytes of [arithmetic, twelve]) {
      const codes = await fitted(bytes).then(codesOf, (error: unknown) => {
        expect(error).toBeInstanceOf(ImageFaults);
        return ['converted'];
      });
      expect(codes).toContain('converted');
    }
  });

  test('a HEIC is refused with the way out for each platform', async () => {
    const heic = Buffer.concat([
      Buffer.from([0, 0, 0, 24]),
      Buffer.from('ftypheic\0\0\0\0heicmif1', 'latin1'),
      Buffer.alloc(99),
    ]);
    const [fault] = await faultsOf(heic);
    for (const word of ['HEIC', 'iPhone', 'sips', 'Windows', 'heif-convert']) expect(fault).toContain(word);
  });

  test('a drawing is refused, and what it names is not fetched', async () => {
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="500" height="500"><image href="http://127.0.0.1:9/x"/></svg>';
    expect(await faultsOf(Buffer.from(svg))).toEqual([expect.stringContaining('is an SVG drawing')]);
    // The library itself may not load one either.
    await expect(sharp(Buffer.from(svg)).metadata()).rejects.toThrow();
  });
});
