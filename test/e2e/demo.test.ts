import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/config.js';
import { namespaceIdOf } from '../../src/dev/temporal-server.js';
import { type DemoFolder, demoFolder, fileOf } from '../support/demo.js';

let demos: DemoFolder;
beforeAll(async () => {
  demos = await demoFolder();
});
afterAll(() => demos?.close());

test('a demo that was killed in mid-poll goes on with the same run and the same task when it is started again', async () => {
  const first = demos.start();
  await first.says(/^rendering/m);
  process.kill(await demos.pid(), 'SIGKILL');
  expect(await first.exit()).toBe(128 + 9);
  const [before] = await demos.runs();

  const second = demos.start();
  expect(await second.exit(), second.output.said).toBe(0);
  expect(second.output.said).toContain('An interrupted generation was found; it continues in a few seconds.');
  expect(second.output.printed).toContain('measured  4 s, 30 fps, 1280x720, silent');
  expect(second.output.printed).toMatch(
    /^Web UI {4}http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows\/video%2F/m,
  );
  expect(fileOf(second.output.printed)).toContain(join(demos.folder, 'output', 'ai-video-wan-video', 'videos'));
  expect((await readFile(fileOf(second.output.printed))).subarray(4, 8).toString('latin1')).toBe('ftyp');

  const after = await demos.runs();
  expect(after.map(({ runId, status }) => [runId, status])).toEqual([[before?.runId, 'COMPLETED']]);
  // The 50 of an undisturbed run, and what the hand-over adds.
  expect(after[0]?.historyLength).toBeLessThanOrEqual(55);
  expect((await demos.emulator()).submits).toBe(1);
});

test('a second run is answered from the cache and says so', async () => {
  const again = demos.start();
  expect(await again.exit(), again.output.said).toBe(0);
  expect(again.output.printed).toContain('from the cache');
  expect((await demos.emulator()).submits).toBe(1);
});

test("what the demo bought and learned is none of wan-video dev's, whose emulator knows no such task and renders at another speed", async () => {
  const store = join(demos.folder, 'output', 'ai-video-wan-video');
  const { provider } = loadConfig(
    { DASHSCOPE_HTTP_BASE_URL: 'http://127.0.0.1:9/api/v1' }, // as dev configures itself
    { cwd: demos.folder, homeDir: demos.folder },
  );
  for (const kept of ['ledger', 'cache', 'stats']) {
    const accounts = await readdir(join(store, kept, provider.providerId));
    expect(accounts, kept).toHaveLength(1);
    expect(accounts, kept).not.toContain(provider.account);
  }
});

test('--stop ends the Temporal that stayed up', async () => {
  const address = await demos.address();
  await namespaceIdOf(address);
  const stop = demos.start(['--stop']);
  expect(await stop.exit(), stop.output.said).toBe(0);
  await expect(namespaceIdOf(address)).rejects.toThrow();
});

test.each([
  {
    args: ['--live'],
    over: {},
    code: 2,
    says: /4 × |not known here[\s\S]*give --yes to buy/,
    why: 'no terminal to ask on',
  },
  {
    args: ['--live', '--yes'],
    over: { DASHSCOPE_API_KEY: '', HOME: '/nonexistent' },
    code: 3,
    says: /DASHSCOPE_API_KEY/,
    why: 'no key is configured',
  },
  {
    args: ['--live', '--lost-reply'],
    over: {},
    code: 2,
    says: /leave out --live/,
    why: 'no reply of the provider is lost',
  },
  {
    args: ['--image', 'none.jpg'],
    over: {},
    code: 2,
    says: /^There is no picture at \S+none\.jpg; give --image [^\n]*\n$/,
    why: 'there is no picture, which is said once',
  },
  { args: ['--image'], over: {}, code: 2, says: /--keep-open/, why: 'an option lacks its value' },
])('a demo with $args ends with exit code $code because $why', async ({ args, over, code, says }) => {
  const refused = demos.start(args, over);
  expect(await refused.exit()).toBe(code);
  expect(refused.output.said).toMatch(says);
});
