import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startEmulator } from '../../src/emulator/index.js';
import { type DemoFolder, demoFolder } from '../support/demo.js';
import { ROOT } from '../support/root.js';

let demos: DemoFolder;
beforeEach(async () => {
  demos = await demoFolder();
});
afterEach(() => demos.close());

test('of two demos at once the second waits for the first and is answered from the cache', async () => {
  const first = demos.start();
  await first.says(/^Starting an embedded Temporal/m);
  const second = demos.start();
  await second.says(/^Another demo \(process \d+\) is running; waiting/m);
  expect(await first.exit(), first.output.said).toBe(0);
  expect(await second.exit(), second.output.said).toBe(0);
  expect(second.output.printed).toContain('from the cache');
  expect((await demos.emulator()).submits).toBe(1);
});

test('an own picture is taken relative to the caller, and --keep-open stays until it is interrupted', async () => {
  await copyFile(join(ROOT, 'assets', 'sample.jpg'), join(demos.folder, 'mine.jpg'));
  const own = demos.start(['--image', 'mine.jpg', '--prompt', 'clouds move', '--keep-open']);
  await own.says(/Worker and emulator run until Ctrl-C/);
  expect(own.output.printed).toContain('source    generated');
  own.process.kill('SIGINT');
  expect(await own.exit(), own.output.said).toBe(0);
});

test('a demo that is interrupted while rendering ends with 130, and the next one goes on', async () => {
  const first = demos.start();
  await first.says(/^rendering/m);
  first.process.kill('SIGINT');
  expect(await first.exit(), first.output.said).toBe(130);
  expect(first.output.said).toContain('run the demo again to continue it');
  const second = demos.start();
  expect(await second.exit(), second.output.said).toBe(0);
  expect(second.output.said).toContain('An interrupted generation was found');
  expect((await demos.emulator()).submits).toBe(1);
});

/** A lost reply is decided after a good half minute, and a busy machine compiles and renders meanwhile. */
const LOST_REPLY_MS = 240_000;

test(
  '--lost-reply shows one purchase next to two, and the emulator’s state agrees',
  async () => {
    const scene = demos.start(['--lost-reply']);
    expect(await scene.exit(), scene.output.said).toBe(0);
    expect(scene.output.printed).toMatch(/^this project +1 +4 s +CNY 0\.60$/m);
    expect(scene.output.printed).toMatch(/^simply trying again +2 +8 s +CNY 1\.20$/m);
    expect(scene.output.said).toContain('attempt 2  answered with status 200');
    const { submits, tasks } = await demos.emulator();
    expect(submits).toBe(3);
    const bought = (who: RegExp) =>
      tasks.filter(({ prompt, status }) => who.test(prompt) && status === 'SUCCEEDED').length;
    expect([bought(/with this project/), bought(/simply tried again/)]).toEqual([1, 2]);
  },
  LOST_REPLY_MS,
);

test('--lost-reply that is interrupted ends with 130, and leaves no second purchase behind', async () => {
  const scene = demos.start(['--lost-reply']);
  await scene.says(/^reconciling/m);
  scene.process.kill('SIGINT');
  expect(await scene.exit(), scene.output.said).toBe(130);
  const next = demos.start(); // its worker goes on with the interrupted run, too
  expect(await next.exit(), next.output.said).toBe(0);
  const { tasks } = await demos.emulator();
  expect(tasks.filter(({ prompt }) => prompt.includes('with this project'))).toHaveLength(1);
});

test('--live --yes buys one video at the configured provider, in a Temporal apart from the emulated demo', async () => {
  const provider = await startEmulator({ apiKeys: ['sk-mine'], settings: { speed: 50 } });
  try {
    const live = demos.start(['--live', '--yes'], {
      DASHSCOPE_HTTP_BASE_URL: provider.baseUrl,
      DASHSCOPE_API_KEY: 'sk-mine',
      ASSET_STORE: '',
    });
    expect(await live.exit(), live.output.said).toBe(0);
    expect(live.output.said).toMatch(/This buys 4 seconds of silent video at 720P[\s\S]*key from DASHSCOPE_API_KEY/);
    expect(live.output.said + live.output.printed).not.toContain('sk-mine');
    expect(provider.state()).toMatchObject({ submits: 1, billed_seconds: 4 });
    await expect(demos.address()).rejects.toThrow();
  } finally {
    await provider.close();
  }
});
