import sharp from 'sharp';
import type { YuvPicture } from './h264.js';
import type { View } from './moving-picture.js';

/** Largest picture that is decoded. */
const MAX_PIXELS = 24_000_000;

/** One plane of samples. */
interface Plane {
  readonly width: number;
  readonly height: number;
  readonly samples: Uint8Array;
}

/** A picture in the shape of a video: luma, and at half the size two colour differences (BT.709, limited range). */
interface Still {
  readonly y: Plane;
  readonly cb: Plane;
  readonly cr: Plane;
}

/** Decoded pixels, three bytes each. */
interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Whether the bytes begin like a JPEG, PNG or WEBP file, the formats that {@link readStill} supports. */
export const isReadable = (bytes: Uint8Array): boolean =>
  /^(?:\xff\xd8\xff|\x89PNG\r\n|RIFF[\s\S]{4}WEBP)/.test(Buffer.from(bytes.subarray(0, 12)).toString('latin1'));

/**
 * Decodes a JPEG, PNG or WEBP, upright and on white, and crops it, around its middle, to the shape of `width` by
 * `height`. The result has at most 1.5 times as many pixels in each direction, enough for the camera's zoom.
 * @throws Error for a picture that is damaged, of another format, or larger than 24 megapixels.
 */
export async function readStill(bytes: Uint8Array, width: number, height: number): Promise<Still> {
  const pixels = await decode(bytes);
  const shape = width / height;
  const [cropWidth, cropHeight] =
    pixels.width / pixels.height > shape
      ? [pixels.height * shape, pixels.height]
      : [pixels.width, pixels.width / shape];
  const crop = {
    x: (pixels.width - cropWidth) / 2,
    y: (pixels.height - cropHeight) / 2,
    width: cropWidth,
    height: cropHeight,
  };
  const scale = Math.min(1.5, Math.max(1, cropWidth / width));
  const [toWidth, toHeight] = [Math.round(width * scale), Math.round(height * scale)];
  const { y, cb, cr } = toYuv(pixels);
  const scaled = (samples: Uint8Array, subsampling: number): Plane =>
    resample({ ...pixels, samples }, crop, Math.ceil(toWidth / subsampling), Math.ceil(toHeight / subsampling));
  return { y: scaled(y, 1), cb: scaled(cb, 2), cr: scaled(cr, 2) };
}

/** Draws what the camera sees, on whole macroblocks; outside of the picture its last samples are repeated. */
export function drawView(still: Still, { x, y, zoom }: View, width: number, height: number): YuvPicture {
  const [wide, high] = [Math.ceil(width / 16) * 16, Math.ceil(height / 16) * 16];
  const draw = (plane: Plane, subsampling: number): Uint8Array => {
    const [perX, perY] = [plane.width / width, plane.height / height];
    const crop = {
      x: (x - width / 2 / zoom) * perX,
      y: (y - height / 2 / zoom) * perY,
      width: (wide / zoom) * perX,
      height: (high / zoom) * perY,
    };
    return resample(plane, crop, wide / subsampling, high / subsampling).samples;
  };
  return { width: wide, height: high, y: draw(still.y, 1), cb: draw(still.cb, 2), cr: draw(still.cr, 2) };
}

async function decode(bytes: Uint8Array): Promise<Pixels> {
  if (!isReadable(bytes)) throw new Error('the picture is no JPEG, PNG or WEBP');
  const { data, info } = await sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: 'warning' })
    .autoOrient()
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`the picture has ${info.channels} channels`);
  return { width: info.width, height: info.height, data };
}

/** Converts RGB to luma and colour differences. */
function toYuv({ width, height, data }: Pixels): Record<'y' | 'cb' | 'cr', Uint8Array> {
  const [y, cb, cr] = Array.from({ length: 3 }, () => new Uint8Array(width * height)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  for (let i = 0, at = 0; i < y.length; i++, at += 3) {
    const [r, g, b] = [data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0];
    const luma = 0.2126 * r + 0.7152 * g + 0.0722 * b; // BT.709
    y[i] = 16 + (luma * 219) / 255 + 0.5;
    cb[i] = 128.5 + (((b - luma) / 1.8556) * 224) / 255;
    cr[i] = 128.5 + (((r - luma) / 1.5748) * 224) / 255;
  }
  return { y, cb, cr };
}

interface Crop {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Resizes a part of a plane with a triangle filter as wide as a target pixel (at least one source pixel). */
function resample(plane: Plane, crop: Crop, width: number, height: number): Plane {
  const across = filterTaps(crop.x, crop.width / width, width, plane.width);
  const down = filterTaps(crop.y, crop.height / height, height, plane.height);
  const firstRow = Math.min(...down.starts);
  const lastRow = Math.max(...down.starts) + down.count - 1;
  const narrow = new Float32Array((lastRow - firstRow + 1) * width);
  for (let row = firstRow; row <= lastRow; row++) {
    const from = row * plane.width;
    for (let x = 0; x < width; x++) {
      const start = across.starts[x] ?? 0;
      let sum = 0;
      for (let tap = 0; tap < across.count; tap++) {
        sum += (plane.samples[from + start + tap] ?? 0) * (across.weights[x * across.count + tap] ?? 0);
      }
      narrow[(row - firstRow) * width + x] = sum;
    }
  }
  const samples = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = ((down.starts[y] ?? 0) - firstRow) * width;
    for (let x = 0; x < width; x++) {
      let sum = 0.5;
      for (let tap = 0; tap < down.count; tap++) {
        sum += (narrow[start + tap * width + x] ?? 0) * (down.weights[y * down.count + tap] ?? 0);
      }
      samples[y * width + x] = sum;
    }
  }
  return { width, height, samples };
}

/** Returns for each target sample its first source sample and the weights, whose sum is one, of `count` samples. */
function filterTaps(from: number, step: number, length: number, available: number) {
  const radius = Math.max(1, step);
  const count = Math.min(available, Math.ceil(radius * 2) + 1);
  const starts = new Int32Array(length);
  const weights = new Float32Array(length * count);
  for (let i = 0; i < length; i++) {
    const middle = from + (i + 0.5) * step - 0.5;
    const start = Math.min(Math.max(0, Math.ceil(middle - radius)), available - count);
    starts[i] = start;
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      const weight = Math.max(0, 1 - Math.abs(start + tap - middle) / radius);
      weights[i * count + tap] = weight;
      sum += weight;
    }
    // Outside of the picture its last sample is repeated.
    if (sum === 0) weights[i * count + (middle < 0 ? 0 : count - 1)] = 1;
    for (let tap = 0; tap < count && sum > 0; tap++) weights[i * count + tap] = (weights[i * count + tap] ?? 0) / sum;
  }
  return { starts, weights, count };
}
