import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { expect } from 'vitest';
import { makePictureClip } from '../../src/emulator/clip/picture-clip.js';

const run = promisify(execFile);

/** Colours in smooth transitions with hard edges across, and as much noise as asked. */
function pixels(width: number, height: number, noise = 0): Buffer {
  const data = Buffer.alloc(width * height * 4, 255);
  let state = 1;
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    const inside = Math.hypot(x - width / 3, y - height / 2) < Math.min(width, height) / 4;
    const colour = inside ? [230, 40, 60] : [(x / width) * 255, (y / height) * 255, 255 - (x / width) * 200];
    for (const [channel, value] of colour.entries()) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      data[i * 4 + channel] = Math.min(255, Math.max(0, value + ((state >>> 16) / 65_536 - 0.5) * 2 * noise));
    }
  }
  return data;
}

/** A PNG of them. */
export const pngOf = (width: number, height: number, noise?: number): Buffer =>
  writePng({ width, height, channels: 4, data: pixels(width, height, noise) });

/** A JPEG of them. */
export const jpegOf = (width: number, height: number): Promise<Buffer> =>
  sharp(pixels(width, height), { raw: { width, height, channels: 4 } })
    .removeAlpha()
    .jpeg({ quality: 90 })
    .toBuffer();

/** Samples of 8 bits. */
interface Samples {
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
  readonly data: Buffer;
}

/** A PNG of samples, without filters. */
export function writePng({ width, height, channels, data }: Samples, level = 6): Buffer {
  const chunk = (name: string, body: Buffer): Buffer => {
    const named = Buffer.concat([Buffer.from(name, 'latin1'), body]);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    check.writeUInt32BE(crc32(named));
    return Buffer.concat([length, named, check]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, channels === 4 ? 6 : 2], 8);
  const row = width * channels;
  const rows = Array.from({ length: height }, (_, y) => [Buffer.alloc(1), data.subarray(y * row, (y + 1) * row)]);
  const start = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  const content = deflateSync(Buffer.concat(rows.flat()), { level });
  return Buffer.concat([start, chunk('IHDR', header), chunk('IDAT', content), chunk('IEND', Buffer.alloc(0))]);
}

/** A frame of a clip, and the picture that it is to show. */
export interface ComparedFrame {
  readonly clip: Uint8Array;
  readonly picture: Uint8Array;
  /** Of the video, in pixels. */
  readonly width: number;
  readonly height: number;
  /** Number of the frame, from 0. */
  readonly frame: number;
}

/**
 * Decodes a frame of a clip with ffmpeg; a word of complaint from the decoder fails the test.
 * @param folder - Takes the files for it.
 * @returns mean difference to the picture as it is fitted into the video, 0..255.
 */
export async function differenceOf(
  { clip, picture, width, height, frame }: ComparedFrame,
  folder: string,
): Promise<number> {
  const [video, still] = [join(folder, 'clip.mp4'), join(folder, 'still')];
  await writeFile(video, clip);
  await writeFile(still, picture);
  const fitted = `scale=${width}:${height}:force_original_aspect_ratio=increase:flags=area,crop=${width}:${height}`;
  const raw = ['-pix_fmt', 'rgb24', '-f', 'rawvideo', '-'];
  const options = { encoding: 'buffer', maxBuffer: 2 ** 28 } as const;
  const decode = ['-v', 'warning', '-err_detect', 'explode', '-i', video, '-vf', `select=eq(n\\,${frame})`];
  const [shown, wanted] = await Promise.all([
    run('ffmpeg', [...decode, '-frames:v', '1', ...raw], options),
    run('ffmpeg', ['-v', 'error', '-i', still, '-vf', fitted, '-frames:v', '1', ...raw], options),
  ]);
  expect(shown.stderr.toString()).toBe('');
  expect(shown.stdout).toHaveLength(width * height * 3);
  let sum = 0;
  for (let i = 0; i < shown.stdout.length; i++) sum += Math.abs((shown.stdout[i] ?? 0) - (wanted.stdout[i] ?? 0));
  return sum / shown.stdout.length;
}

/** Makes a clip of a picture, and holds it to beginning with the picture and moving away from it. */
export async function beginsWithAndMoves(picture: Uint8Array, width: number, height: number, folder: string) {
  const clip = await makePictureClip(picture, { width, height, durationSeconds: 2, audio: false, direction: 3 });
  const differenceAt = (frame: number) => differenceOf({ clip, picture, width, height, frame }, folder);
  expect(await differenceAt(0)).toBeLessThan(3);
  const later = await differenceAt(15);
  expect(later).toBeGreaterThan(0.5);
  expect(await differenceAt(59)).toBeGreaterThan(1.5 * later);
}
