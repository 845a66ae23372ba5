import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Emulator } from '../../src/emulator/index.js';
import { makePictureClip } from '../../src/emulator/picture-clip.js';
import { call, MODEL, submit } from '../support/emulator-calls.js';
import { type EmulatorProcess, startEmulatorProcess } from '../support/emulator-process.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
import { ROOT } from '../support/root.js';

const run = promisify(execFile);
const decoder = hasFfmpeg('the picture in the emulator’s clips');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-picture-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

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

function pngOf(width: number, height: number, noise?: number): Buffer {
  const image = new PNG({ width, height });
  image.data = pixels(width, height, noise);
  return PNG.sync.write(image);
}

const jpegOf = (width: number, height: number): Buffer =>
  jpeg.encode({ width, height, data: pixels(width, height) }, 90).data;

/** Decodes a clip; a word of complaint from the decoder fails the test. Mean difference to the fitted picture, 0..255. */
async function compared(clip: Uint8Array, picture: Uint8Array, width: number, height: number, frame: number) {
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

describe.skipIf(!decoder)('a clip of a picture', () => {
  test.each([
    {
      what: 'a JPEG in the video’s shape',
      picture: () => readFile(join(ROOT, 'assets', 'sample.jpg')),
      at: [1280, 720],
    },
    { what: 'a JPEG that is cropped', picture: () => jpegOf(500, 400), at: [320, 180] },
    { what: 'a PNG in portrait, no multiple of 16', picture: () => pngOf(300, 520), at: [314, 546] },
    { what: 'a PNG much larger than the video', picture: () => pngOf(1200, 676), at: [320, 180] },
  ])('begins with $what and moves', async ({ picture, at: [width = 0, height = 0] }) => {
    const still = await picture();
    const options = { width, height, durationSeconds: 2, audio: false, direction: 3 };
    const clip = await makePictureClip(still, options);
    expect(await compared(clip, still, width, height, 0)).toBeLessThan(3);
    const later = await compared(clip, still, width, height, 15);
    expect(later).toBeGreaterThan(0.5);
    expect(await compared(clip, still, width, height, 59)).toBeGreaterThan(1.5 * later);
  });

  test('is decoded without a word, frame by frame, when the picture is noise of any strength', async () => {
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

test.each([
  { what: 'a JPEG that ends early', picture: () => jpegOf(300, 300).subarray(0, 2_000) },
  { what: 'a PNG that ends early', picture: () => pngOf(300, 300).subarray(0, 200) },
  { what: 'a PNG of 400 megapixels', picture: () => withSize(pngOf(300, 300), 20_000) },
  { what: 'a WEBP', picture: () => Buffer.from('RIFF....WEBPVP8 ') },
])('no clip is made of $what', async ({ picture }) => {
  const options = { width: 320, height: 180, durationSeconds: 2, audio: false, direction: 0 };
  await expect(makePictureClip(picture(), options)).rejects.toThrow();
});

function withSize(png: Buffer, side: number): Buffer {
  const changed = Buffer.from(png);
  changed.writeUInt32BE(side, 16);
  changed.writeUInt32BE(side, 20);
  return changed;
}

describe.skipIf(!decoder)('an emulator that shows pictures', () => {
  let emulator: EmulatorProcess;
  beforeAll(async () => {
    const settings = { clip: 'picture', speed: 1000, submit_rate: 0, query_rate: 0 } as const;
    emulator = await startEmulatorProcess(join(folder, 'state', 'emulator.json'), settings);
  });
  afterAll(() => emulator?.kill());

  const calls = () => ({ origin: emulator.origin, baseUrl: emulator.baseUrl }) as Emulator;

  async function result(img_url: string, parameters: object = {}, headers: Record<string, string> = {}) {
    const { body } = await submit(calls(), { img_url }, { audio: false, ...parameters }, { headers });
    const id = body.output.task_id;
    await expect
      .poll(async () => (await call(calls(), `/tasks/${id}`)).body.output.task_status, { timeout: 10_000 })
      .toBe('SUCCEEDED');
    return { id, url: (await call(calls(), `/tasks/${id}`)).body.output.video_url as string };
  }
  const download = async (url: string) => new Uint8Array(await (await fetch(url)).arrayBuffer());
  const dataUri = (bytes: Buffer, type = 'png') => `data:image/${type};base64,${bytes.toString('base64')}`;

  test('shows a picture from a data URI, and still does after it was killed', async () => {
    const still = pngOf(640, 360);
    const { url } = await result(dataUri(still));
    const clip = await download(url);
    expect(await compared(clip, still, 1280, 720, 0)).toBeLessThan(3);
    await emulator.kill();
    await emulator.start();
    expect(Buffer.from(await download(url)).equals(Buffer.from(clip))).toBe(true);
  });

  test('shows an uploaded picture, and one behind an address', async () => {
    const still = jpegOf(640, 360);
    const { data } = (await call(calls(), `/uploads?action=getPolicy&model=${MODEL}`)).body;
    const form = new FormData();
    const fields = {
      OSSAccessKeyId: data.oss_access_key_id,
      Signature: data.signature,
      policy: data.policy,
      key: `${data.upload_dir}/a.jpg`,
      success_action_status: '200',
    };
    for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
    form.append('file', new Blob([still]), 'a.jpg');
    expect((await fetch(data.upload_host, { method: 'POST', body: form })).status).toBe(200);
    const oss = await result(`oss://${fields.key}`, {}, { 'x-dashscope-ossresourceresolve': 'enable' });

    const server = createServer((_request, response) => response.end(still)).listen(0, '127.0.0.1');
    try {
      await new Promise((listening) => server.once('listening', listening));
      const { port } = server.address() as AddressInfo;
      const http = await result(`http://127.0.0.1:${port}/a.jpg`);
      for (const { url } of [oss, http])
        expect(await compared(await download(url), still, 1280, 720, 0)).toBeLessThan(3);
    } finally {
      server.close();
    }
  });

  test('gives the plain clip for a damaged picture and for one that cannot be fetched', async () => {
    const plain = async (id: string) => {
      const task = (await emulator.state()).tasks.find(({ task_id }) => task_id === id);
      return { picture: task?.picture };
    };
    const damaged = await result(dataUri(pngOf(640, 360).subarray(0, 500)));
    expect((await plain(damaged.id)).picture).toMatch(/^[0-9a-f]{64}$/);
    const unreachable = await result('http://127.0.0.1:9/a.jpg');
    expect(await plain(unreachable.id)).toEqual({ picture: null });
    for (const { url } of [damaged, unreachable]) expect((await download(url)).length).toBeGreaterThan(10_000);
  });
});
