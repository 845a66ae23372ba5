import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { serveResults } from '../support/hostile-results.js';
import { HOSTILE_SERVERS, startHostileServer } from '../support/hostile-servers.js';
import { writeMp4 } from '../support/mp4-writer.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { servedSha256 } from '../support/served-video.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    settings: { speed: 100 },
    times: {
      ...QUICK_LEDGER,
      downloadIdleMs: 500,
      archiveLateMs: 300,
      archiveAlarmMs: 1_500,
      retryMaximumMs: 300,
      rejectEveryMs: 0,
    },
  });
});
afterAll(() => stack?.close());

const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
const keysUnder = async (prefix: string) => {
  const keys: string[] = [];
  for await (const { key } of stack.store.list(prefix)) keys.push(key);
  return keys;
};

test.each(['truncate', 'reset', 'stall'] as const)(
  'a download that ends in the middle (%s) is continued, and the archived bytes are the provider’s',
  async (fault) => {
    const prompt = `${fault} ${randomUUID()}`;
    const when = fault === 'reset' ? ({ when: 'midway' } as const) : {};
    stack.emulator.queueFaults({ on: 'download', match: prompt, fault, ...when, times: 2 });
    const result = await stack.videos.generate(stack.request(prompt));
    expect(result.sha256).toBe(await servedSha256(stack.emulator, result.task_id));
    expect(tasksOf(prompt)).toHaveLength(1);
  },
);

test('a link that leads to an error page for a while loses no video', async () => {
  const prompt = `an error page ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'download', match: prompt, fault: 'not-mp4', times: 5 });
  const result = await stack.videos.generate(stack.request(prompt));
  expect(result.sha256).toBe(await servedSha256(stack.emulator, result.task_id));
  expect(tasksOf(prompt)).toHaveLength(1);
});

test.each([4096, 0])(
  'a result that is no playable MP4 (after %i bytes) never becomes visible, and is kept aside with its task id',
  async (keep_bytes) => {
    const prompt = `no video after ${keep_bytes} bytes ${randomUUID()}`;
    stack.emulator.queueFaults({ on: 'download', match: prompt, fault: 'zero-fill', keep_bytes, times: 3 });
    const error = await stack.videos.generate(stack.request(prompt)).catch((e: unknown) => e);
    const taskId = tasksOf(prompt)[0]?.task_id ?? '';
    expect(error).toMatchObject({ error: { type: 'ResultRejected', task_id: taskId, billed: true } });
    expect(error).toMatchObject({ error: { next_step: expect.stringContaining(`rejected/${taskId}.bin`) } });
    expect(await keysUnder('rejected/')).toContain(`rejected/${taskId}.bin`);
    expect(await keysUnder('videos/')).not.toContain(`videos/${taskId}.mp4`);
    // Its purchase is closed, so nobody follows it for ever; and nothing is bought again by itself.
    await expect(stack.videos.generate(stack.request(prompt))).rejects.toMatchObject({
      error: { type: 'ResultRejected', billed: false, next_step: expect.stringContaining('cache "refresh"') },
    });
    expect(tasksOf(prompt)).toHaveLength(1);
  },
);

test('a result that the provider has cut off is archived as it came', async () => {
  const prompt = `cut off ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'download', match: prompt, fault: 'patch', keep_bytes: 200_000, times: null });
  const result = await stack.videos.generate(stack.request(prompt));
  expect(result.bytes).toBe(200_000);
  expect(result.warnings.map(({ code }) => code)).toContain('unverified');
  expect(tasksOf(prompt)).toHaveLength(1);
  stack.emulator.clearFaults();
});

test.each([
  [
    'an edit list that trims',
    writeMp4({ frames: 150, edits: [{ duration: 4300, mediaTime: 0.7 * 15_360 }] }),
    { duration: 4.3, fps: 30 },
  ],
  ['its first fragment in the index', writeMp4({ layout: 'partial' }), { duration: 2, fps: 30 }],
])('a result with %s is archived as it came, with the figures that a player shows', async (kind, file, figures) => {
  const prompt = `${kind} ${randomUUID()}`;
  const { urlOf, close } = await serveResults({ file });
  onTestFinished(close);
  const changes = [{ kind: 'set' as const, path: 'output.video_url', value: urlOf('file') }];
  stack.emulator.queueFaults({ on: 'query', match: prompt, fault: 'drift', changes, times: null });
  const result = await stack.videos.generate(stack.request(prompt));
  stack.emulator.clearFaults();
  expect(result).toMatchObject({ ...figures, source: 'generated', bytes: file.length });
  expect(result.sha256).toBe(createHash('sha256').update(file).digest('hex'));
  expect(result.warnings.map(({ code }) => code)).not.toContain('unverified');
  expect(tasksOf(prompt)).toHaveLength(1);
});

test('a link that ran out is fetched again', async () => {
  const prompt = `expired ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'download', match: prompt, fault: 'expired' });
  expect((await stack.videos.generate(stack.request(prompt))).source).toBe('generated');
});

test('links that run out again and again are fetched until one holds, while the provider shows a result', async () => {
  const prompt = `expired five times ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'download', match: prompt, fault: 'expired', times: 5 });
  expect((await stack.videos.generate(stack.request(prompt))).source).toBe('generated');
  expect(tasksOf(prompt)).toHaveLength(1);
});

test('a result that was damaged on its way once is downloaded again', async () => {
  const prompt = `damaged once ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'download', match: prompt, fault: 'zero-fill', keep_bytes: 4096 });
  const result = await stack.videos.generate(stack.request(prompt));
  expect(result.sha256).toBe(await servedSha256(stack.emulator, result.task_id));
  expect(tasksOf(prompt)).toHaveLength(1);
});

test('a result that stays out of reach is a person’s, while it is tried further, and nothing is bought', async () => {
  const prompt = `refused link ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'download', match: prompt, fault: 'status', status: 451, times: null });
  const { id } = await stack.videos.start(stack.request(prompt));
  const seen = expect.poll(async () => stack.videos.progress(id), { timeout: 30_000, interval: 20 });
  await seen.toMatchObject({
    stage: 'archiving',
    waiting_for: expect.stringMatching(/is late and is tried again: .*451/),
  });
  await seen.toMatchObject({ stage: 'needs_attention', attention: { cause: 'ResultUnreachable' } });
  stack.emulator.clearFaults();
  expect((await stack.videos.result(id)).sha256).toBe(
    await servedSha256(stack.emulator, tasksOf(prompt)[0]?.task_id ?? ''),
  );
  expect(tasksOf(prompt)).toHaveLength(1);
});

test('results that come a byte at a time keep no place, are retried, and hinder no other', async () => {
  const prompts = Array.from({ length: 5 }, (_, n) => `drip ${n} ${randomUUID()}`);
  const lived: number[] = [];
  const drip = await startHostileServer((socket) => {
    const sinceMs = performance.now();
    HOSTILE_SERVERS['sends a byte at a time']?.(socket);
    socket.once('close', () => lived.push(performance.now() - sinceMs));
  });
  onTestFinished(drip.close);
  const changes = [{ kind: 'set' as const, path: 'output.video_url', value: `${drip.url}/a.mp4` }];
  for (const match of prompts) stack.emulator.queueFaults({ on: 'query', match, fault: 'drift', changes, times: null });
  const runs = await Promise.all(prompts.map((prompt) => stack.videos.start(stack.request(prompt))));
  const good = `next to drips ${randomUUID()}`;
  const shown = async ({ id }: { readonly id: string }) => JSON.stringify(await stack.videos.progress(id));
  // First it is late, then it is a person's; both say why.
  for (const run of runs)
    await expect.poll(() => shown(run), { interval: 50 }).toMatch(/is too slow: less than \w+ bytes came in 0.5 s/);
  // Each was given up and tried again by then, and the purchase is open.
  expect(lived.length).toBeGreaterThanOrEqual(prompts.length);
  const result = await stack.videos.generate(stack.request(good));
  expect(result.sha256).toBe(await servedSha256(stack.emulator, result.task_id));
  expect(result.timings.archived).toBeLessThan(5);
  stack.emulator.clearFaults();
  for (const [n, { id }] of runs.entries()) {
    const { task_id, sha256 } = await stack.videos.result(id);
    expect(sha256).toBe(await servedSha256(stack.emulator, task_id));
    expect(tasksOf(prompts[n] ?? '')).toHaveLength(1);
  }
  // Half a second each; the machine may be busy.
  expect(Math.max(...lived)).toBeLessThan(10_000);
});
