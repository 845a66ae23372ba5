import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stageImage } from '../../src/media/stage-image.js';
import { writeTestImage } from '../support/images.js';
import { startWorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 15 }, worker: false });
});
afterAll(() => stack?.close());

// The hand-over after a kill waits for these: shortened, because what is tested is what the two logs say.
// Every step has its own stage, which the log shows.
const times = { ...QUICK_LEDGER, heartbeatTimeoutMs: 2_000, heartbeatThrottleMs: 500, nextStepMs: 1 };

/** The transitions in a worker's log. */
function transitions(log: string): { id: string; transition: string; taskId: unknown }[] {
  return log
    .split('\n')
    .filter((line) => line.includes('"msg":"stage '))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .map(({ workflowId, stage, attempt, taskId }) => ({
      id: String(workflowId),
      transition: `${stage} ${attempt}`,
      taskId,
    }));
}

test('a worker that takes over what a killed one had logs only what happens from then on, also of a parked run', async () => {
  const logs = ['', ''] as [string, string];
  const start = (at: 0 | 1) =>
    startWorkerProcess(stack, times, {
      env: { LOG_LEVEL: 'info', LOG_FORMAT: 'json' },
      onLog: (text) => {
        logs[at] += text;
      },
    });
  const first = await start(0);
  const file = join(stack.outputDir, 'other.bmp');
  await writeTestImage(file, { width: 1280, height: 720 });
  const otherImage = `asset:${(await stageImage(file, stack.store)).asset.key}`;
  const reaches = (id: string, stage: string) =>
    expect.poll(async () => (await stack.videos.progress(id)).stage, { timeout: 60_000, interval: 200 }).toBe(stage);

  // Two lost replies to one prompt with images of one shape: only a person can distinguish their tasks.
  stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: 'parked', times: 2 });
  const parked = await Promise.all(
    [stack.image, otherImage].map(async (reference_image) => {
      const { id } = await stack.videos.start({ ...stack.request('parked'), reference_image });
      return id;
    }),
  );
  await Promise.all(parked.map((id) => reaches(id, 'needs_attention')));
  const { id: killed } = await stack.videos.start(stack.request('killed in mid-render'));
  // The log says it a moment after the query does.
  const isLogged = () => transitions(logs[0]).some((line) => line.id === killed && line.transition === 'rendering 1');
  await expect.poll(isLogged, { timeout: 60_000, interval: 50 }).toBe(true);
  await first.end('SIGKILL');

  const second = await start(1);
  const tasks = stack.emulator.state().tasks.filter(({ prompt }) => prompt === 'parked');
  // Until Temporal gives up on the killed worker nobody answers the client, and the decision may be taken later.
  const stageAfter = async (id: string, task_id: string) => {
    await stack.videos.resolve(id, { task_id }).catch(() => undefined);
    return (await stack.videos.progress(id).catch(() => undefined))?.stage ?? 'needs_attention';
  };
  for (const [at, id] of parked.entries()) {
    const stage = () => stageAfter(id, tasks[at]?.task_id ?? '');
    await expect.poll(stage, { timeout: 60_000, interval: 500 }).not.toBe('needs_attention');
  }
  const results = await Promise.all([...parked, killed].map((id) => stack.videos.result(id)));
  await second.end('SIGTERM');

  const [before, after] = logs.map(transitions) as [ReturnType<typeof transitions>, ReturnType<typeof transitions>];
  const of = (id: string, lines: ReturnType<typeof transitions>) =>
    lines.filter((line) => line.id === id).map(({ transition }) => transition);
  for (const [at, id] of [...parked, killed].entries()) {
    const lines = [...of(id, before), ...of(id, after)];
    expect(new Set(lines).size, `${lines}`).toBe(lines.length);
    expect(lines.at(-1)).toBe('done 1');
    expect(of(id, after)).not.toContain('preparing 1');
    const done = after.find((line) => line.id === id && line.transition === 'done 1');
    expect(done?.taskId).toBe(results[at]?.task_id);
  }
  for (const id of parked) {
    expect(of(id, before)).toEqual(expect.arrayContaining(['reconciling 1', 'needs_attention 1']));
    expect(of(id, after).at(-2)).toBe('archiving 1');
  }
  expect(of(killed, before).at(-1)).toBe('rendering 1');
  expect(of(killed, after)).toEqual(['archiving 1', 'done 1']);
  expect(`${logs}`).not.toMatch(/killed in mid-render|"prompt"/); // what callers wrote is not logged
});
