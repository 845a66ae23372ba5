import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makePictureClip } from '../../src/emulator/clip/picture-clip.js';
import { imageSizeOf } from '../../src/emulator/image.js';
import { beginsWithAndMoves, jpegOf, pngOf } from '../support/clip-pictures.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
import { dataUri, download, type PictureEmulator, startPictureEmulator } from '../support/picture-emulator.js';
import { pipelineOf, storedWith, testPicture } from '../support/pictures.js';
import { ROOT } from '../support/root.js';

const run = promisify(execFile);
const decoder = hasFfmpeg('the picture in the emulator’s clips');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-picture-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(!decoder)('a clip of a picture', () => {
  test.each([
    { what: 'a JPEG that is cropped', picture: () => jpegOf(500, 400), at: [320, 180] },
    { what: 'a PNG in portrait, no multiple of 16', picture: () => pngOf(300, 520), at: [314, 546] },
    { what: 'a WEBP', picture: () => sharp(pngOf(400, 300)).webp({ lossless: true }).toBuffer(), at: [320, 240] },
  ])('begins with $what and moves', async ({ picture, at: [width = 0, height = 0] }) =>
    beginsWithAndMoves(await picture(), width, height, folder),
  );

  test('shows no step where a key picture follows, and is as large as the provider’s', async () => {
    const [width, height] = [1280, 720];
    const picture = await readFile(join(ROOT, 'assets', 'sample.jpg'));
    const clip = await makePictureClip(picture, { width, height, durationSeconds: 5, audio: true, direction: 0 });
    expect(clip.length).toBeGreaterThan(5e6); // The provider's clips of this kind have some 5.5 MB.
    expect(clip.length).toBeLessThan(6.5e6);
    const file = join(folder, 'steps.mp4');
    await writeFile(file, clip);
    const probe = ['-v', 'error', '-skip_frame', 'nokey', '-show_entries', 'frame=pts_time', '-of', 'csv=p=0', file];
    const { stdout: keyTimes } = await run('ffprobe', ['-select_streams', 'v', ...probe]);
    expect(keyTimes.match(/\d+\.\d+/g)?.map(Number)).toEqual([0, 2, 4]);

    const frames = ['-vf', 'select=between(n\\,55\\,60)', '-fps_mode', 'passthrough'];
    const decode = ['-v', 'warning', '-i', file, ...frames, '-f', 'rawvideo', '-pix_fmt', 'gray', '-'];
    const { stdout, stderr } = await run('ffmpeg', decode, { encoding: 'buffer', maxBuffer: 2 ** 28 });
    expect(stderr.toString()).toBe('');
    const size = width * height;
    expect(stdout).toHaveLength(6 * size);
    const [toKeyPicture = 0, ...before] = [4, 3, 2, 1, 0].map((frame) => {
      let sum = 0;
      for (let i = frame * size; i < (frame + 1) * size; i++)
        sum += Math.abs((stdout[i] ?? 0) - (stdout[i + size] ?? 0));
      return sum / size;
    });
    const usual = before.reduce((sum, change) => sum + change, 0) / before.length;
    // Blocks of 16x16 instead of 8x8 have 1.3 here, a step that can be seen along edges.
    expect(toKeyPicture).toBeLessThan(1.2 * usual);
  });

  test('is decoded without a warning, frame by frame, when the picture is noise of any strength', async () => {
    for (const noise of [2, 20, 255]) {
      const [width, height] = [306, 274];
      const still = pngOf(width, height, noise);
      const clip = await makePictureClip(still, { width, height, durationSeconds: 2, audio: true, direction: 6 });
      const file = join(folder, 'noise.mp4');
      await writeFile(file, clip);
      const decode = ['-v', 'warning', '-err_detect', 'explode', '-i', file, '-f', 'null', '-', '-progress', 'pipe:1'];
      const { stdout, stderr } = await run('ffmpeg', decode);
      expect(stderr).toBe('');
      expect(stdout.match(/^frame=\d+$/gm)?.at(-1)).toBe('frame=60');
    }
  });
});

test.each([2, 3, 4, 5, 6, 7, 8])(
  'a picture of EXIF orientation %i has the size and the clip of the upright one',
  async (orientation) => {
    const upright = testPicture(300, 520);
    const encode = (picture: typeof upright) => pipelineOf(picture).png();
    const stored = await encode(storedWith(orientation, upright)).withMetadata({ orientation }).toBuffer();
    expect(await imageSizeOf(stored)).toMatchObject({ width: 300, height: 520 });
    const options = { width: 96, height: 160, durationSeconds: 2, audio: false, direction: 3 };
    const [clip, wanted] = await Promise.all(
      [stored, await encode(upright).toBuffer()].map((one) => makePictureClip(one, options)),
    );
    expect(Buffer.from(clip ?? []).equals(Buffer.from(wanted ?? []))).toBe(true);
  },
);

test.each([
  ['an upright BMP', [40, 320, 240]],
  ['a BMP from the top', [40, 320, -240]],
  ['an old BMP', [12, 320, 240]],
])('the size of %s is read', async (_what, [header = 0, width = 0, height = 0]) => {
  const bytes = Buffer.alloc(64);
  bytes.write('BM', 'latin1');
  bytes.writeUInt32LE(header, 14);
  if (header === 12) bytes.writeUInt32LE(width + height * 65_536, 18);
  else for (const [at, value] of [width, height].entries()) bytes.writeInt32LE(value, 18 + 4 * at);
  expect(await imageSizeOf(bytes)).toEqual({ width: 320, height: 240 });
  expect(await imageSizeOf(bytes.subarray(0, 20))).toBeNull();
});

test.each([
  { what: 'a JPEG that ends early', picture: async () => (await jpegOf(300, 300)).subarray(0, 2_000) },
  { what: 'a PNG that ends early', picture: () => pngOf(300, 300).subarray(0, 200) },
  { what: 'a PNG of 400 megapixels', picture: () => withSize(pngOf(300, 300), 20_000) },
  { what: 'a WEBP', picture: () => Buffer.from('RIFF....WEBPVP8 ') },
])('no clip is made of $what', async ({ picture }) => {
  const options = { width: 320, height: 180, durationSeconds: 2, audio: false, direction: 0 };
  await expect(makePictureClip(await picture(), options)).rejects.toThrow();
});

function withSize(png: Buffer, side: number): Buffer {
  const changed = Buffer.from(png);
  changed.writeUInt32BE(side, 16);
  changed.writeUInt32BE(side, 20);
  return changed;
}

describe('an emulator that shows pictures', () => {
  let emulator: PictureEmulator;
  beforeAll(async () => {
    emulator = await startPictureEmulator(join(folder, 'state', 'emulator.json'));
  });
  afterAll(() => emulator?.process.kill());

  test('gives the plain clip for a damaged picture and for one that cannot be fetched', async () => {
    const plain = async (id: string) => {
      const task = (await emulator.process.state()).tasks.find(({ task_id }) => task_id === id);
      return { picture: task?.picture };
    };
    const damaged = await emulator.result(dataUri(pngOf(640, 360).subarray(0, 500)));
    expect((await plain(damaged.id)).picture).toMatch(/^[0-9a-f]{64}$/);
    const unreachable = await emulator.result('http://127.0.0.1:9/a.jpg');
    expect(await plain(unreachable.id)).toEqual({ picture: null });
    for (const { url } of [damaged, unreachable]) expect((await download(url)).length).toBeGreaterThan(10_000);
  });
});
