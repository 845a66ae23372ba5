import { execFileSync } from 'node:child_process';
import sharp, { type Sharp } from 'sharp';

/** A picture as rows of red, green and blue, from the top. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Buffer;
}

/** A picture in which every place has its own colour, so that one that is turned or mirrored differs everywhere. */
export function testPicture(width = 320, height = 240): Picture {
  const data = Buffer.alloc(width * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data[at++] = (x * 255) / width;
      data[at++] = (y * 255) / height;
      data[at++] = x < width / 2 === y < height / 3 ? 220 : 40;
    }
  }
  return { width, height, data };
}

/** The picture at the beginning of a pipeline of the library. */
export const pipelineOf = ({ width, height, data }: Picture): Sharp =>
  sharp(data, { raw: { width, height, channels: 3 } });

/** How a camera stores an upright picture that it marks with an EXIF orientation (EXIF 2.32, tag 274). */
export function storedWith(orientation: number, { width, height, data }: Picture): Picture {
  const isTurned = orientation >= 5;
  const [w, h] = isTurned ? [height, width] : [width, height];
  const stored = Buffer.alloc(data.length);
  for (let y = 0, at = 0; y < h; y++) {
    for (let x = 0; x < w; x++, at += 3) {
      // The place of the upright picture that the stored one has at x, y.
      const [right, bottom] = [w - 1 - x, h - 1 - y];
      const [fromX, fromY] = (
        {
          1: [x, y],
          2: [right, y],
          3: [right, bottom],
          4: [x, bottom],
          5: [y, x],
          6: [bottom, x],
          7: [bottom, right],
          8: [y, right],
        } as Record<number, [number, number]>
      )[orientation] as [number, number];
      data.copy(stored, at, (fromY * width + fromX) * 3, (fromY * width + fromX) * 3 + 3);
    }
  }
  return { width: w, height: h, data: stored };
}

/** Decodes a picture with ffmpeg, which ignores orientations here. */
export function decodeWithFfmpeg(file: Buffer, { width, height }: { width: number; height: number }): Picture {
  const data = execFileSync(
    'ffmpeg',
    ['-v', 'error', '-noautorotate', '-i', 'pipe:0', '-frames:v', '1', '-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1'],
    { input: file, maxBuffer: 1 << 28, stdio: ['pipe', 'pipe', 'pipe'] },
  );
  if (data.length !== width * height * 3) throw new Error(`${data.length} bytes are not ${width}x${height}`);
  return { width, height, data };
}

/** Mean difference of two pictures of one size, in steps of 255. */
export function differenceOf(a: Picture, b: Picture): number {
  if (a.width !== b.width || a.height !== b.height) return 255;
  let sum = 0;
  for (let at = 0; at < a.data.length; at++) sum += Math.abs((a.data[at] ?? 0) - (b.data[at] ?? 0));
  return sum / a.data.length;
}
