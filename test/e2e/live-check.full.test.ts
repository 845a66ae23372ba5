import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLiveTools } from '../../src/cli/doctor/open-live-tools.js';
import { Settings } from '../../src/cli/settings.js';
import { checkLive } from '../../src/live-check/live-check.js';
import type { LiveRecord } from '../../src/live-check/record.js';
import { onlyJson, startCommand } from '../support/command.js';
import { behaviourOf, EXPECTED_OF_EMULATOR, type LiveWorld, liveWorld } from '../support/live-world.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { TEST_KEY } from '../support/stack.js';

const LONG_MS = 120_000;
const paid = ({ emulator }: LiveWorld) =>
  emulator.state().tasks.filter(({ billed_seconds, source }) => source === 'api' && billed_seconds > 0);

/** The check itself, with the shortened times of buying once. */
const quickCheck = ({ emulator, folder }: LiveWorld, signal = new AbortController().signal): Promise<LiveRecord> => {
  const env = { DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl, OUTPUT_DIR: folder };
  const settings = new Settings({ env, cwd: folder, homeDir: folder });
  const config = settings.config();
  const { tools, close } = openLiveTools(
    { ...config, times: { ...config.times, ...QUICK_LEDGER } },
    { store: settings.store(), ledger: settings.ledger(), apiKey: TEST_KEY },
  );
  const ignore = () => undefined;
  const confirmPurchase = async () => true;
  return checkLive(tools, { onAnswer: ignore, say: ignore, confirmPurchase, signal }).finally(close);
};

test('a provider that behaves otherwise is recorded so, question by question', { timeout: LONG_MS }, async () => {
  const world = await liveWorld({
    validation: 'task',
    unknown_parameters: 'ignore',
    list_lag_ms: 5_000,
    list_page_max: 20,
    list_utc_offset_hours: 0,
    list_order: 'oldest',
    orig_prompt: 'truncated',
    geometry_multiple: 16,
    throttle_code: 'Throttling',
    throttle_retry_after: 3,
    api_keys: [TEST_KEY],
    body_max_bytes: 10_000_000,
  });
  world.emulator.addTask({ prompt: 'of other software', age_ms: 60_000 });
  const record = await world.check();
  expect(behaviourOf(record)).toEqual({
    ...EXPECTED_OF_EMULATOR,
    refused_key: '401 InvalidApiKey',
    list_page: '20 of 500 requested',
    missing_image: 'accepted, then FAILED InvalidParameter',
    damaged_image: 'accepted, then FAILED InvalidParameter',
    large_body: '400 BadRequest.TooLarge at the submit',
    throttle: '429 Throttling, with a Retry-After',
    rate_headers: 'retry-after',
    list_order: 'oldest first',
    list_zone: 'UTC',
    orig_prompt: 'truncated',
    multiple: '16',
  });
  expect(Number(record.answers.find(({ id }) => id === 'list_delay')?.answer)).toBeGreaterThan(1_000);
  expect(paid(world)).toHaveLength(1);
});

test('a provider that refuses what is not documented is recorded so, and nothing is bought', {
  timeout: LONG_MS,
}, async () => {
  const world = await liveWorld({ unknown_parameters: 'refuse' });
  const record = await world.check();
  expect(record.code).toBe(1);
  expect(record.purchase).toMatchObject({ outcome: 'refused', task_id: null, video_url: null });
  const { undocumented, accepted } = behaviourOf(record);
  expect({ undocumented, accepted }).toEqual({
    undocumented: 'yes: size, fps, motion_strength',
    accepted: 'no: InvalidParameter',
  });
  expect(world.emulator.state().tasks).toEqual([]);
});

test('compare finds nothing in a record of an emulator, and names each difference and the setting that mimics it', {
  timeout: LONG_MS,
}, async () => {
  const world = await liveWorld({ list_page_max: 20, throttle_code: 'Throttling' });
  const { code } = await world.check();
  expect(code).toBe(0);
  const [name = ''] = (await readdir(world.folder)).filter((file) => file.startsWith('going-live-'));
  const differs = await world.run('--compare', name, '--json');
  expect(differs.code).toBe(1);
  expect(onlyJson(differs)).toMatchObject({
    same: false,
    differences: [
      {
        id: 'list_page',
        record: '20 of 500 requested',
        emulator_says: '100 of 500 requested',
        emulator: 'list_page_max',
      },
      { id: 'throttle', emulator: 'throttle_code' },
    ],
  });
  const plain = await liveWorld();
  await plain.check();
  const [same = ''] = (await readdir(plain.folder)).filter((file) => file.startsWith('going-live-'));
  const end = await plain.run('--compare', same);
  expect(end).toMatchObject({ code: 0, stdout: 'The emulator behaves as recorded.\n' });
});

test('a second check watches the same video and buys none', { timeout: LONG_MS }, async () => {
  const world = await liveWorld();
  const first = await world.check();
  const second = await world.check();
  expect(second).toMatchObject({ code: 0, purchase: { ...first.purchase, outcome: 'found' } });
  expect(behaviourOf(first)).toMatchObject(behaviourOf(second));
  expect(world.emulator.state().tasks).toHaveLength(1);
});

test('a lost reply of the check is reconciled and not bought again', { timeout: LONG_MS }, async () => {
  const world = await liveWorld();
  world.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: 'calm lake:' });
  const record = await quickCheck(world);
  expect(record.purchase).toMatchObject({ outcome: 'bought', billed_seconds: 2, why: null });
  expect(paid(world)).toMatchObject([{ task_id: record.purchase.task_id }]);
});

test('a lost reply that nothing decides is left open; a second check buys nothing, and continues once it can', {
  timeout: LONG_MS,
}, async () => {
  const world = await liveWorld({ list_refused: true });
  world.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: 'calm lake:' });
  for (let check = 1; check <= 2; check += 1) {
    expect((await quickCheck(world)).purchase).toMatchObject({ outcome: 'undecided', task_id: null });
  }
  world.emulator.changeSettings({ list_refused: false });
  const record = await quickCheck(world);
  expect(record.purchase.video_url).toMatch(/^file:/);
  expect(paid(world)).toMatchObject([{ task_id: record.purchase.task_id }]);
});

test('a check that was killed while its video renders is continued by the next one', {
  timeout: LONG_MS,
}, async () => {
  const world = await liveWorld({ speed: 4 });
  const env = {
    DASHSCOPE_HTTP_BASE_URL: world.emulator.baseUrl,
    OUTPUT_DIR: world.folder,
    DASHSCOPE_API_KEY: TEST_KEY,
  };
  const killed = startCommand(['doctor', '--live', '--yes'], env, world.folder);
  await killed.said(/with size and fps accepted\? {2}yes/);
  killed.process.kill('SIGKILL');
  await killed.ended;
  expect(await world.records()).toEqual([]);
  const record = await world.check();
  expect(record.purchase).toMatchObject({ outcome: 'found', billed_seconds: 2 });
  expect(paid(world)).toHaveLength(1);
});

test('a day later the provider has forgotten the task, and another one is bought', { timeout: LONG_MS }, async () => {
  const world = await liveWorld();
  await quickCheck(world);
  const root = join(world.folder, 'ai-video-wan-video', 'ledger');
  for (const entry of await readdir(root, { recursive: true })) {
    if (!entry.endsWith('intent.json')) continue;
    const file = join(root, entry);
    const intent = JSON.parse(await readFile(file, 'utf8')) as { written_at_ms: number };
    await writeFile(file, JSON.stringify({ ...intent, written_at_ms: intent.written_at_ms - 25 * 3_600_000 }));
  }
  expect((await quickCheck(world)).purchase.outcome).toBe('bought');
  expect(paid(world)).toHaveLength(2);
});

test('a video made from an invalid request ends the check and is kept, and nothing else is bought', {
  timeout: LONG_MS,
}, async () => {
  const world = await liveWorld({ validation: 'task' });
  const wrong = () => world.emulator.state().tasks[0];
  const watching = quickCheck(world);
  await expect.poll(() => wrong()?.task_id, { timeout: 20_000, interval: 20 }).toBeDefined();
  world.emulator.changeTask(wrong()?.task_id ?? '', { status: 'SUCCEEDED' });
  const { purchase } = await watching;
  expect(purchase).toMatchObject({ outcome: 'unexpected', task_id: wrong()?.task_id });
  expect(purchase.why).toContain(`candidates/${purchase.task_id}.mp4`);
  expect(world.emulator.state().submits).toBe(3);
});
