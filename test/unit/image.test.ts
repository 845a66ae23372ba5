import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import { IMAGE_BYTES_MAX, IMAGE_HEAD_BYTES, inspectImage } from '../../src/media/image.js';
import {
  bmp,
  gif,
  iso,
  jpeg,
  jpegSegment,
  png,
  pngChunk,
  webpExtended,
  webpLossless,
  webpLossy,
} from './image-samples.js';

/** As the callers do: the head of a file and its length. */
const inspect = (file: Uint8Array, totalBytes = file.length) =>
  inspectImage(file.subarray(0, IMAGE_HEAD_BYTES), totalBytes);

/** The messages of all faults. */
function faultsOf(file: Uint8Array, totalBytes = file.length): string[] {
  try {
    inspect(file, totalBytes);
  } catch (error) {
    expect(error).toBeInstanceOf(VideoError);
    expect(error).toMatchObject({ type: FailureType.ReferenceRejected, retryable: false, billed: false });
    const { issues = [], nextStep } = error as VideoError;
    expect(nextStep).toBeDefined();
    expect(issues.every(({ path }) => path === 'reference_image')).toBe(true);
    return issues.map(({ message }) => message);
  }
  return [];
}

const preview = jpegSegment(0xe1, jpeg({ width: 160, height: 120 }));
const metadata = (bytes: number) =>
  Array.from({ length: Math.ceil(bytes / 65_000) }, () => jpegSegment(0xe2, Buffer.alloc(65_000)));

test.each([
  ['a JPEG', jpeg(), 'image/jpeg', 'jpg'],
  ['a progressive JPEG', jpeg({ marker: 0xc2 }), 'image/jpeg', 'jpg'],
  ['a JPEG behind 390 kB of metadata', jpeg({ extra: metadata(390_000) }), 'image/jpeg', 'jpg'],
  ['a JPEG with a preview', jpeg({ extra: [preview] }), 'image/jpeg', 'jpg'],
  ['a JPEG with bytes behind its end', Buffer.concat([jpeg(), Buffer.alloc(300)]), 'image/jpeg', 'jpg'],
  ['an RGB PNG', png(), 'image/png', 'png'],
  ['a grey PNG', png({ colourType: 0 }), 'image/png', 'png'],
  ['a palette PNG', png({ colourType: 3, extra: [pngChunk('PLTE', Buffer.alloc(6))] }), 'image/png', 'png'],
  [
    'a PNG with a stray tRNS behind its picture',
    png({ tail: [pngChunk('tRNS', Buffer.alloc(2))] }),
    'image/png',
    'png',
  ],
  ['a BMP', bmp(), 'image/bmp', 'bmp'],
  ['a BMP from the top down', bmp({ height: -260 }), 'image/bmp', 'bmp'],
  ['a BMP with 32 bits', bmp({ bits: 32 }), 'image/bmp', 'bmp'],
  ['a lossy WEBP', webpLossy(), 'image/webp', 'webp'],
  ['a lossless WEBP', webpLossless(), 'image/webp', 'webp'],
  ['an extended WEBP with alpha', webpExtended(), 'image/webp', 'webp'],
])('%s is taken with its type and size', (_, file, mime, ext) => {
  expect(inspect(file)).toEqual({ mime, ext, width: 300, height: 260 });
});

test('the sample image of the repository is taken', async () => {
  expect(inspect(await readFile(new URL('../../assets/sample.jpg', import.meta.url)))).toEqual({
    mime: 'image/jpeg',
    ext: 'jpg',
    width: 1280,
    height: 720,
  });
});

test.each(
  [1, 2, 3, 4, 5, 6, 7, 8].flatMap((orientation) => [
    { orientation, order: 'be' as const },
    { orientation, order: 'le' as const },
  ]),
)('a JPEG with EXIF orientation $orientation ($order) has its sides as it is shown', ({ orientation, order }) => {
  const { width, height } = inspect(jpeg({ width: 800, height: 400, orientation, order }));
  expect([width, height]).toEqual(orientation >= 5 ? [400, 800] : [800, 400]);
});

test.each([
  ['png', png],
  ['jpeg', jpeg],
  ['bmp', bmp],
  ['lossy webp', webpLossy],
  ['lossless webp', webpLossless],
  ['extended webp', webpExtended],
])('the sides of a %s must be 240 to 8000 pixels, both named when both are wrong', (_, make) => {
  expect(faultsOf(make({ width: 240, height: 240 }))).toEqual([]);
  // The largest file is judged by its head only, as the length is not the point here.
  expect(faultsOf(make({ width: 8000, height: 8000 }), IMAGE_BYTES_MAX).filter((fault) => / px/.test(fault))).toEqual(
    [],
  );
  expect(faultsOf(make({ width: 239, height: 8001 }), IMAGE_BYTES_MAX)).toEqual([
    expect.stringMatching(/width of 239 px.*240 to 8000 px/),
    expect.stringMatching(/height of 8001 px/),
    ...faultsOf(make({ width: 300, height: 8000 }), IMAGE_BYTES_MAX),
  ]);
});

test.each([
  ['PNG', png({ width: 0, height: 0 })],
  ['PNG', png({ width: 2_147_483_647, height: 2_147_483_647 })],
  ['PNG', png({ width: 60_000, height: 300 })],
  ['JPEG', jpeg({ width: 65_535, height: 0 })],
  ['WEBP', webpExtended({ width: 16_777_216, height: 16_777_216 })],
])('a %s of absurd size is refused by its header', (_, file) => {
  expect(faultsOf(file).filter((fault) => / px/.test(fault))).not.toEqual([]);
});

test.each([
  ['with colour type 4', png({ colourType: 4 })],
  ['with colour type 6', png({ colourType: 6 })],
  ['with a tRNS chunk', png({ extra: [pngChunk('tRNS', Buffer.alloc(6))] })],
  [
    'with a tRNS chunk behind 300 kB of text',
    png({ extra: [pngChunk('tEXt', Buffer.alloc(300_000, 65)), pngChunk('tRNS', Buffer.alloc(6))] }),
  ],
])('a PNG %s is refused for its transparency', (_, file) => {
  expect(faultsOf(file)).toEqual([expect.stringMatching(/transparency.*without an alpha channel/)]);
});

test('a PNG whose metadata hides whether it has transparency is refused', () => {
  const file = png({
    extra: [pngChunk('tEXt', Buffer.alloc(IMAGE_HEAD_BYTES, 65)), pngChunk('tRNS', Buffer.alloc(6))],
  });
  expect(faultsOf(file)).toEqual([expect.stringMatching(/metadata/)]);
});

test('all faults of an image are reported together', () => {
  expect(faultsOf(png({ width: 100, height: 9000, colourType: 6 }), IMAGE_BYTES_MAX + 1)).toEqual([
    expect.stringContaining('larger than 20 MB'),
    expect.stringContaining('width of 100 px'),
    expect.stringContaining('height of 9000 px'),
    expect.stringContaining('transparency'),
  ]);
});

test('20 MB are taken, one byte more is not', () => {
  expect(faultsOf(jpeg(), IMAGE_BYTES_MAX)).toEqual([]);
  expect(faultsOf(jpeg(), IMAGE_BYTES_MAX + 1)).toEqual([expect.stringContaining('larger than 20 MB')]);
});

test.each([
  ['empty', Buffer.alloc(0)],
  ['a GIF image', gif()],
  ['a TIFF image', Buffer.from('II*\0\x08\0\0\0', 'latin1')],
  ['a TIFF image', Buffer.from('MM\0*\0\0\0\x08', 'latin1')],
  ['a HEIC image', iso('heic')],
  ['a HEIC image', iso('mif1')],
  ['an AVIF image', iso('avif')],
  ['an MP4 or QuickTime video', iso('isom')],
  ['a WebM or Matroska video', Buffer.from('\x1aE\xdf\xa3\x01', 'latin1')],
  ['a JPEG XL image', Buffer.from('\xff\n\xfa', 'latin1')],
  ['a JPEG 2000 image', Buffer.from('\0\0\0\fjP  \r\n', 'latin1')],
  ['a Photoshop file', Buffer.from('8BPS\0\x01')],
  ['an icon file', Buffer.from([0, 0, 1, 0, 1, 0])],
  ['an SVG drawing', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="500" height="500"/>')],
  ['an SVG drawing', Buffer.from('<?xml version="1.0"?>\n<!-- made by hand -->\n<svg width="500"/>')],
  ['an HTML page', Buffer.from('<!DOCTYPE html>\n<html><body>Not found</body></html>')],
  ['an HTML page', Buffer.from('\n  <html lang="de"><head>')],
  ['an XML document', Buffer.from('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>')],
  ['a JSON document', Buffer.from('{"error":"not found"}')],
  ['a text file', Buffer.from('Grüße, this was renamed to .jpg')],
  ['a text file', Buffer.from('BM is how this text begins, but it is no picture at all, only words')],
  ['a PDF file', Buffer.from('%PDF-1.7\n')],
  ['a ZIP archive', Buffer.from('PK\x03\x04')],
  ['a gzip archive', Buffer.from([0x1f, 0x8b, 8])],
  ['a file of zero bytes only', Buffer.alloc(4096)],
  ['a file of unknown kind', Buffer.from([1, 2, 3, 4, 5, 6])],
  ['a file of unknown kind', Buffer.from('BM\x01\x02\x03')],
])('what is %s is called so', (name, file) => {
  expect(faultsOf(file)).toEqual([expect.stringContaining(`is ${name}`)]);
});

test.each([
  ['JPEG', jpeg({ extra: [preview] })],
  ['PNG', png()],
  ['BMP', bmp()],
  ['lossy WEBP', webpLossy()],
  ['lossless WEBP', webpLossless()],
])('a %s is refused wherever it is cut', (_, file) => {
  for (const at of [...Array(Math.min(200, file.length - 1)).keys()].map((i) => i + 1))
    expect(faultsOf(file.subarray(0, at)), `cut to ${at} bytes`).toHaveLength(1);
  for (let at = 200; at < file.length; at += 97)
    expect(faultsOf(file.subarray(0, at)), `cut to ${at} bytes`).toEqual([expect.stringContaining('cut off')]);
  expect(faultsOf(file.subarray(0, -1))).toEqual([expect.stringContaining('cut off')]);
});

test('a picture that is more than a megabyte away from the beginning is refused as unreadable', () => {
  expect(faultsOf(jpeg({ extra: metadata(1_200_000) }))).toEqual([
    expect.stringMatching(/no size in its first 1048576 bytes/),
  ]);
});

test('a view into a larger buffer is judged by its own bytes', () => {
  const file = png({ colourType: 6 });
  const around = Buffer.concat([jpeg(), file, jpeg()]);
  const start = jpeg().length;
  expect(faultsOf(around.subarray(start, start + file.length))).toEqual([expect.stringContaining('transparency')]);
});

test('for any bytes, an image is either taken within the limits or refused as such, quickly', () => {
  const samples = [
    jpeg({ orientation: 6, extra: [preview] }),
    png({ extra: [pngChunk('tRNS', Buffer.alloc(6))] }),
    bmp(),
    webpLossy(),
    webpLossless(),
    webpExtended(),
    gif(),
    iso('heic'),
  ].map((sample) => sample.subarray(0, 600));
  const mutated = fc
    .tuple(
      fc.constantFrom(...samples),
      fc.array(fc.tuple(fc.nat(200), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255))), {
        maxLength: 12,
      }),
      fc.nat(600),
    )
    .map(([sample, changes, cut]) => {
      const bytes = Uint8Array.from(sample.subarray(0, sample.length - (cut < 300 ? cut : 0)));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 300 })), fc.nat(5_000), (bytes, more) => {
      const startedAt = performance.now();
      try {
        const { width, height } = inspectImage(bytes, bytes.length + more);
        for (const side of [width, height]) expect(side >= 240 && side <= 8000 && Number.isInteger(side)).toBe(true);
      } catch (error) {
        if (!(error instanceof VideoError)) throw error;
        expect(error.type).toBe(FailureType.ReferenceRejected);
        expect(error.issues?.length).toBeGreaterThan(0);
      }
      expect(performance.now() - startedAt).toBeLessThan(500); // typically far below one; the machine may be busy
    }),
    { numRuns: 5_000 },
  );
});
