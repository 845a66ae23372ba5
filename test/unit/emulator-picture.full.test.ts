import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { expect, onTestFinished, test } from 'vitest';
import type { Emulator } from '../../src/emulator/index.js';
import { call, submit } from '../support/emulator-calls.js';
import { startEmulatorProcess } from '../support/emulator-process.js';

test('the emulator goes on answering while it makes a long clip of a picture', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-picture-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const settings = { clip: 'picture', speed: 1000 } as const;
  const emulator = await startEmulatorProcess(join(folder, 'emulator.json'), settings);
  onTestFinished(() => emulator.kill());
  const calls = { origin: emulator.origin, baseUrl: emulator.baseUrl } as Emulator;

  const picture = PNG.sync.write(new PNG({ width: 640, height: 360, fill: true })).toString('base64');
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
  // Some five seconds of rendering: a server that did it itself would not have answered in between.
  expect(asked).toBeGreaterThan(10);
  expect(slowest).toBeLessThan(1_500);
});
