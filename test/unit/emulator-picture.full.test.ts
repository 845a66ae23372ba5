import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Emulator } from '../../src/emulator/index.js';
import { beginsWithAndMoves, differenceOf, jpegOf, pngOf } from '../support/clip-pictures.js';
import { call, MODEL, submit } from '../support/emulator-calls.js';
import { startEmulatorProcess } from '../support/emulator-process.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
import { dataUri, download, type PictureEmulator, startPictureEmulator } from '../support/picture-emulator.js';
import { ROOT } from '../support/root.js';

const decoder = hasFfmpeg('the picture in the emulator’s clips');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-picture-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.skipIf(!decoder).each([
  {
    what: 'a JPEG in the video’s shape',
    picture: () => readFile(join(ROOT, 'assets', 'sample.jpg')),
    at: [1280, 720],
  },
  { what: 'a PNG much larger than the video', picture: async () => pngOf(1200, 676), at: [320, 180] },
])('a clip of a picture begins with $what and moves', async ({ picture, at: [width = 0, height = 0] }) =>
  beginsWithAndMoves(await picture(), width, height, folder),
);

describe.skipIf(!decoder)('an emulator that shows pictures', () => {
  let emulator: PictureEmulator;
  beforeAll(async () => {
    emulator = await startPictureEmulator(join(folder, 'state', 'emulator.json'));
  });
  afterAll(() => emulator?.process.kill());

  const differenceAtStart = (clip: Uint8Array, picture: Uint8Array) =>
    differenceOf({ clip, picture, width: 1280, height: 720, frame: 0 }, folder);

  test('shows a picture from a data URI, and still does after it was killed', async () => {
    const still = pngOf(640, 360);
    const { url } = await emulator.result(dataUri(still));
    const clip = await download(url);
    expect(await differenceAtStart(clip, still)).toBeLessThan(3);
    await emulator.process.kill();
    await emulator.process.start();
    expect(Buffer.from(await download(url)).equals(Buffer.from(clip))).toBe(true);
  });

  test('shows an uploaded picture, and one behind an address', async () => {
    const still = await jpegOf(640, 360);
    const { data } = (await call(emulator.calls(), `/uploads?action=getPolicy&model=${MODEL}`)).body;
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
    const oss = await emulator.result(`oss://${fields.key}`, {}, { 'x-dashscope-ossresourceresolve': 'enable' });

    const server = createServer((_request, response) => response.end(still)).listen(0, '127.0.0.1');
    try {
      await new Promise((listening) => server.once('listening', listening));
      const { port } = server.address() as AddressInfo;
      const http = await emulator.result(`http://127.0.0.1:${port}/a.jpg`);
      for (const { url } of [oss, http]) expect(await differenceAtStart(await download(url), still)).toBeLessThan(3);
    } finally {
      server.close();
    }
  });
});

test('the emulator goes on answering while it makes a long clip of a picture', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-picture-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const settings = { clip: 'picture', speed: 1000 } as const;
  const emulator = await startEmulatorProcess(join(folder, 'emulator.json'), settings);
  onTestFinished(() => emulator.kill());
  const calls = { origin: emulator.origin, baseUrl: emulator.baseUrl } as Emulator;

  const picture = pngOf(640, 360).toString('base64');
  const input = { img_url: `data:image/png;base64,${picture}` };
  const { body } = await submit(calls, input, { resolution: '1080P', duration: 15, audio: false });
  const query = async () => (await call(calls, `/tasks/${body.output.task_id}`)).body.output;
  await expect.poll(async () => (await query()).task_status, { interval: 200, timeout: 10_000 }).toBe('SUCCEEDED');

  let done = false;
  const clip = fetch((await query()).video_url, { method: 'HEAD' }).finally(() => {
    done = true;
  });
  let slowest = 0;
  let asked = 0;
  while (!done) {
    const start = performance.now();
    await fetch(`${emulator.origin}/_emulator/health`);
    slowest = Math.max(slowest, performance.now() - start);
    asked++;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect((await clip).status).toBe(200);
  // Some three seconds of rendering: a server that did it itself would not have answered in between.
  expect(asked).toBeGreaterThan(10);
  expect(slowest).toBeLessThan(1_500);
});
