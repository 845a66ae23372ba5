import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stageImage } from '../../src/media/stage-image.js';
import { writeTestImage } from '../support/images.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
let otherImage = '';
beforeAll(async () => {
  stack = await startStack({
    settings: { speed: 40 },
    times: { ...QUICK_LEDGER, unknownForMs: 1_000, parkedRetryMs: 2_000 },
  });
  const file = join(stack.outputDir, 'other.bmp');
  await writeTestImage(file, { width: 1280, height: 720 });
  otherImage = `asset:${(await stageImage(file, stack.store)).asset.key}`;
});
afterAll(() => stack?.close());

const reaches = (id: string, stage: string) =>
  expect.poll(async () => (await stack.videos.progress(id)).stage, { timeout: 40_000, interval: 200 }).toBe(stage);
const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);

/**
 * Two runs with one prompt and two images of one shape, whose replies are both lost: nothing distinguishes their tasks.
 */
async function twins(): Promise<{ prompt: string; ids: [string, string] }> {
  const prompt = `twins ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt, times: 2 });
  const [a, b] = await Promise.all(
    [stack.image, otherImage].map((reference_image) =>
      stack.videos.start({ ...stack.request(prompt), reference_image }),
    ),
  );
  const ids: [string, string] = [a?.id ?? '', b?.id ?? ''];
  await Promise.all(ids.map((id) => reaches(id, 'needs_attention')));
  expect(tasksOf(prompt)).toHaveLength(2);
  return { prompt, ids };
}

/** Every value that `VideoOutcome` has had, in order. */
async function outcomesOf(id: string): Promise<(string | undefined)[]> {
  const { events } = await stack.client.workflow.getHandle(id).fetchHistory();
  return (events ?? []).flatMap((event) => {
    const { searchAttributes } =
      event.workflowExecutionStartedEventAttributes ?? event.upsertWorkflowSearchAttributesEventAttributes ?? {};
    const data = searchAttributes?.indexedFields?.['VideoOutcome']?.data;
    return data == null ? [] : [[JSON.parse(Buffer.from(data).toString())].flat()[0] as string];
  });
}

describe('two lost replies that nothing distinguishes', () => {
  test('park both runs with the evidence, and a person gives each its task', async () => {
    const { prompt, ids } = await twins();
    const [one, two] = tasksOf(prompt);
    const { attention } = await stack.videos.progress(ids[0]);
    expect(attention?.candidates.map(({ task_id }) => task_id).sort()).toEqual([one?.task_id, two?.task_id].sort());
    for (const { archived } of attention?.candidates ?? []) {
      expect(await stack.store.head(archived ?? '')).toBeDefined();
    }
    expect(await outcomesOf(ids[0])).toEqual(['running', 'needs_attention']);
    await stack.videos.resolve(ids[0], { task_id: two?.task_id ?? '' });
    expect((await stack.videos.result(ids[0])).task_id).toBe(two?.task_id);
    // Decided, it goes on: nobody is called for it any more while it renders.
    expect(await outcomesOf(ids[0])).toEqual(['running', 'needs_attention', 'running', 'generated']);

    // The same task for the other run is refused, visibly, and the run stays parked.
    const refused = /belongs to another purchase/;
    await expect(stack.videos.resolve(ids[1], { task_id: two?.task_id ?? '' })).rejects.toMatchObject({
      error: { type: 'MessageRefused', message: expect.stringMatching(refused) },
    });
    expect((await stack.videos.progress(ids[1])).attention?.refused).toMatch(refused);
    const decision = { task_id: one?.task_id ?? '' };
    expect(await stack.videos.resolve(ids[1], decision)).toEqual({ decision, task_id: one?.task_id });
    expect((await stack.videos.result(ids[1])).task_id).toBe(one?.task_id);
    // A refused decision, and another look, ask the same again.
    expect(await outcomesOf(ids[1])).toEqual(['running', 'needs_attention', 'running', 'generated']);
    expect(tasksOf(prompt)).toHaveLength(2);
  });

  test('are decided also after the provider has forgotten the tasks, from the copies that were kept', async () => {
    const { prompt, ids } = await twins();
    const [one] = tasksOf(prompt);
    stack.emulator.changeSettings({ time_offset_ms: 25 * 3_600_000 });
    try {
      await stack.videos.resolve(ids[0], { task_id: one?.task_id ?? '' });
      const result = await stack.videos.result(ids[0]);
      expect(result.task_id).toBe(one?.task_id);
      expect((await readFile(new URL(result.video_url))).length).toBe(result.bytes);
    } finally {
      stack.emulator.changeSettings({ time_offset_ms: 0 });
    }
    await stack.videos.resolve(ids[1], { buy_again: true });
    const again = await stack.videos.result(ids[1]);
    expect(again.source).toBe('generated');
    expect(tasksOf(prompt)).toHaveLength(3);
  });

  test('buy nothing for a decision that says nothing, and nothing for one without a question', async () => {
    const { prompt, ids } = await twins();
    for (const nothing of [{}, { taskId: 'x' }, { buy_again: false }, null, { task_id: 5 }]) {
      await stack.client.workflow.getHandle(ids[0]).signal('resolveSubmit', nothing);
    }
    await expect
      .poll(async () => (await stack.videos.progress(ids[0])).attention?.refused ?? '', { timeout: 20_000 })
      .toMatch(/names no task/);
    expect(tasksOf(prompt)).toHaveLength(2);
    // A double click: the second answers a question that was never asked.
    const clicks = await Promise.allSettled([1, 2].map(() => stack.videos.resolve(ids[0], { buy_again: true })));
    expect(clicks.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await stack.videos.result(ids[0]);
    expect(tasksOf(prompt)).toHaveLength(3);
    await stack.videos.cancel(ids[1]);
  });

  test('are cancelled like any other run; the salvage stays parked in its place', async () => {
    const { ids } = await twins();
    await stack.videos.cancel(ids[0], 'not needed');
    await expect(stack.videos.result(ids[0])).rejects.toMatchObject({ cancelled: true });
    const { cancel } = await stack.videos.progress(ids[0]);
    const salvage = /salvage\/\S+/.exec(cancel?.outcome ?? '')?.[0] ?? '';
    await reaches(salvage, 'needs_attention');
    await stack.videos.resolve(salvage, { buy_again: true });
    await reaches(salvage, 'done');
  });
});

test('a run that parked because the task list was refused goes on by itself once it is shown', async () => {
  const prompt = `refused list ${randomUUID()}`;
  stack.emulator.changeSettings({ list_refused: true });
  try {
    stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });
    const { id } = await stack.videos.start(stack.request(prompt));
    await reaches(id, 'needs_attention');
    stack.emulator.changeSettings({ list_refused: false });
    expect((await stack.videos.result(id)).task_id).toBe(tasksOf(prompt)[0]?.task_id);
    expect(tasksOf(prompt)).toHaveLength(1);
  } finally {
    stack.emulator.changeSettings({ list_refused: false });
  }
});

test('a damaged ledger record is refused by name; nothing is bought and nothing is overwritten', async () => {
  const prompt = `damaged ${randomUUID()}`;
  await stack.videos.generate(stack.request(prompt));
  const keys: string[] = [];
  for await (const { key } of stack.store.list('ledger/emulator/default/purchases/')) keys.push(key);
  const bodies = await Promise.all(keys.map(async (key) => [key, await text(key)] as const));
  const [intent] = bodies.find(([key, body]) => key.endsWith('intent.json') && body.includes(prompt)) ?? [''];
  await stack.store.put(intent, Buffer.from('{"v":1,"kind":"intent"'));
  const { submits } = stack.emulator.state();
  const error = await stack.videos.generate({ ...stack.request(prompt), cache: 'refresh' }).catch((e: unknown) => e);
  expect(error).toMatchObject({ error: { type: 'RecordDamaged' } });
  expect((error as Error).message).toContain(intent);
  expect(await text(intent)).toBe('{"v":1,"kind":"intent"');
  expect(stack.emulator.state().submits).toBe(submits);
});

async function text(key: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await stack.store.get(key)) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks).toString();
}
