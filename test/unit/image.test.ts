import fc from 'fast-check';
import { expect, test } from 'vitest';
import { kindOfImage } from '../../src/media/image-kind.js';
import { bmp, gif, iso, jpeg, png, webpExtended, webpLossless, webpLossy } from './image-samples.js';

test.each([
  ['jpg', jpeg()],
  ['png', png()],
  ['bmp', bmp()],
  ['webp', webpLossy()],
  ['webp', webpLossless()],
  ['webp', webpExtended()],
  ['gif', gif()],
  ['tif', Buffer.from('II*\0\x08\0\0\0', 'latin1')],
  ['avif', iso('avif')],
  ['avif', Buffer.from('\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf', 'latin1')],
])('the format %s is recognized by its first bytes', (format, file) => {
  expect(kindOfImage(file).format).toBe(format);
  expect(kindOfImage(file).name).toMatch(/^an? .* image$/);
});

test.each([
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
  expect(kindOfImage(file).name).toBe(name);
});

test('any bytes have a name, quickly', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
      expect(kindOfImage(bytes).name).toMatch(/^an? /);
    }),
    { numRuns: 2_000 },
  );
});
