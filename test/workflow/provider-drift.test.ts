import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DriftChange, DriftRule, EmulatorFault } from '../../src/emulator/index.js';
import { ALL_LEDGERS } from '../../src/ledger/paths.js';
import { videoKey } from '../../src/storage/keys.js';
import { activitiesOf } from '../support/history.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';
import { turned } from '../unit/image-samples.js';

/** A way in which the provider's answers differ from its documents. */
interface Row {
  /** Also the prompt, by which rules and faults find the task. */
  readonly what: string;
  readonly drift?: readonly Omit<DriftRule, 'match'>[];
  readonly faults?: readonly Omit<EmulatorFault, 'match'>[];
  /** Whether sound is requested; default false. */
  readonly sound?: boolean;
  /** Fields of the bill that differ from 4 s at 720P with the requested sound. */
  readonly bill?: object;
  readonly warnings?: readonly string[];
}

/** Other members of kinds of which another row is an example; `npm run test:full` runs them, too. */
const FURTHER: ReadonlySet<string> = new Set([
  'a tier as text',
  'a tier that nobody sells',
  'a status in a list',
  'a status twice',
  'names in camel case',
  'a prompt as an object',
  'a request id as an object',
  'an empty link at first',
  'audio as text',
  'usage as null',
  'usage as a list',
  'seconds as text',
  'seconds that no number can be',
  'usage as a text of JSON',
  'usage under output',
  'times in UTC',
  'times as numbers',
  'answers compressed unasked',
  'a submit compressed unasked',
  'a submit with a request id in a list',
  'a redirect to another host',
  'too many redirects at first',
  'another brand',
  'a failure in lower case',
  'with times as text',
  'with one time',
  'with rows twice',
  'of a task with a tier in words',
  'of a task in lower case',
]);
const isRun = (what: string): boolean => process.env['TEST_FULL'] === '1' || !FURTHER.has(what);

const query = (...changes: DriftChange[]): Pick<Row, 'drift'> => ({ drift: [{ on: 'query', changes }] });
const finished = (...changes: DriftChange[]): Pick<Row, 'drift'> => ({
  drift: [{ on: 'query', task_status: 'SUCCEEDED', changes }],
});
const failed = (...changes: DriftChange[]): Pick<Row, 'drift'> => ({
  drift: [{ on: 'query', task_status: 'FAILED', changes }],
});
const download = (fault: Omit<EmulatorFault, 'on' | 'match'>): Omit<EmulatorFault, 'match'> => ({
  on: 'download',
  ...fault,
});

/** A bill of which a part is not what the provider said, but what was requested or measured. */
const ESTIMATED = { estimated: true };

const STATUS = 'output.task_status';
const HOUR_MS = 3_600_000;

/** Answers after which the video is bought once, archived and billed right. */
const ARCHIVED: readonly Row[] = [
  { what: 'documented answers' },
  // Fields of a query's answer.
  { what: 'a tier in words', ...finished({ kind: 'set', path: 'usage.SR', value: '720P' }) },
  { what: 'a tier as text', ...finished({ kind: 'retype', path: 'usage.SR', to: 'text' }) },
  { what: 'a tier that nobody sells', ...finished({ kind: 'set', path: 'usage.SR', value: 480 }) },
  { what: 'a status in lower case', ...query({ kind: 'recase', path: STATUS, value: 'lower' }) },
  { what: 'a status in another spelling', ...finished({ kind: 'set', path: STATUS, value: 'Success' }) },
  { what: 'a status in a list', ...query({ kind: 'nest', path: STATUS }) },
  {
    what: 'an unknown status',
    drift: [{ on: 'query', times: 3, changes: [{ kind: 'set', path: STATUS, value: 'POST-PROCESSING' }] }],
  },
  { what: 'a status twice', ...finished({ kind: 'duplicate', path: STATUS, value: 'RUNNING', first: true }) },
  { what: 'names in camel case', ...query({ kind: 'recase', path: 'output.*', name: 'camel' }) },
  { what: 'a prompt of 1 MB', ...finished({ kind: 'lengthen', path: 'output.orig_prompt', to: 1_000_000 }) },
  { what: 'a prompt as an object', ...finished({ kind: 'nest', path: 'output.orig_prompt', name: 'text' }) },
  { what: 'a request id as an object', ...query({ kind: 'retype', path: 'request_id', to: 'object' }) },
  // The link of the result.
  {
    what: 'a link only from the fourth query on',
    drift: [
      { on: 'query', task_status: 'SUCCEEDED', times: 3, changes: [{ kind: 'delete', path: 'output.video_url' }] },
    ],
  },
  {
    what: 'an empty link at first',
    drift: [
      {
        on: 'query',
        task_status: 'SUCCEEDED',
        times: 2,
        changes: [{ kind: 'set', path: 'output.video_url', value: '' }],
      },
    ],
  },
  {
    what: 'a link under results',
    ...finished({ kind: 'move', path: 'output.video_url', to: 'output.results.video_url' }),
  },
  { what: 'a link in a list', ...finished({ kind: 'move', path: 'output.video_url', to: 'output.results[0].url' }) },
  {
    what: 'one UNKNOWN while archiving',
    faults: [download({ fault: 'expired' }), { on: 'query', fault: 'unknown', after_success: true }],
  },
  { what: 'one UNKNOWN while rendering', faults: [{ on: 'query', fault: 'unknown', task_status: 'RUNNING' }] },
  // Usage: what the provider does not say is what was requested.
  { what: 'usage without audio', sound: true, bill: ESTIMATED, ...finished({ kind: 'delete', path: 'usage.audio' }) },
  { what: 'audio as text', sound: true, ...finished({ kind: 'retype', path: 'usage.audio', to: 'text' }) },
  { what: 'no usage', sound: true, bill: ESTIMATED, ...finished({ kind: 'delete', path: 'usage' }) },
  { what: 'usage as null', bill: ESTIMATED, ...finished({ kind: 'retype', path: 'usage', to: 'null' }) },
  { what: 'usage as a list', ...finished({ kind: 'nest', path: 'usage' }) },
  { what: 'seconds as text', ...finished({ kind: 'retype', path: 'usage.duration', to: 'text' }) },
  { what: 'no seconds', bill: ESTIMATED, ...finished({ kind: 'delete', path: 'usage.duration' }) },
  {
    what: 'seconds that no number can be',
    bill: ESTIMATED,
    ...finished({ kind: 'raw', path: 'usage.duration', json: '1e400' }),
  },
  { what: 'zero seconds', bill: ESTIMATED, ...finished({ kind: 'set', path: 'usage.duration', value: 0 }) },
  {
    what: 'a fraction of a second more',
    ...finished({ kind: 'shift', path: 'usage.duration', by: 0.04 }),
    bill: { billed_seconds: 4.04 },
  },
  { what: 'usage as a text of JSON', ...finished({ kind: 'retype', path: 'usage', to: 'text' }) },
  { what: 'usage under output', ...finished({ kind: 'move', path: 'usage', to: 'output.usage' }) },
  // Times: our clock decides the day.
  { what: 'an end before the submit', ...finished({ kind: 'shift', path: 'output.end_time', by: -HOUR_MS }) },
  { what: 'an end on another day', ...finished({ kind: 'shift', path: 'output.end_time', by: 72 * HOUR_MS }) },
  {
    what: 'times in UTC',
    ...query(
      ...['submit_time', 'scheduled_time', 'end_time'].map(
        (name): DriftChange => ({ kind: 'shift', path: `output.${name}`, by: -8 * HOUR_MS }),
      ),
    ),
  },
  { what: 'times as numbers', ...query({ kind: 'retype', path: 'output.end_time', to: 'number' }) },
  // HTTP.
  {
    what: 'answers in the wrong type',
    faults: [{ on: 'query', fault: 'headers', headers: { 'content-type': 'text/html' }, times: null }],
  },
  { what: 'answers compressed unasked', faults: [{ on: 'query', fault: 'encoded', times: null }] },
  // Nothing was bought by it, so it is sent again.
  {
    what: 'a submit that a gateway answers 429 at first',
    faults: [{ on: 'submit', fault: 'gateway', status: 429, times: 2 }],
  },
  { what: 'a submit compressed unasked', faults: [{ on: 'submit', fault: 'encoded' }] },
  { what: 'a submit without a status', drift: [{ on: 'submit', changes: [{ kind: 'delete', path: STATUS }] }] },
  {
    what: 'a submit at the top level',
    drift: [
      {
        on: 'submit',
        changes: [
          { kind: 'move', path: 'output.task_id', to: 'task_id' },
          { kind: 'delete', path: 'output' },
        ],
      },
    ],
  },
  {
    what: 'a submit with a request id in a list',
    drift: [{ on: 'submit', changes: [{ kind: 'nest', path: 'request_id' }] }],
  },
  // Downloads.
  { what: 'a download compressed unasked', faults: [download({ fault: 'encoded' })] },
  {
    what: 'a download with another type',
    faults: [download({ fault: 'headers', headers: { 'content-type': 'text/plain', etag: null } })],
  },
  { what: 'a redirect to another host', faults: [download({ fault: 'redirect' })] },
  { what: 'five redirects', faults: [download({ fault: 'redirect', status: 307, hops: 5 })] },
  { what: 'too many redirects at first', faults: [download({ fault: 'redirect', hops: 12 })] },
  ...[400, 401, 403, 404, 407, 410, 451, 500, 503].map((status) => ({
    what: `a download that is answered ${status} at first`,
    faults: [download({ fault: 'status', status })],
  })),
  {
    what: 'two 500s and one damaged download',
    faults: [download({ fault: 'status', times: 2 }), download({ fault: 'zero-fill', keep_bytes: 4096 })],
  },
  { what: 'a link to an error page, four times', faults: [download({ fault: 'not-mp4', times: 4 })] },
  { what: 'no video, four times within seconds', faults: [download({ fault: 'zero-fill', keep_bytes: 0, times: 4 })] },
  {
    what: 'a result that is cut off, four times within seconds',
    faults: [download({ fault: 'patch', keep_bytes: 200_000, times: 4 })],
  },
  // Results that are no H.264 in an ordinary MP4, but are a video.
  {
    what: 'another codec',
    faults: [download({ fault: 'patch', find: 'avc1', with: 'hvc1', times: null })],
    warnings: ['unverified'],
  },
  {
    what: 'another brand',
    faults: [download({ fault: 'patch', find: 'isom', with: 'qt  ', times: null })],
    warnings: ['unverified'],
  },
  {
    what: 'bytes behind the last box',
    faults: [download({ fault: 'patch', append_bytes: 1000, times: null })],
    warnings: ['unverified'],
  },
];

/** What ends as a failure: its type, and how often the request was submitted. */
const FAILED: readonly (Row & { readonly type: string; readonly submits: number })[] = [
  {
    what: 'a failure with a number as its code',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'InvalidParameter', message: 'm' }],
    ...failed({ kind: 'set', path: 'output.code', value: 400 }),
    type: 'InvalidRequest',
    submits: 1,
  },
  {
    what: 'an input fault in the last segment of the code',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'InternalError.Algo.InvalidParameter', message: 'm' }],
    type: 'InvalidRequest',
    submits: 1,
  },
  {
    what: 'an input fault that nobody lists',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'InternalError.InvalidFrameCount', message: 'm' }],
    type: 'InvalidRequest',
    submits: 1,
  },
  {
    what: 'a failure in lower case',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', message: 'm' }],
    ...query({ kind: 'recase', path: STATUS, value: 'lower' }),
    type: 'ContentRejected',
    submits: 1,
  },
  {
    what: 'a failure with a message of 1 MB',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'InvalidParameter', message: 'm' }],
    ...failed({ kind: 'lengthen', path: 'output.message', to: 1_000_000 }),
    type: 'InvalidRequest',
    submits: 1,
  },
  {
    what: 'a failure with the code at the top',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', message: 'm' }],
    ...failed({ kind: 'move', path: 'output.code', to: 'code' }),
    type: 'ContentRejected',
    submits: 1,
  },
  {
    what: 'a failure with the code under error',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', message: 'm' }],
    ...failed({ kind: 'move', path: 'output.code', to: 'output.error.code' }),
    type: 'ContentRejected',
    submits: 1,
  },
  ...(['top', 'output', 'error'] as const).map((envelope) => ({
    what: `a refused key in the envelope ${envelope}`,
    faults: [
      {
        on: 'submit' as const,
        fault: 'status' as const,
        status: 401,
        code: 'invalid_api_key',
        message: 'm',
        envelope,
        times: null,
      },
    ],
    type: 'CredentialsRejected',
    submits: 1,
  })),
  ...(['error-text', 'text', 'empty'] as const).map((envelope) => ({
    what: `a refusal in the envelope ${envelope}`,
    faults: [{ on: 'submit' as const, fault: 'status' as const, status: 401, message: 'm', envelope, times: null }],
    type: 'CredentialsRejected',
    submits: 1,
  })),
  {
    what: 'a refusal by an HTML page',
    faults: [{ on: 'submit', fault: 'gateway', status: 400, times: null }],
    type: 'InvalidRequest',
    submits: 1,
  },
];

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

function queueFaults({ what, faults = [] }: Row): string {
  const prompt = `<${what}>`;
  for (const fault of faults) stack.emulator.queueFaults({ ...fault, match: prompt });
  return prompt;
}

async function expectArchived(row: Row): Promise<void> {
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
