import { expect, onTestFinished, test } from 'vitest';
import { startAccounts } from '../support/account.js';
import { startWorkerProcess } from '../support/processes.js';

test('killing the worker process that runs the slots changes nothing in who is submitted when', async () => {
  const accounts = await startAccounts(50);
  onTestFinished(() => accounts.close());
  const { stack } = accounts;
  const one = accounts.account(2, { heartbeatTimeoutMs: 2_000, heartbeatThrottleMs: 500 });
  const env = { ...stack.env, WAN_VIDEO_ACCOUNT: one.name, WAN_VIDEO_TASK_QUEUE: one.name, WAN_VIDEO_MAX_RUNNING: '2' };
  const start = () => startWorkerProcess({ ...stack, env }, one.config.times);
  const counts = async () => {
    const { holders, waiting } = await one.slots();
    return [holders.length, waiting.length];
  };
  const killed = await start();
  stack.emulator.changeSettings({ slots: 0 }); // what is submitted stays at the provider
  const ids = await Promise.all([1, 2, 3, 4, 5].map((at) => one.start(`item ${at}`)));
  await expect.poll(counts, { timeout: 45_000, interval: 50 }).toEqual([2, 3]);
  // Only this one has polled so far: it runs the slots.
  const survivor = await start();
  await killed.end('SIGKILL');
  stack.emulator.changeSettings({ slots: 5 });
  try {
    await Promise.all(ids.map((id) => one.videos.result(id)));
    expect(one.submits()).toHaveLength(5);
    expect(one.mostAtOnce()).toBe(2);
  } finally {
    await survivor.end('SIGTERM');
  }
});
