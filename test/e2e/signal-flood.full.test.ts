import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PROGRESS_QUERY, SLOT_SIGNAL } from '../../src/contract/names.js';
import { timeoutsOf } from '../support/history.js';
import { jsonPayload, sendSignal } from '../support/hostile-messages.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { type Stack, startStack } from '../support/stack.js';

/** Temporal takes 10,000 signals of one run; further ones are refused. */
const SIGNALS = 10_400;
const SENDERS = 40;
const NEIGHBOURS = 5;
/** A third of the shipped times, so that a heartbeat that is five seconds late is seen. */
const TIMES = { heartbeatTimeoutMs: 10_000, heartbeatThrottleMs: 5_000 };
/** Ten thousand signals pass a server at some hundred a second, and a busy machine takes a tenth of that. */
const FLOOD_MS = 1_200_000;

let stack: Stack;
let worker: WorkerProcess;
beforeAll(async () => {
  // Nothing renders until there are slots at the provider; what is bought is watched meanwhile.
  stack = await startStack({ settings: { slots: 0 }, worker: false, env: { WAN_VIDEO_MAX_RUNNING: '20' } });
  worker = await startWorkerProcess(stack, TIMES);
});
afterAll(async () => {
  await worker?.end('SIGKILL');
  await stack?.close();
});

test(
  'a run that is sent more signals than Temporal takes ends with its video, and no heartbeat of a neighbour is late',
  async () => {
    const start = (what: string) => stack.videos.start(stack.request(`${what} ${randomUUID()}`));
    const flooded = await start('flooded');
    const neighbours = await Promise.all(Array.from({ length: NEIGHBOURS }, (_, n) => start(`neighbour ${n}`)));
    const ids = [flooded, ...neighbours].map(({ id }) => id);
    await expect.poll(() => stack.emulator.state().tasks.length, { timeout: 60_000, interval: 100 }).toBe(ids.length);
    const startedMs = performance.now();
    let sent = 0;
    let refused = 0;
    const send = async (): Promise<void> => {
      for (; sent < SIGNALS; sent += 1) {
        await sendSignal(stack.client, flooded.id, SLOT_SIGNAL, [jsonPayload('null')]).catch(() => {
          refused += 1;
        });
      }
    };
    const flood = Promise.all(Array.from({ length: SENDERS }, send));
    let isOver = false;
    void flood.finally(() => {
      isOver = true;
    });
    const answers: number[] = [];
    while (!isOver) {
      const askedMs = performance.now();
      await stack.client.workflow.getHandle(neighbours[0]?.id ?? '').query(PROGRESS_QUERY);
      answers.push(performance.now() - askedMs);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    await flood;
    const seconds = (performance.now() - startedMs) / 1000;
    const slowest = Math.max(...answers);
    process.stdout.write(`${JSON.stringify({ seconds, refused, slowest_answer_ms: slowest })}\n`);
    expect(refused).toBeGreaterThanOrEqual(SIGNALS - 10_000 - SENDERS);
    stack.emulator.changeSettings({ slots: 20 });
    for (const id of ids) expect(await stack.videos.result(id)).toMatchObject({ source: 'generated' });
    expect((await Promise.all(ids.map((id) => timeoutsOf(stack.client, id)))).flat()).toEqual([]);
    expect(stack.emulator.state().submits).toBe(ids.length);
    const { historyLength } = await stack.client.workflow.getHandle(flooded.id).describe();
    expect(historyLength).toBeLessThan(45_000);
    expect(worker.process.exitCode).toBeNull();
  },
  FLOOD_MS,
);
