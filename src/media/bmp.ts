/** A decoded picture: rows from the top, three or four bytes for each pixel. */
export interface BmpPixels {
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
  readonly pixels: Buffer;
}

/** Compression methods: none, and the masks of the colours. */
const [BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS] = [0, 3, 6];
/** Positions of red, green and blue where no masks are given. */
const DEFAULT_MASKS: Readonly<Record<number, readonly number[]>> = {
  16: [0x7c00, 0x03e0, 0x001f],
  32: [0xff0000, 0xff00, 0xff],
};

/**
 * Decodes an uncompressed BMP with 1, 4, 8, 16, 24 or 32 bits per pixel, which the image library does not read.
 * @throws Error for one that is compressed, damaged or cut off, or larger than `sideMax`.
 */
export function readBmp(file: Buffer, sideMax: number): BmpPixels {
  const headerBytes = file.readUInt32LE(14);
  const width = file.readInt32LE(18);
  const signedHeight = file.readInt32LE(22);
  const height = Math.abs(signedHeight);
  const bits = file.readUInt16LE(28);
  const method = file.readUInt32LE(30);
  if (width < 1 || height < 1) throw new Error(`its size is ${width}x${height}`);
  if (width > sideMax || height > sideMax) throw new Error(`its size of ${width}x${height} is above ${sideMax} pixels`);
  if (![BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS].includes(method))
    throw new Error('it is compressed; save it as a PNG');
  if (![1, 4, 8, 16, 24, 32].includes(bits)) throw new Error(`it has ${bits} bits per pixel`);
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  const start = file.readUInt32LE(10);
  if (start + rowBytes * height > file.length) throw new Error('its picture is not complete');
  const rowAt = (y: number): number => start + (signedHeight > 0 ? height - 1 - y : y) * rowBytes;
  const size = { width, height };
  if (bits <= 8) return { ...size, channels: 3, pixels: fromPalette(file, { ...size, bits, headerBytes, rowAt }) };
  if (bits === 24) return { ...size, channels: 3, pixels: fromBytes(file, { ...size, rowAt }) };
  const masks = method === BI_RGB ? (DEFAULT_MASKS[bits] ?? []) : [54, 58, 62].map((at) => file.readUInt32LE(at));
  const hasAlpha = method !== BI_RGB && (headerBytes >= 56 || method === BI_ALPHABITFIELDS);
  const alpha = hasAlpha ? file.readUInt32LE(66) : 0;
  return fromMasks(file, { ...size, bits, rowAt, masks: alpha === 0 ? masks : [...masks, alpha] });
}

interface Rows {
  readonly width: number;
  readonly height: number;
  readonly rowAt: (y: number) => number;
}

function fromPalette(
  file: Buffer,
  { width, height, rowAt, bits, headerBytes }: Rows & { bits: number; headerBytes: number },
) {
  const palette = 14 + headerBytes;
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      const byte = file[rowAt(y) + ((x * bits) >> 3)] ?? 0;
      const colour = palette + 4 * ((byte >> (8 - bits - ((x * bits) & 7))) & ((1 << bits) - 1));
      for (let part = 0; part < 3; part++) pixels[to + part] = file[colour + 2 - part] ?? 0;
    }
  }
  return pixels;
}

function fromBytes(file: Buffer, { width, height, rowAt }: Rows): Buffer {
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let from = rowAt(y), end = from + 3 * width; from < end; from += 3, to += 3) {
      for (let part = 0; part < 3; part++) pixels[to + part] = file[from + 2 - part] ?? 0;
    }
  }
  return pixels;
}

function fromMasks(
  file: Buffer,
  { width, height, rowAt, bits, masks }: Rows & { readonly bits: number; readonly masks: readonly number[] },
): BmpPixels {
  const channels = masks.length === 4 ? 4 : 3;
  const parts = masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return { shift, max: mask >>> shift };
  });
  const pixels = Buffer.alloc(width * height * channels);
  const bytes = bits / 8;
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, from = rowAt(y); x < width; x++, from += bytes) {
      const value = bytes === 2 ? file.readUInt16LE(from) : file.readUInt32LE(from);
      for (const { shift, max } of parts) {
        pixels[to++] = max === 0 ? 0 : Math.round((((value >>> shift) & max) >>> 0) * (255 / max));
      }
    }
  }
  return { width, height, channels, pixels };
}
