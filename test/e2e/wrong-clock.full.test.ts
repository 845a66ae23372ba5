import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { WanVideoClient } from '../../src/client/video-client.js';
import { freePort } from '../../src/dev/temporal-server.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { type Stack, startStack } from '../support/stack.js';
import { livenessFault, startWorkerCommand } from '../support/worker-command.js';

// The shipped worker on a machine whose clock is wrong, next to one whose clock is right.

const HOUR = 3_600_000;
const missing = s3ServerMissing();
const before = { ...process.env };
let s3: S3Server;
let stack: Stack;
beforeAll(async () => {
  if (missing !== undefined) return;
  s3 = await startS3Server();
  Object.assign(process.env, s3.env);
  const env = { ...s3.env, ASSET_STORE: `s3://${await s3.newBucket()}/store` };
  stack = await startStack({ settings: { speed: 60 }, worker: false, env });
});
afterAll(async () => {
  await stack?.close();
  await s3?.close();
  process.env = before;
});

test.skipIf(missing !== undefined).each([
  [3, { DASHSCOPE_HTTP_BASE_URL: '' }, /^wan-video: .*clock is 10[78]\d\d s ahead of the provider's/m],
  [-3, { DASHSCOPE_HTTP_BASE_URL: '' }, /^wan-video: .*clock is 10[78]\d\d s behind the provider's/m],
  // Nobody answers there: the store's clock is left.
  [
    3,
    { DASHSCOPE_HTTP_BASE_URL: 'http://127.0.0.1:9/api/v1' },
    /^wan-video: .*clock is 10[78]\d\d s ahead of the asset store's/m,
  ],
])(
  'a worker whose clock is %d hours wrong ends at its start with the reason',
  { timeout: 120_000 },
  async (hours, env, says) => {
    const changed = env.DASHSCOPE_HTTP_BASE_URL === '' ? {} : env;
    const { ended, out } = startWorkerCommand(stack, { env: changed, clocks: { startMs: hours * HOUR } });
    expect(await ended).toEqual({ code: 3, signal: null });
    expect(out.stderr).toMatch(says);
    expect(out.stderr).toContain('preferably by NTP');
    expect(out.stdout).toBe('');
  },
);

test.skipIf(missing !== undefined)(
  'a worker whose clock jumps by three hours takes no task of another run, and ends once its servers have shown it',
  { timeout: 500_000 },
  async () => {
    const port = await freePort();
    const right = startWorkerCommand(stack);
    // A queue of its own: which worker submits what is then certain. Account and ledger are the same.
    const queue = { WAN_VIDEO_TASK_QUEUE: 'skewed' };
    const skewed = startWorkerCommand(stack, {
      env: { ...queue, WAN_VIDEO_METRICS: `127.0.0.1:${port}` },
      clocks: { laterMs: 3 * HOUR },
    });
    await Promise.all([right.ready, skewed.ready]);
    skewed.child.kill('SIGHUP');
    const theirs = new WanVideoClient({ client: stack.client, taskQueue: 'skewed-generate' });

    // Both replies are lost. Only the second submit created a task, with the prompt of both.
    const prompt = `lost twice ${randomUUID()}`;
    const { submits } = stack.emulator.state();
    stack.emulator.queueFaults([
      { on: 'submit', fault: 'reset', match: prompt },
      { on: 'submit', fault: 'drop-reply', match: prompt },
    ]);
    const mine = await stack.videos.start({ ...stack.request(prompt), seed: 1 });
    await expect.poll(() => stack.emulator.state().submits, { timeout: 60_000 }).toBe(submits + 1);
    expect(stack.emulator.state().tasks).toEqual([]);
    const other = await theirs.start({ ...stack.request(prompt), seed: 2 });
    await expect.poll(() => stack.emulator.state().tasks.length, { timeout: 60_000 }).toBe(1);
    const taskId = stack.emulator.state().tasks[0]?.task_id ?? '';

    const fault = /clock is 10[78]\d\d s ahead of (the asset store|Temporal)'s/;
    expect(await livenessFault(`127.0.0.1:${port}`, skewed)).toMatch(fault);
    expect(await skewed.ended).toEqual({ code: 3, signal: null });
    expect(skewed.lastWords()).toMatch(/clock is 10[78]\d\d s ahead of/);
    expect(right.child.exitCode).toBeNull();

    // Somebody starts it again with the right time. Neither run takes the task: it fits both purchases.
    await startWorkerCommand(stack, { env: queue }).ready;
    for (const [videos, { id }] of [
      [stack.videos, mine],
      [theirs, other],
    ] as const) {
      await expect
        .poll(() => videos.progress(id), { timeout: 240_000, interval: 1_000 })
        .toMatchObject({ stage: 'needs_attention', attention: { candidates: [{ task_id: taskId }] } });
    }
    await theirs.resolve(other.id, { task_id: taskId });
    expect(await theirs.result(other.id)).toMatchObject({ task_id: taskId });
    await stack.videos.resolve(mine.id, { buy_again: true });
    expect((await stack.videos.result(mine.id)).task_id).not.toBe(taskId);
    expect(stack.emulator.state().tasks).toHaveLength(2);
  },
);

test('with a local store and no work, Temporal alone shows a worker that its clock is behind, and it ends', {
  timeout: 400_000,
}, async () => {
  const local = await startStack({ worker: false });
  onTestFinished(() => local.close());
  const port = await freePort();
  const env = { WAN_VIDEO_METRICS: `127.0.0.1:${port}` };
  const worker = startWorkerCommand(local, { env, clocks: { laterMs: -5 * HOUR } });
  await worker.ready;
  worker.child.kill('SIGHUP');
  const fault = /clock is 1[78]\d\d\d s behind Temporal's/;
  expect(await livenessFault(`127.0.0.1:${port}`, worker)).toMatch(fault);
  expect(await worker.ended).toEqual({ code: 3, signal: null });
  expect(worker.lastWords()).toMatch(fault);
});
