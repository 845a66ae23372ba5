import { once } from 'node:events';
import { get } from 'node:http';
import { expect, test } from 'vitest';
import type { EmulatorSettings } from '../../src/emulator/index.js';
import { call, control, START, startOnClock, submit, type Wire } from '../support/emulator-calls.js';

const HOUR = 3_600_000;

test('the control paths change and show the emulator', async () => {
  const { emulator, clock } = await startOnClock();
  expect((await control(emulator, 'health')).body).toEqual({ status: 'ok' });
  expect((await control(emulator, 'settings', { speed: 1000 })).body).toMatchObject({ speed: 1000, slots: 5 });
  expect((await control(emulator, 'settings')).body.speed).toBe(1000);
  const fault = { on: 'list', fault: 'status', status: 500 };
  const queued = [{ ...fault, times: 1, skip: 0 }];
  expect((await control(emulator, 'faults', fault)).body).toEqual({ queued });
  expect((await control(emulator, 'faults')).body).toEqual({ queued });
  expect((await call(emulator, '/tasks')).status).toBe(500);
  await control(emulator, 'faults', [fault, fault]);
  const cleared = await fetch(`${emulator.origin}/_emulator/faults`, { method: 'DELETE' });
  expect(await cleared.json()).toEqual({ queued: [] });
  expect((await call(emulator, '/tasks')).status).toBe(200);
  const { task_id } = (await control(emulator, 'tasks', { prompt: 'elsewhere' })).body;
  clock.ms += 1000;
  const { body: state } = await control(emulator, 'state');
  expect(state).toMatchObject({ submits: 0, lists: 2, billed_seconds: 5 });
  expect(state.tasks[0]).toMatchObject({ task_id, prompt: 'elsewhere', status: 'SUCCEEDED', source: 'control' });
  await control(emulator, 'faults', fault);
  expect((await control(emulator, 'reset', {})).body).toMatchObject({ tasks: [], lists: 0 });
  expect(emulator.queuedFaults()).toEqual([]);
  expect(emulator.changeSettings({}).speed).toBe(1);
  expect((await control(emulator, 'nothing')).status).toBe(404);
});

test.each<[object, RegExp]>([
  [{ sped: 2 }, /Unrecognized key: "sped"/],
  [{ speed: 0 }, /speed: /],
  [{ speed: '10' }, /speed: /],
  [{ slots: 1.5 }, /slots: /],
  [{ validation: 'late' }, /validation: /],
  [{ models: [] }, /models: /],
  [{ geometry_multiple: 3 }, /geometry_multiple: /],
  [{ result_origin: 'elsewhere' }, /result_origin: /],
  [{ slots: 2, list_lag: 3 }, /Unrecognized key: "list_lag"/],
])('the settings %j are refused and nothing is changed', async (change, message) => {
  const { emulator } = await startOnClock();
  const before = emulator.changeSettings({});
  const refused = await control(emulator, 'settings', change);
  expect(refused).toMatchObject({ status: 400, body: { message: expect.stringMatching(message) } });
  expect(() => emulator.changeSettings(change as Partial<EmulatorSettings>)).toThrow(message);
  expect(emulator.changeSettings({})).toEqual(before);
});

test('a new speed applies to running tasks, and new slots from now on', async () => {
  const { emulator, clock } = await startOnClock({ settings: { render_seconds: 100, jitter: 0, slots: 1 } });
  await submit(emulator);
  await submit(emulator);
  clock.ms += 50_040;
  emulator.changeSettings({ speed: 10, slots: 2 });
  expect(emulator.state().tasks[1]).toMatchObject({ start_ms: START + 50_040, end_ms: START + 60_040 });
  clock.ms += 5000;
  expect(emulator.state().tasks.map((task) => task.status)).toEqual(['SUCCEEDED', 'RUNNING']);
});

test('a key can be revoked and given back, and keys of one account share its tasks', async () => {
  const { emulator } = await startOnClock({ apiKeys: ['sk-1', 'sk-2'], accounts: { 'sk-1': 'a', 'sk-2': 'a' } });
  const id = (await submit(emulator, {}, {}, { key: 'sk-1' })).body.output.task_id;
  emulator.changeSettings({ api_keys: ['sk-2'] });
  expect((await call(emulator, `/tasks/${id}`, { key: 'sk-1' })).body.code).toBe('InvalidApiKey');
  expect((await call(emulator, `/tasks/${id}`, { key: 'sk-2' })).body.output.task_status).toBe('PENDING');
  emulator.changeSettings({ api_keys: null, accounts: { 'sk-1': 'a', 'sk-2': 'b' } });
  expect((await call(emulator, `/tasks/${id}`, { key: 'sk-1' })).body.output.task_status).toBe('PENDING');
  expect((await call(emulator, `/tasks/${id}`, { key: 'sk-2' })).body.output.task_status).toBe('UNKNOWN');
});

test('the task of other software has its own age, account and shape', async () => {
  const { emulator, clock } = await startOnClock();
  const parameters = { resolution: '720P', duration: 3, audio: false };
  const image = { width: 1024, height: 768 };
  emulator.addTask({ prompt: 'p', parameters, image, age_ms: HOUR });
  emulator.addTask({ account: 'other' });
  clock.ms += 100;
  const { data } = (await call(emulator, '/tasks')).body;
  expect(data.map((row: Wire) => row.gmt_create)).toEqual([START - HOUR]);
  const { output, usage } = (await call(emulator, `/tasks/${data[0].task_id}`)).body;
  expect(output.orig_prompt).toBe('p');
  expect(usage).toMatchObject({ duration: 3, SR: 720, audio: false });
  expect(emulator.state().tasks[0]).toMatchObject({ width: 1108, height: 830 });
  const refused = await control(emulator, 'tasks', { promt: 'p' });
  expect(refused).toMatchObject({ status: 400, body: { message: expect.stringContaining('"promt"') } });
});

test('a task can be ended and forgotten behind the back of its client', async () => {
  const { emulator, clock } = await startOnClock({ settings: { submit_rate: 0 } });
  const ids: string[] = [];
  for (let i = 0; i < 7; i++) ids.push((await submit(emulator)).body.output.task_id);
  const [cancelled, failed, done, forgotten, , sixth, seventh] = ids as [string, ...string[]] & string[];
  await control(emulator, `tasks/${cancelled}`, { status: 'CANCELED' });
  await control(emulator, `tasks/${failed}`, { status: 'FAILED', code: 'InternalError.Timeout' });
  emulator.changeTask(done!, { status: 'SUCCEEDED' });
  emulator.changeTask(forgotten!, { forgotten: true });
  clock.ms += 50;
  const statusOf = async (id: string): Promise<Wire> => (await call(emulator, `/tasks/${id}`)).body.output.task_status;
  expect(await statusOf(cancelled!)).toBe('CANCELED');
  expect((await call(emulator, `/tasks/${failed}`)).body.output).toMatchObject({
    task_status: 'FAILED',
    code: 'InternalError.Timeout',
  });
  expect(await statusOf(done!)).toBe('SUCCEEDED');
  expect(await statusOf(forgotten!)).toBe('UNKNOWN');
  expect((await call(emulator, '/tasks')).body.data.map((row: Wire) => row.task_id)).not.toContain(forgotten);
  // The slots that became free were given to those that waited.
  expect([await statusOf(sixth!), await statusOf(seventh!)]).toEqual(['RUNNING', 'RUNNING']);
  expect(emulator.state().billed_seconds).toBe(2);
  emulator.changeTask(forgotten!, { forgotten: false });
  expect(await statusOf(forgotten!)).toBe('RUNNING');
  expect(await control(emulator, `tasks/${done}`, { status: 'CANCELED' })).toMatchObject({
    status: 400,
    body: { message: 'the task is SUCCEEDED already' },
  });
  expect((await control(emulator, 'tasks/none', { forgotten: true })).status).toBe(404);
  expect((await control(emulator, `tasks/${done}`, { status: 'LOST' })).status).toBe(400);
});

test('25 hours pass when the clock is moved, in the right order', async () => {
  const { emulator, clock } = await startOnClock({ settings: { slots: 1, render_seconds: 10, jitter: 0 } });
  const ids = [(await submit(emulator)).body.output.task_id, (await submit(emulator)).body.output.task_id];
  clock.ms += 11_000;
  const url = (await call(emulator, `/tasks/${ids[0]}`)).body.output.video_url;
  expect((await fetch(url, { method: 'HEAD' })).status).toBe(200);
  emulator.changeSettings({ time_offset_ms: 25 * HOUR });
  expect(emulator.state().tasks[1]).toMatchObject({ status: 'SUCCEEDED', end_ms: START + 20_040 });
  for (const id of ids) expect((await call(emulator, `/tasks/${id}`)).body.output.task_status).toBe('UNKNOWN');
  expect((await fetch(url, { method: 'HEAD' })).status).toBe(403);
  expect((await call(emulator, '/tasks')).body.total).toBe(0);
  emulator.changeSettings({ time_offset_ms: 0 });
  expect((await call(emulator, `/tasks/${ids[0]}`)).body.output.task_status).toBe('SUCCEEDED');
});

test('the Date header follows the clock and can deviate from it', async () => {
  const { emulator } = await startOnClock();
  const dateOf = async (): Promise<string | null> => (await call(emulator, '/tasks')).headers.get('date');
  expect(await dateOf()).toBe(new Date(START).toUTCString());
  emulator.changeSettings({ time_offset_ms: HOUR });
  expect(await dateOf()).toBe(new Date(START + HOUR).toUTCString());
  emulator.changeSettings({ time_offset_ms: 0, date_skew_ms: -90_000 });
  expect(await dateOf()).toBe(new Date(START - 90_000).toUTCString());
});

test.each([
  ['sent', 'a cat and a dog'],
  ['truncated', 'a cat a'],
  ['rewritten', 'a cat and a dog, cinematic'],
  ['absent', undefined],
] as const)('with orig_prompt "%s" the prompt comes back as %j', async (orig_prompt, returned) => {
  const { emulator, clock } = await startOnClock({ settings: { orig_prompt } });
  const id = (await submit(emulator, { prompt: 'a cat and a dog' })).body.output.task_id;
  clock.ms += 60_000;
  expect((await call(emulator, `/tasks/${id}`)).body.output.orig_prompt).toBe(returned);
});

test('results can be large and lie on another host', async () => {
  const { emulator, clock } = await startOnClock({ settings: { result_min_bytes: 20_000_000 } });
  const id = (await submit(emulator)).body.output.task_id;
  clock.ms += 60_000;
  emulator.changeSettings({ result_origin: emulator.origin.replace('127.0.0.1', 'localhost'), result_min_bytes: 0 });
  const url = new URL((await call(emulator, `/tasks/${id}`)).body.output.video_url);
  expect(url.hostname).toBe('localhost');
  // Over node:http with the address given, since the name may lead to ::1, where nobody listens.
  const [response] = (await once(
    get({ port: url.port, host: '127.0.0.1', path: url.pathname + url.search }),
    'response',
  )) as Wire[];
  expect(response.headers['content-length']).toBe('20000000');
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  expect(bytes.length).toBe(20_000_000);
  const free = bytes.indexOf('free', 1000, 'latin1') - 4;
  expect(bytes.readUInt32BE(free)).toBe(bytes.length - free);
  expect(bytes.subarray(free + 8).equals(Buffer.alloc(bytes.length - free - 8))).toBe(true);
  const local = url.href.replace('localhost', '127.0.0.1');
  const part = await fetch(local, { headers: { range: `bytes=${free - 10}-${free + 9}` } });
  expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(free - 10, free + 10))).toBe(true);
});
