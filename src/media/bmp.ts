/** A decoded picture: rows from the top, three or four bytes for each pixel. */
export interface BmpPixels {
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
  readonly pixels: Buffer;
}

/** A picture of a kind that is not read, and is not damaged. */
export class UnreadableKind extends Error {}

/** Compression methods: none, runs of 8 and of 4 bits, and the masks of the colours. */
const [BI_RGB, BI_RLE8, BI_RLE4, BI_BITFIELDS, BI_ALPHABITFIELDS] = [0, 1, 2, 3, 6];
/** Lengths of the headers of OS/2; in the second one 3 is a compression that fax machines use. */
const [OS2_CORE, OS2_LONG] = [12, 64];
/** Positions of red, green and blue where no masks are given. */
const DEFAULT_MASKS: Readonly<Record<number, readonly number[]>> = {
  16: [0x7c00, 0x03e0, 0x001f],
  32: [0xff0000, 0xff00, 0xff],
};

interface BmpHeader {
  readonly bytes: number;
  readonly width: number;
  readonly signedHeight: number;
  readonly bits: number;
  readonly method: number;
  /** Colours in the palette; 0: as many as the bits can name. */
  readonly colours: number;
}

function readHeader(file: Buffer): BmpHeader {
  const bytes = file.readUInt32LE(14);
  if (bytes === OS2_CORE) {
    const [width, signedHeight] = [file.readUInt16LE(18), file.readUInt16LE(20)];
    return { bytes, width, signedHeight, bits: file.readUInt16LE(24), method: BI_RGB, colours: 0 };
  }
  const [width, signedHeight, bits] = [file.readInt32LE(18), file.readInt32LE(22), file.readUInt16LE(28)];
  // The short form of OS/2's second header ends here.
  if (bytes < 40) return { bytes, width, signedHeight, bits, method: BI_RGB, colours: 0 };
  return { bytes, width, signedHeight, bits, method: file.readUInt32LE(30), colours: file.readUInt32LE(46) };
}

/**
 * Decodes a BMP with any of its headers and 1 to 32 bits per pixel, also run-length encoded, which the image library
 * does not read.
 * @throws UnreadableKind for another compression.
 * @throws Error for one that is damaged or cut off, or larger than `sideMax`.
 */
export function readBmp(file: Buffer, sideMax: number): BmpPixels {
  const header = readHeader(file);
  const { width, signedHeight, bits, method } = header;
  const height = Math.abs(signedHeight);
  if (width < 1 || height < 1) throw new Error(`its size is ${width}x${height}`);
  if (width > sideMax || height > sideMax) throw new Error(`its size of ${width}x${height} is above ${sideMax} pixels`);
  const hasRuns = (method === BI_RLE8 && bits === 8) || (method === BI_RLE4 && bits === 4);
  const hasMasks = (method === BI_BITFIELDS && header.bytes !== OS2_LONG) || method === BI_ALPHABITFIELDS;
  if (method !== BI_RGB && !hasRuns && !hasMasks) throw new UnreadableKind(`its compression is number ${method}`);
  if (![1, 2, 4, 8, 16, 24, 32].includes(bits)) throw new Error(`it has ${bits} bits per pixel`);
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  const start = file.readUInt32LE(10);
  if (!hasRuns && start + rowBytes * height > file.length) throw new Error('its picture is not complete');
  const size = { width, height };
  const placeOf = (y: number): number => (signedHeight > 0 ? height - 1 - y : y);
  if (hasRuns) {
    const rows = { file: readRuns(file, start, { ...size, bits }), rowAt: (y: number) => placeOf(y) * width };
    return { ...size, channels: 3, pixels: fromPalette({ ...size, ...rows, bits: 8 }, file, header) };
  }
  const rows = { ...size, file, bits, rowAt: (y: number) => start + placeOf(y) * rowBytes };
  if (bits <= 8) return { ...size, channels: 3, pixels: fromPalette(rows, file, header) };
  if (bits === 24) return { ...size, channels: 3, pixels: fromBytes(rows) };
  const masks = hasMasks ? [54, 58, 62].map((at) => file.readUInt32LE(at)) : (DEFAULT_MASKS[bits] ?? []);
  const hasAlpha = hasMasks && (header.bytes >= 56 || method === BI_ALPHABITFIELDS);
  const alpha = hasAlpha ? file.readUInt32LE(66) : 0;
  return fromMasks(rows, alpha === 0 ? masks : [...masks, alpha]);
}

interface Rows {
  readonly file: Buffer;
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  readonly rowAt: (y: number) => number;
}

/** What follows a zero in a run-length encoded picture; a larger number is a count of pixels that follow as such. */
const [END_OF_ROW, END_OF_PICTURE, MOVE] = [0, 1, 2];

/** Reads a run-length encoded picture as indices of its palette, a byte each; pixels that it leaves out are 0. */
function readRuns(
  file: Buffer,
  start: number,
  { width, height, bits }: Pick<Rows, 'width' | 'height' | 'bits'>,
): Buffer {
  const indices = Buffer.alloc(width * height);
  let [x, y, at] = [0, 0, start];
  /** Sets pixels of this row; what is behind its end is left out, so that the work is bounded by the picture. */
  const put = (count: number, colourOf: (nth: number) => number): void => {
    for (let nth = 0; nth < Math.min(count, width - x); nth++) indices[y * width + x + nth] = colourOf(nth);
    x = Math.min(width, x + count);
  };
  const half = (byte: number, nth: number): number => (nth % 2 === 0 ? byte >> 4 : byte & 15);
  while (y < height) {
    if (at + 2 > file.length) {
      // Some programs leave out the mark of the end.
      if (y === height - 1 && x === width) break;
      throw new Error('its picture is not complete');
    }
    const [count = 0, second = 0] = file.subarray(at, at + 2);
    at += 2;
    if (count > 0) put(count, (nth) => (bits === 8 ? second : half(second, nth)));
    else if (second === END_OF_ROW) [x, y] = [0, y + 1];
    else if (second === END_OF_PICTURE) break;
    else if (second === MOVE) {
      [x, y] = [Math.min(width, x + (file[at] ?? 0)), y + (file[at + 1] ?? 0)];
      at += 2;
    } else {
      const from = at;
      put(second, (nth) => (bits === 8 ? (file[from + nth] ?? 0) : half(file[from + (nth >> 1)] ?? 0, nth)));
      at += Math.ceil((second * bits) / 16) * 2;
    }
  }
  return indices;
}

/** @param source - The file with the palette. */
function fromPalette({ file, width, height, rowAt, bits }: Rows, source: Buffer, header: BmpHeader): Buffer {
  const palette = 14 + header.bytes;
  const entry = header.bytes === OS2_CORE ? 3 : 4;
  const colours = header.colours || 1 << bits;
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      const byte = file[rowAt(y) + ((x * bits) >> 3)] ?? 0;
      const index = (byte >> (8 - bits - ((x * bits) & 7))) & ((1 << bits) - 1);
      if (index >= colours) continue; // black, as other programs show it
      for (let part = 0; part < 3; part++) pixels[to + part] = source[palette + entry * index + 2 - part] ?? 0;
    }
  }
  return pixels;
}

function fromBytes({ file, width, height, rowAt }: Rows): Buffer {
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let from = rowAt(y), end = from + 3 * width; from < end; from += 3, to += 3) {
      for (let part = 0; part < 3; part++) pixels[to + part] = file[from + 2 - part] ?? 0;
    }
  }
  return pixels;
}

function fromMasks({ file, width, height, rowAt, bits }: Rows, masks: readonly number[]): BmpPixels {
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
