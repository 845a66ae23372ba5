import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DriftChange, DriftRule } from '../../src/emulator/index.js';
import { ALL_LEDGERS } from '../../src/ledger/paths.js';
import { videoKey } from '../../src/storage/keys.js';
import { command } from '../support/command.js';
import { activitiesOf } from '../support/history.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';
import { turned } from '../unit/image-samples.js';
import { ARCHIVED, type DriftRow, FAILED, HOUR_MS, isRun, STATUS } from './drift-rows.js';

let stack: Stack;
beforeAll(async () => {
  const drift = [...ARCHIVED, ...FAILED].flatMap(({ what, drift = [] }) =>
    drift.map((rule) => ({ ...rule, match: `<${what}>` })),
  );
  stack = await startStack({
    settings: { speed: 100, slots: 20, submit_rate: 0, query_rate: 0, drift },
    times: { ...QUICK_LEDGER, unknownForMs: 2_000 },
    env: { WAN_VIDEO_MAX_RUNNING: '20' },
  });
});
afterAll(() => stack?.close());

const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);

/** Bills of a task, by the day under which they are recorded. */
async function billsOf(taskId: string): Promise<{ day: string; bill: Record<string, unknown> }[]> {
  const bills: { day: string; bill: Record<string, unknown> }[] = [];
  for await (const { key } of stack.store.list(ALL_LEDGERS)) {
    const day = /\/(\d{4}-\d\d-\d\d)\//.exec(key)?.[1];
    if (day === undefined || !key.includes(taskId)) continue;
    bills.push({ day, bill: (await json(await stack.store.get(key))) as Record<string, unknown> });
  }
  return bills;
}

function queueFaults({ what, faults = [] }: DriftRow): string {
  const prompt = `<${what}>`;
  for (const fault of faults) stack.emulator.queueFaults({ ...fault, match: prompt });
  return prompt;
}

async function expectArchived(row: DriftRow): Promise<void> {
  const { sound = false, bill = {}, warnings = [] } = row;
  const prompt = queueFaults(row);
  const result = await stack.videos.generate({ ...stack.request(prompt), audio: sound });
  const tasks = tasksOf(prompt);
  expect(tasks.map(({ task_id }) => task_id)).toEqual([result.task_id]);
  expect(await stack.store.head(videoKey(result.task_id))).toMatchObject({ bytes: result.bytes });
  const expected = { billed_seconds: 4, resolution: '720P', audio: sound, ...bill };
  const today = new Date().toISOString().slice(0, 10);
  expect(result.usage).toMatchObject(expected);
  expect(await billsOf(result.task_id)).toEqual([{ day: today, bill: expect.objectContaining(expected) }]);
  expect(result.warnings.map(({ code }) => code)).toEqual(expect.arrayContaining([...warnings]));
}

async function expectFailed(row: (typeof FAILED)[number]): Promise<void> {
  const prompt = queueFaults(row);
  const { id } = await stack.videos.start(stack.request(prompt));
  const error = await stack.videos.result(id).catch((e: unknown) => e);
  expect(error).toMatchObject({ error: { type: row.type, billed: false } });
  const activities = await activitiesOf(stack.client, id);
  expect(activities.filter((name) => name === 'submitTask')).toHaveLength(row.submits);
}

describe.concurrent('bought once, archived and billed right', () => {
  test.each(ARCHIVED.filter(({ what }) => isRun(what)))('$what', expectArchived);
});

describe.concurrent('refused once, with its type', () => {
  test.each(FAILED.filter(({ what }) => isRun(what)))('$what', (row) => expectFailed(row));
});

test("videos with sound are priced with it, also where usage has no audio, as in the provider's own sample", async () => {
  const { emulator, videos, request, env, outputDir } = stack;
  const tenant = 'sound';
  const WAN_VIDEO_PRICES = join(outputDir, 'list-prices.json');
  const per_second = { '720P': { silent: 0.15, sound: 0.3 }, '1080P': { silent: 0.25, sound: 0.5 } };
  await writeFile(WAN_VIDEO_PRICES, JSON.stringify({ currency: 'CNY', per_second }));
  // 8 s are 2.40 with sound, 1.20 without; the provider says of the other 6 s that they have it: 1.80.
  emulator.changeSettings({
    drift: [{ on: 'query', match: 'without audio', changes: [{ kind: 'delete', path: 'usage.audio' }] }],
  });
  await videos.generate({ ...request('as documented'), duration: 6, audio: true, tenant });
  const { usage } = await videos.generate({ ...request('without audio'), duration: 8, audio: true, tenant });
  expect(usage).toMatchObject({ billed_seconds: 8, audio: true, estimated: true });
  const { stdout } = await command(['cost', '--by', 'tenant', '--json'], { env: { ...env, WAN_VIDEO_PRICES } });
  const { currency, rows } = JSON.parse(stdout) as { currency: string; rows: { group: string | null }[] };
  expect([currency, rows.find(({ group }) => group === tenant)]).toMatchObject([
    'CNY',
    { seconds: 14, estimated_seconds: 8, amount: 4.2 },
  ]);
});

// The list and the policies are of the whole account, so these run one after the other.
describe('a lost reply', () => {
  /** Changes of the list in which `foreign` is the task id of another program's running task. */
  const lost: readonly [string, (foreign: string) => DriftChange[], DriftChange[]][] = [
    [
      'among a row with an unknown status',
      (foreign) => [{ kind: 'set', path: `data[task_id=${foreign}].status`, value: 'POST-PROCESSING' }],
      [],
    ],
    ['among a row without a status', (foreign) => [{ kind: 'delete', path: `data[task_id=${foreign}].status` }], []],
    [
      'with counts as text',
      () => ['total', 'total_page', 'page_no', 'page_size'].map((path) => ({ kind: 'retype', path, to: 'text' })),
      [],
    ],
    ['with times as text', () => [{ kind: 'retype', path: 'data[*].gmt_create', to: 'text' }], []],
    ['with the time of UTC+8', () => [{ kind: 'shift', path: 'data[*].gmt_create', by: 8 * HOUR_MS }], []],
    ['with one time', () => [{ kind: 'set', path: 'data[*].gmt_create', value: '2026-01-01 00:00:00' }], []],
    ['with a version', () => [{ kind: 'set', path: 'data[*].model_name', value: 'wan2.6-i2v-flash-2026-01-15' }], []],
    ['with rows twice', () => [{ kind: 'repeat', path: 'data' }], []],
    ['of a task of 4.04 s', () => [], [{ kind: 'shift', path: 'usage.duration', by: 0.04 }]],
    ['of a task without usage', () => [], [{ kind: 'delete', path: 'usage' }]],
    ['of a task with a tier in words', () => [], [{ kind: 'set', path: 'usage.SR', value: '720P' }]],
    ['of a task in lower case', () => [], [{ kind: 'recase', path: STATUS, value: 'lower' }]],
  ];
  test.each(lost.filter(([what]) => isRun(what)))('%s is found: one purchase', async (what, list, task) => {
    const prompt = `lost reply ${what}`;
    const foreign = stack.emulator.addTask({ prompt: 'other software', parameters: { duration: 15 } }).task_id;
    const rules: DriftRule[] = [
      ...(list(foreign).length > 0 ? [{ on: 'list' as const, changes: list(foreign) }] : []),
      ...(task.length > 0 ? [{ on: 'query' as const, match: prompt, changes: task }] : []),
    ];
    stack.emulator.changeSettings({ drift: rules });
    stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });
    const result = await stack.videos.generate(stack.request(prompt));
    expect(tasksOf(prompt).map(({ task_id }) => task_id)).toEqual([result.task_id]);
    expect(await billsOf(result.task_id)).toHaveLength(1);
  });

  test.each<[string, DriftChange]>([
    ['a code', { kind: 'set', path: 'code', value: 'InternalError' }],
    ['a message', { kind: 'set', path: 'message', value: 'the request timed out' }],
  ])('is not bought again while the list is empty and comes with %s', async (what, refusal) => {
    const { emulator, videos } = stack;
    const empty = ['total', 'total_page'].map((path): DriftChange => ({ kind: 'set', path, value: 0 }));
    const changes: DriftChange[] = [refusal, { kind: 'set', path: 'data', value: [] }, ...empty];
    emulator.changeSettings({ drift: [{ on: 'list', times: 12, changes }] });
    const prompt = `lost reply and an empty list with ${what}`;
    emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });
    const result = await videos.generate(stack.request(prompt));
    expect(tasksOf(prompt).map(({ task_id }) => task_id)).toEqual([result.task_id]);
  });

  test("of a phone's portrait photo, which is sent upright, makes one purchase", async () => {
    const { emulator, videos } = stack;
    const photo = turned(await readFile(join(ROOT, 'assets', 'sample.jpg')), 6);
    const prompt = 'lost reply of a portrait photo';
    emulator.changeSettings({ drift: [] });
    emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });
    const reference_image = `data:image/jpeg;base64,${photo.toString('base64')}`;
    const result = await videos.generate({ ...stack.request(prompt), reference_image });
    expect(result.height).toBeGreaterThan(result.width);
    expect(tasksOf(prompt).map(({ task_id }) => task_id)).toEqual([result.task_id]);
    expect(await billsOf(result.task_id)).toHaveLength(1);
  });

  test('is not bought again while its prompt is shown as HTML, because it may be the task', async () => {
    const { emulator, videos } = stack;
    const prompt = 'lost reply & an escaped prompt';
    const change: DriftChange = { kind: 'replace', path: 'output.orig_prompt', find: '&', with: '&amp;' };
    emulator.changeSettings({ drift: [{ on: 'query', changes: [change] }] });
    emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });
    const { id } = await videos.start(stack.request(prompt));
    await expect.poll(async () => (await videos.progress(id)).stage, { timeout: 30_000 }).toBe('needs_attention');
    const [task] = tasksOf(prompt);
    emulator.changeSettings({ drift: [] });
    await videos.resolve(id, { task_id: task?.task_id ?? '' });
    const result = await videos.result(id);
    expect(tasksOf(prompt).map(({ task_id }) => task_id)).toEqual([result.task_id]);
  });

  test('is not bought again while a row cannot be read, because it may be the task', async () => {
    const prompt = 'lost reply and an unreadable row';
    const { emulator, videos } = stack;
    const foreign = emulator.addTask({ prompt: 'other software' }).task_id;
    emulator.changeSettings({
      drift: [{ on: 'list', changes: [{ kind: 'set', path: `data[task_id=${foreign}]`, value: 'row' }] }],
    });
    emulator.queueFaults({ on: 'submit', fault: 'drop-reply', when: 'before', match: prompt });
    const { id } = await videos.start(stack.request(prompt));
    await expect.poll(async () => (await videos.progress(id)).stage, { timeout: 30_000 }).toBe('needs_attention');
    expect(tasksOf(prompt)).toEqual([]);
    emulator.changeSettings({ drift: [] });
    await videos.resolve(id, { buy_again: true });
    const result = await videos.result(id);
    expect(tasksOf(prompt).map(({ task_id }) => task_id)).toEqual([result.task_id]);
  });
});

test('an upload policy without what is optional is enough', async () => {
  const optional = ['expire_in_seconds', 'max_file_size_mb', 'capacity_limit_mb', 'x_oss_object_acl'];
  const { policies } = stack.emulator.state();
  stack.emulator.changeSettings({
    drift: [
      {
        on: 'policy',
        changes: [...optional, 'x_oss_forbid_overwrite'].map((name) => ({ kind: 'delete', path: `data.${name}` })),
      },
    ],
  });
  const prompt = 'a short policy';
  const result = await stack.videos.generate(stack.request(prompt));
  expect(stack.emulator.state().policies).toBeGreaterThan(policies);
  expect(tasksOf(prompt).map(({ task_id }) => task_id)).toEqual([result.task_id]);
});

test.each(['no-output', 'empty', 'html'] as const)(
  'a cancel that is answered 200 without saying that it is done (%s) loses no video',
  async (form) => {
    const { emulator, videos } = stack;
    emulator.changeSettings({ drift: [], slots: 0 });
    const prompt = `a cancel answered ${form}`;
    const { id } = await videos.start(stack.request(prompt));
    await expect.poll(async () => (await videos.progress(id)).stage, { timeout: 20_000 }).toBe('queued');
    emulator.queueFaults({ on: 'cancel', fault: 'malformed', form, when: 'before', match: prompt });
    await videos.cancel(id, 'a test');
    await expect(videos.result(id)).rejects.toThrow();
    emulator.changeSettings({ slots: 20 });
    const [task] = tasksOf(prompt);
    const video = videoKey(task?.task_id ?? '');
    // The salvage archives it.
    await expect.poll(async () => (await stack.store.head(video)) !== undefined, { timeout: 30_000 }).toBe(true);
    expect(await billsOf(task?.task_id ?? '')).toHaveLength(1);
  },
);
