import { crc32, deflateSync } from 'node:zlib';

/**
 * Its shape shows how the provider rounds the sides of a video: at 720P to 1108×830 in steps of 2, to 1104×816 in steps
 * of 16.
 */
export const LIVE_IMAGE = { width: 1024, height: 768 } as const;

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/**
 * The picture of a live check: a sun over water, as a PNG. Its bytes are always the same, because they identify the
 * purchase.
 */
export function liveImage(): Buffer {
  const { width, height } = LIVE_IMAGE;
  const rows = Buffer.alloc(height * (1 + 3 * width)); // each row begins with its filter: none
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) rows.set(colour(x, y), y * (1 + 3 * width) + 1 + 3 * x);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8); // eight bits, RGB
  // Stored, not compressed: two versions of zlib compress the same picture to different bytes.
  const data = deflateSync(rows, { level: 0 });
  return Buffer.concat([SIGNATURE, chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))]);
}

function colour(x: number, y: number): [number, number, number] {
  const { width, height } = LIVE_IMAGE;
  const horizon = height * 0.55;
  if (y > horizon) {
    const wave = Math.round(20 * Math.sin(x / 23 + y / 7));
    return [30 + wave, 90 + wave, 150 + wave];
  }
  const sun = (x - width * 0.7) ** 2 + (y - height * 0.3) ** 2 < 70 ** 2;
  const sky = Math.round((y / horizon) * 90);
  return sun ? [255, 220, 120] : [110 + sky, 160 + Math.round(sky / 2), 230];
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const ends = Buffer.alloc(4);
  ends.writeUInt32BE(data.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([ends, body, sum]);
}
