import { randomUUID } from 'node:crypto';
import { setTimeout as life } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_LEDGER_TIMES } from '../../src/ledger/times.js';
import { startWorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';

/** A worker lives half as long as the step has to wait: no attempt of its own could ever end. */
const WORKER_LIFE_MS = 5_000;
const TIMES = {
  ...QUICK_LEDGER,
  ledger: { ...DEFAULT_LEDGER_TIMES, ...QUICK_LEDGER.ledger, submitBoundMs: 2 * WORKER_LIFE_MS },
  heartbeatTimeoutMs: 2_000,
  heartbeatThrottleMs: 500,
};
/**
 * Each life adds some three seconds to what was waited: four for the bound, two for the listings, and some to spare.
 */
const LIVES_MAX = 12;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 40 }, worker: false });
});
afterAll(() => stack?.close());

test.each([
  ['of a task that exists finds it', { fault: 'drop-reply' }],
  ['that never arrived is sent again', { fault: 'drop-reply', when: 'before' }],
] as const)(
  'a lost submit %s although no worker lives as long as the reconciliation waits',
  async (_what, fault) => {
    const prompt = `a boat ${randomUUID()}`;
    stack.emulator.queueFaults({ on: 'submit', match: prompt, ...fault });
    const { id } = await stack.videos.start(stack.request(prompt));
    let ended = false;
    const result = stack.videos.result(id).finally(() => {
      ended = true;
    });
    result.catch(() => undefined); // awaited below
    let lives = 0;
    while (!ended && lives < LIVES_MAX) {
      const worker = await startWorkerProcess(stack, TIMES);
      lives += 1;
      await Promise.race([life(WORKER_LIFE_MS), result]);
      await worker.end('SIGKILL');
    }
    expect(ended).toBe(true);
    expect((await result).source).toBe('generated');
    expect(lives).toBeGreaterThan(2);
    expect(stack.emulator.state().tasks.filter((task) => task.prompt === prompt)).toHaveLength(1);
  },
  180_000,
);
