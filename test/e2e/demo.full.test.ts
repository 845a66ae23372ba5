import { afterEach, beforeEach, expect, test } from 'vitest';
import { startEmulator } from '../../src/emulator/index.js';
import { type DemoFolder, demoFolder } from '../support/demo.js';

let demos: DemoFolder;
beforeEach(async () => {
  demos = await demoFolder();
});
afterEach(() => demos.close());

test('of two demos at once the second waits for the first and is answered from the cache', async () => {
  const first = demos.start();
  await first.says(/^Starting an embedded Temporal/m);
  const second = demos.start();
  await second.says(/^Another demo \(process \d+\) is at work; waiting/m);
  expect(await first.exit(), first.output.said).toBe(0);
  expect(await second.exit(), second.output.said).toBe(0);
  expect(second.output.printed).toContain('from the cache');
  expect((await demos.emulator()).submits).toBe(1);
});

test('a demo that is interrupted while rendering ends with 130, and the next one goes on', async () => {
  const first = demos.start();
  await first.says(/^rendering/m);
  first.process.kill('SIGINT');
  expect(await first.exit(), first.output.said).toBe(130);
  expect(first.output.said).toContain('run the demo again, and it goes on');
  const second = demos.start();
  expect(await second.exit(), second.output.said).toBe(0);
  expect(second.output.said).toContain('An interrupted generation was found');
  expect((await demos.emulator()).submits).toBe(1);
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
