import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import type { VideoRunError } from '../../src/client/run-error.js';
import { FailureType } from '../../src/contract/failure-type.js';
import type { DriftRule, EmulatorFault } from '../../src/emulator/index.js';
import { ALL_LEDGERS } from '../../src/ledger/paths.js';
import { candidateKey, rejectedKey, videoKey } from '../../src/storage/keys.js';
import { activitiesOf } from '../support/history.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack, TEST_KEY } from '../support/stack.js';

/** A way in which a paid result stays out of reach, and what the evidence must name. */
interface Row {
  /** Also the prompt, by which rules and faults find the task. */
  readonly what: string;
  readonly drift?: Omit<DriftRule, 'match'>;
  readonly faults?: readonly Omit<EmulatorFault, 'match'>[];
  readonly evidence: string | RegExp;
}

const link = (change: DriftRule['changes'][number]): Pick<Row, 'drift'> => ({
  drift: { on: 'query', task_status: 'SUCCEEDED', changes: [change] },
});
const download = (fault: Omit<EmulatorFault, 'on' | 'match'>): Pick<Row, 'faults'> => ({
  faults: [{ on: 'download', times: null, ...fault }],
});

const ROWS: readonly Row[] = [
  ...[400, 401, 403, 404, 407, 451, 500].map((status) => ({
    what: `a download that is always answered ${status}`,
    ...download({ fault: 'status', status }),
    evidence: `HTTP ${status}`,
  })),
  { what: 'redirects without an end', ...download({ fault: 'redirect', hops: 50 }), evidence: 'redirected more than' },
  {
    what: 'a redirect to a private address',
    ...download({ fault: 'redirect', location: 'https://10.0.0.1/v.mp4' }),
    evidence: 'a private address',
  },
  {
    what: 'a link to a private address',
    ...link({ kind: 'set', path: 'output.video_url', value: 'https://10.0.0.1/v.mp4' }),
    evidence: 'a private address',
  },
  {
    what: 'a link of another scheme',
    ...link({ kind: 'set', path: 'output.video_url', value: 'ftp://example.com/v.mp4' }),
    evidence: 'ResultUnreachable',
  },
  {
    what: 'a link that is not there',
    ...link({ kind: 'delete', path: 'output.video_url' }),
    evidence: 'without a readable link',
  },
  {
    what: 'an encoding that nobody knows',
    ...download({ fault: 'headers', headers: { 'content-encoding': 'x-secret' } }),
    evidence: 'in the encoding x-secret',
  },
  { what: 'a download that is always cut', ...download({ fault: 'truncate' }), evidence: 'does not get beyond' },
  { what: 'a link to an error page', ...download({ fault: 'not-mp4' }), evidence: 'leads to an HTML page' },
  {
    what: 'a download that is damaged in another place each time',
    faults: Array.from({ length: 200 }, (_, n) => ({
      on: 'download' as const,
      fault: 'zero-fill' as const,
      keep_bytes: 4096 + 64 * n,
    })),
    evidence: 'ResultRejected',
  },
];

let stack: Stack;
let batches: WanBatchClient;
beforeAll(async () => {
  const drift = ROWS.flatMap(({ what, drift }) => (drift === undefined ? [] : [{ ...drift, match: `<${what}>` }]));
  stack = await startStack({
    settings: { speed: 100, slots: 40, submit_rate: 0, query_rate: 0, drift },
    times: {
      ...QUICK_LEDGER,
      unknownForMs: 2_000,
      retryMaximumMs: 500,
      archiveLateMs: 1_000,
      archiveAlarmMs: 3_000,
      downloadIdleMs: 500,
      rejectEveryMs: 0,
    },
    env: { WAN_VIDEO_MAX_RUNNING: '40', WAN_VIDEO_SUBMIT_RATE: '100' },
  });
  batches = new WanBatchClient({
    client: stack.client,
    store: stack.store,
    taskQueue: stack.config.taskQueues.generate,
  });
});
afterAll(() => stack?.close());

const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
const reaches = (id: string, stage: string) =>
  expect.poll(async () => (await stack.videos.progress(id)).stage, { timeout: 60_000, interval: 100 }).toBe(stage);
/** Records of a kind in the ledger that name the task. */
async function recordsOf(taskId: string, kind: string): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const { key } of stack.store.list(ALL_LEDGERS)) {
    if (!key.endsWith(`/${kind}.json`)) continue;
    const record = JSON.parse(await textOf(key)) as { task_id?: string; decision?: { task_id?: string } };
    if (record.task_id === taskId) found.push(record);
  }
  return found;
}
async function textOf(key: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await stack.store.get(key)) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString('utf8');
}
const taskIdOf = (prompt: string): string => tasksOf(prompt)[0]?.task_id ?? '';
/** Starts a request whose result is refused until the faults are cleared, and waits until a person is needed. */
async function park(prompt: string): Promise<string> {
  stack.emulator.queueFaults({ on: 'download', fault: 'status', status: 451, times: null, match: prompt });
  const { id } = await stack.videos.start(stack.request(prompt));
  await reaches(id, 'needs_attention');
  return id;
}

describe('a paid result that stays out of reach', () => {
  const runs = new Map<string, string>();

  test('is shown as late while it is tried again, with the cause', async () => {
    for (const { what, faults = [] } of ROWS) {
      const prompt = `<${what}>`;
      for (const fault of faults) stack.emulator.queueFaults({ ...fault, match: prompt });
      runs.set(what, (await stack.videos.start(stack.request(prompt))).id);
    }
    const id = runs.get('a download that is always answered 451') ?? '';
    await expect
      .poll(async () => (await stack.videos.progress(id)).waiting_for, { timeout: 60_000, interval: 50 })
      .toMatch(/^the result, which is late and is tried again: .*HTTP 451/);
  });

  test.each(ROWS)('$what: waits for a person with evidence, and stays open', async ({ what, evidence }) => {
    const id = runs.get(what) ?? '';
    await reaches(id, 'needs_attention');
    const { attention, task_id } = await stack.videos.progress(id);
    expect(attention).toMatchObject({ cause: 'ResultUnreachable', candidates: [{ task_id }] });
    expect(attention?.reason).toContain(evidence);
    expect(attention?.reason).not.toMatch(/https?:\/\//);
    expect(tasksOf(`<${what}>`)).toHaveLength(1);
    expect(await recordsOf(task_id ?? '', 'closed')).toEqual([]);
  });

  test('joins an equal request to the same purchase', async () => {
    const prompt = `<${ROWS[0]?.what}>`;
    const { id } = await stack.videos.start(stack.request(prompt), { id: `other/${randomUUID()}` });
    await reaches(id, 'needs_attention');
    expect(tasksOf(prompt)).toHaveLength(1);
    await stack.videos.cancel(id);
  });

  test('is archived by itself once it can be had', async () => {
    stack.emulator.clearFaults();
    stack.emulator.changeSettings({ drift: [] });
    for (const [what, id] of runs) {
      const result = await stack.videos.result(id);
      expect(tasksOf(`<${what}>`).map(({ task_id }) => task_id)).toEqual([result.task_id]);
      expect(await stack.store.head(videoKey(result.task_id))).toMatchObject({ bytes: result.bytes });
    }
  });
});

describe('a person decides on a paid result', () => {
  test('to try it at once: the run asks again while it cannot be had', async () => {
    const prompt = `tried at once ${randomUUID()}`;
    const id = await park(prompt);
    await expect(stack.videos.resolve(id, { task_id: 'another-task' })).rejects.toThrow(/names another task/);
    stack.emulator.clearFaults();
    await stack.videos.resolve(id, { task_id: taskIdOf(prompt) });
    expect((await stack.videos.result(id)).task_id).toBe(taskIdOf(prompt));
    expect(tasksOf(prompt)).toHaveLength(1);
  });

  test('to buy another one: the purchase is closed as abandoned, and every run of it gets the new video', async () => {
    const prompt = `given up ${randomUUID()}`;
    const id = await park(prompt);
    const follower = (await stack.videos.start(stack.request(prompt), { id: `other/${randomUUID()}` })).id;
    await reaches(follower, 'needs_attention');
    const first = taskIdOf(prompt);
    await stack.videos.resolve(id, { buy_again: true });
    await expect.poll(() => tasksOf(prompt).length, { timeout: 20_000 }).toBe(2);
    // Not earlier: a result that can be had after all is archived by any run that still tries.
    for (const run of [id, follower]) {
      await expect
        .poll(async () => (await stack.videos.progress(run)).task_id, { timeout: 20_000 })
        .toBe(tasksOf(prompt)[1]?.task_id);
    }
    stack.emulator.clearFaults();
    const [result, followed] = await Promise.all([stack.videos.result(id), stack.videos.result(follower)]);
    expect(result.task_id).not.toBe(first);
    expect(followed.task_id).toBe(result.task_id);
    expect(tasksOf(prompt)).toHaveLength(2);
    expect(await recordsOf(first, 'closed')).toMatchObject([{ ending: { how: 'abandoned' } }]);
  });

  test('to put the video into the store: it is archived from there', async () => {
    const prompt = `by hand ${randomUUID()}`;
    const id = await park(prompt);
    const taskId = taskIdOf(prompt);
    await stack.store.put(candidateKey(taskId), Readable.from([await otherVideo()]));
    expect((await stack.videos.result(id)).task_id).toBe(taskId);
    expect(tasksOf(prompt)).toHaveLength(1);
    stack.emulator.clearFaults();
  });

  test('to cancel the run: a salvage waits in its place, and archives the video', async () => {
    const prompt = `cancelled ${randomUUID()}`;
    const id = await park(prompt);
    await stack.videos.cancel(id);
    await stack.videos.result(id).catch(() => undefined);
    const { cancel } = await stack.videos.progress(id);
    const salvage = /salvage\/\S+/.exec(cancel?.outcome ?? '')?.[0] ?? '';
    await reaches(salvage, 'needs_attention');
    stack.emulator.clearFaults();
    expect(await stack.client.workflow.getHandle(salvage).result()).toMatchObject({ task_id: taskIdOf(prompt) });
    expect(tasksOf(prompt)).toHaveLength(1);
  });
});

/** The bytes of an ordinary video, as the provider serves it. */
async function otherVideo(): Promise<Buffer> {
  const { task_id } = await stack.videos.generate(stack.request(`a good one ${randomUUID()}`));
  const headers = { authorization: `Bearer ${TEST_KEY}` };
  const answer = await fetch(`${stack.emulator.baseUrl}/tasks/${task_id}`, { headers });
  const { output } = (await answer.json()) as { output: { video_url: string } };
  return Buffer.from(await (await fetch(output.video_url)).arrayBuffer());
}

describe('a paid result that is no video', () => {
  const isRefused = async (run: Promise<unknown>, taskId: string) => {
    const error = (await run.catch((e: unknown) => e)) as VideoRunError;
    expect(error).toMatchObject({
      error: {
        type: FailureType.ResultRejected,
        task_id: taskId,
        billed: false,
        message: expect.stringMatching(/bought before/),
      },
    });
    expect(error.error.next_step).toMatch(/cache "refresh"/);
  };
  const reject = (prompt: string) =>
    stack.emulator.queueFaults({ on: 'download', fault: 'zero-fill', keep_bytes: 0, times: null, match: prompt });

  test('is set aside, and only "refresh" buys another one', async () => {
    const prompt = `no video ${randomUUID()}`;
    const request = stack.request(prompt);
    reject(prompt);
    const { id } = await stack.videos.start(request);
    await expect(stack.videos.result(id)).rejects.toMatchObject({ error: { type: 'ResultRejected', billed: true } });
    const first = taskIdOf(prompt);
    expect(await stack.store.head(rejectedKey(first))).toBeDefined();
    await isRefused(stack.videos.generate(request, { id: `other/${randomUUID()}` }), first);
    await stack.videos.retry(id);
    await isRefused(stack.videos.result(id), first);
    expect(tasksOf(prompt)).toHaveLength(1);
    stack.emulator.clearFaults();
    const again = await stack.videos.generate({ ...request, cache: 'refresh' });
    expect(again.task_id).not.toBe(first);
    expect((await stack.videos.generate(request)).task_id).toBe(again.task_id);
    expect(tasksOf(prompt)).toHaveLength(2);
  });

  test('of a salvage is not bought again either', async () => {
    const prompt = `no video in a salvage ${randomUUID()}`;
    const request = stack.request(prompt);
    stack.emulator.changeSettings({ slots: 0 });
    reject(prompt);
    const { id } = await stack.videos.start(request);
    await reaches(id, 'queued');
    // The cancel is not understood, so the salvage finds a task that renders.
    stack.emulator.queueFaults({ on: 'cancel', fault: 'malformed', form: 'empty', when: 'before', match: prompt });
    await stack.videos.cancel(id);
    await stack.videos.result(id).catch(() => undefined);
    const salvage = /salvage\/\S+/.exec((await stack.videos.progress(id)).cancel?.outcome ?? '')?.[0] ?? '';
    stack.emulator.changeSettings({ slots: 40 });
    await stack.client.workflow
      .getHandle(salvage)
      .result()
      .catch(() => undefined);
    await isRefused(stack.videos.generate(request, { id: `other/${randomUUID()}` }), taskIdOf(prompt));
    expect(tasksOf(prompt)).toHaveLength(1);
  });

  test('of a batch is the outcome of its line, in the next batch as well', async () => {
    const prompt = `no video in a batch ${randomUUID()}`;
    const lines = [
      { item_id: 'bad', ...stack.request(prompt) },
      { item_id: 'good', ...stack.request(`good ${randomUUID()}`) },
    ];
    reject(prompt);
    for (const billed of [true, false]) {
      const { batch_id } = await batches.start({ lines });
      expect((await batches.result(batch_id)).counts).toMatchObject({ failed: 1, needs_attention: 0 });
      const rows = [];
      for await (const row of batches.report(batch_id)) rows.push(row);
      expect(rows.find(({ item_id }) => item_id === 'bad')).toMatchObject({
        outcome: 'failed',
        cause: 'ResultRejected',
        billed,
        billed_seconds: billed ? 4 : 0,
      });
    }
    expect(tasksOf(prompt)).toHaveLength(1);
  });
});

test('submits of which nothing comes end after three rounds, as the failure of the run', async () => {
  const prompt = `never created ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'submit', fault: 'gateway', status: 502, times: null, match: prompt });
  const { id } = await stack.videos.start(stack.request(prompt));
  const error = (await stack.videos.result(id).catch((e: unknown) => e)) as VideoRunError;
  expect(error).toMatchObject({ error: { type: FailureType.ProviderUnavailable, billed: false } });
  expect(error.error.message).toMatch(/3 submits in a row created no task.*HTTP 502/);
  expect(error.error.next_step).not.toMatch(/again by itself|is retried|is tried again/);
  const activities = await activitiesOf(stack.client, id);
  expect(activities.filter((name) => name === 'submitTask')).toHaveLength(3);
  expect(tasksOf(prompt)).toEqual([]);
});
