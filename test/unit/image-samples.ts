import { crc32, deflateSync } from 'node:zlib';

/** Small images in every shape that the rules distinguish; their pictures are grey, or too short for absurd sizes. */

interface Shape {
  width?: number;
  height?: number;
}

function uint(value: number, bytes: number, order: 'be' | 'le'): Buffer {
  const buffer = Buffer.alloc(bytes);
  if (order === 'be') buffer.writeUIntBE(value, 0, bytes);
  else buffer.writeUIntLE(value, 0, bytes);
  return buffer;
}
const be = (value: number, bytes = 4): Buffer => uint(value, bytes, 'be');
const le = (value: number, bytes = 4): Buffer => uint(value, bytes, 'le');

export function pngChunk(name: string, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  return Buffer.concat([be(data.length), body, be(crc32(body))]);
}

export function png({ width = 300, height = 260, colourType = 2, extra = [] as Buffer[], tail = [] as Buffer[] } = {}) {
  const channels = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colourType] ?? 1;
  const rows = Buffer.alloc(Math.min(height * (1 + width * channels), 1_000_000), 127);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', Buffer.concat([be(width), be(height), Buffer.from([8, colourType, 0, 0, 0])])),
    ...extra,
    pngChunk('IDAT', deflateSync(rows)),
    ...tail,
    pngChunk('IEND'),
  ]);
}

export function jpegSegment(marker: number, data: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0xff, marker]), be(data.length + 2, 2), data]);
}

function exif(orientation: number, order: 'be' | 'le'): Buffer {
  const n = (value: number, bytes: number) => uint(value, bytes, order);
  const value = Buffer.concat([n(orientation, 2), n(0, 2)]);
  return jpegSegment(
    0xe1,
    Buffer.concat([
      Buffer.from('Exif\0\0', 'latin1'),
      Buffer.from(order === 'be' ? 'MM' : 'II', 'latin1'),
      n(42, 2),
      n(8, 4),
      n(1, 2),
      n(0x0112, 2),
      n(3, 2),
      n(1, 4),
      value,
      n(0, 4),
    ]),
  );
}

/** A photo as a phone stores it that was turned: the same pixels, with an EXIF orientation. */
export function turned(photo: Buffer, orientation: number): Buffer {
  return Buffer.concat([photo.subarray(0, 2), exif(orientation, 'be'), photo.subarray(2)]);
}

export function jpeg({
  width = 300,
  height = 260,
  orientation = 0,
  order = 'be' as 'be' | 'le',
  extra = [] as Buffer[],
  marker = 0xc0,
  picture = Buffer.alloc(500, 0x55) as Uint8Array,
} = {}) {
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    jpegSegment(0xe0, Buffer.from('JFIF\0\x01\x01\0\0\x01\0\x01\0\0', 'latin1')),
    ...(orientation === 0 ? [] : [exif(orientation, order)]),
    ...extra,
    jpegSegment(marker, Buffer.concat([Buffer.from([8]), be(height, 2), be(width, 2), Buffer.from([1, 1, 0x11, 0])])),
    jpegSegment(0xda, Buffer.from([1, 1, 0, 0, 63, 0])),
    picture,
    Buffer.from([0xff, 0xd9]),
  ]);
}

export function bmp({ width = 300, height = 260, bits = 24 } = {}) {
  const row = Math.ceil((width * bits) / 32) * 4;
  const picture = Buffer.alloc(Math.min(row * Math.abs(height), 1_000_000));
  const signed = Buffer.alloc(4);
  signed.writeInt32LE(height);
  return Buffer.concat([
    Buffer.from('BM', 'latin1'),
    le(54 + picture.length),
    le(0),
    le(54),
    le(40),
    le(width),
    signed,
    le(1, 2),
    le(bits, 2),
    Buffer.alloc(24),
    picture,
  ]);
}

function riff(chunk: string, data: Buffer): Buffer {
  const padded = data.length % 2 === 0 ? data : Buffer.concat([data, Buffer.alloc(1)]);
  const body = Buffer.concat([Buffer.from(`WEBP${chunk}`, 'latin1'), le(data.length), padded]);
  return Buffer.concat([Buffer.from('RIFF', 'latin1'), le(body.length), body]);
}

export const webpLossy = ({ width = 300, height = 260 }: Shape = {}): Buffer =>
  riff(
    'VP8 ',
    Buffer.concat([Buffer.from([0x10, 0, 0, 0x9d, 0x01, 0x2a]), le(width, 2), le(height, 2), Buffer.alloc(90)]),
  );

export const webpLossless = ({ width = 300, height = 260 }: Shape = {}): Buffer =>
  riff(
    'VP8L',
    Buffer.concat([Buffer.from([0x2f]), le((width - 1) | ((height - 1) << 14) | (1 << 28)), Buffer.alloc(90)]),
  );

export const webpExtended = ({ width = 300, height = 260 }: Shape = {}): Buffer =>
  riff('VP8X', Buffer.concat([Buffer.from([0x10, 0, 0, 0]), le(width - 1, 3), le(height - 1, 3), Buffer.alloc(90)]));

export const gif = (): Buffer =>
  Buffer.concat([Buffer.from('GIF89a', 'latin1'), le(300, 2), le(260, 2), Buffer.alloc(200)]);

export const iso = (brand: string): Buffer =>
  Buffer.concat([
    be(24),
    Buffer.from(`ftyp${brand}`, 'latin1'),
    be(0),
    Buffer.from(`${brand}mif1`, 'latin1'),
    Buffer.alloc(99),
  ]);
