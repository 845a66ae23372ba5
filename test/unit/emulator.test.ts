import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ALL_FORMATS, BufferSource, Input } from 'mediabunny';
import { afterEach, expect, test } from 'vitest';
import { type Emulator, type EmulatorOptions, makeClip, startEmulator } from '../../src/emulator/index.js';

// biome-ignore lint/suspicious/noExplicitAny: wire answers are read as plain JSON
type Wire = any;

const MODEL = 'wan2.6-i2v-flash';
const START = Date.UTC(2026, 0, 22, 15, 24, 46, 527);
let clock = START;
const running: Emulator[] = [];
const folders: string[] = [];

async function start(options: EmulatorOptions = {}): Promise<Emulator> {
  const emulator = await startEmulator({ now: () => clock, ...options });
  running.push(emulator);
  return emulator;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.close()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  clock = START;
});

interface Call {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
  key?: string;
}

async function call(
  emulator: Emulator,
  path: string,
  options: Call = {},
): Promise<{ status: number; body: Wire; headers: Headers }> {
  const response = await fetch(emulator.baseUrl + path, {
    method: options.method ?? 'GET',
    headers: { authorization: `Bearer ${options.key ?? 'sk-test'}`, ...options.headers },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
  return { status: response.status, body: await response.json(), headers: response.headers };
}

function submit(emulator: Emulator, input: Wire = {}, parameters: Wire = {}, options: Call = {}) {
  return call(emulator, '/services/aigc/video-generation/video-synthesis', {
    method: 'POST',
    ...options,
    body: {
      model: MODEL,
      input: { prompt: 'a cat', img_url: 'https://example.com/a.png', ...input },
      parameters: { resolution: '720P', duration: 2, ...parameters },
    },
    headers: { 'content-type': 'application/json', 'x-dashscope-async': 'enable', ...options.headers },
  });
}

function png(width: number, height: number): Buffer {
  const bytes = Buffer.alloc(33);
  Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex').copy(bytes);
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  return bytes;
}

async function videoOf(bytes: Uint8Array) {
  const input = new Input({ formats: ALL_FORMATS, source: new BufferSource(bytes as Uint8Array<ArrayBuffer>) });
  const video = await input.getPrimaryVideoTrack();
  const audio = await input.getPrimaryAudioTrack();
  const stats = await video?.computePacketStats();
  return {
    width: video?.displayWidth,
    height: video?.displayHeight,
    seconds: await video?.computeDuration(),
    frames: stats?.packetCount,
    audio: audio?.codec ?? null,
  };
}

test('a clip has the exact size, length and tracks', async () => {
  const base = { width: 1108, height: 830, durationSeconds: 2, seed: 7, label: 'abc-123' };
  expect(await videoOf(await makeClip({ ...base, audio: true }))).toEqual({
    width: 1108,
    height: 830,
    seconds: 2,
    frames: 60,
    audio: 'aac',
  });
  expect((await videoOf(await makeClip({ ...base, audio: false }))).audio).toBeNull();
});

test('a task passes from PENDING over RUNNING to SUCCEEDED and its clip can be downloaded for 24 h', async () => {
  const emulator = await start();
  const submitted = await submit(emulator, { prompt: 'a kitten' }, { duration: 10, audio: false });
  expect(submitted.status).toBe(200);
  expect(submitted.headers.get('x-request-id')).toBe(submitted.body.request_id);
  const id = submitted.body.output.task_id;
  const pending = await call(emulator, `/tasks/${id}/?audio=false`);
  expect(pending.body.output).toEqual({ task_id: id, task_status: 'PENDING', submit_time: '2026-01-22 23:24:46.527' });
  clock += 40;
  const active = await call(emulator, `/tasks/${id}`);
  expect(active.body.output).toMatchObject({ task_status: 'RUNNING', scheduled_time: '2026-01-22 23:24:46.567' });
  clock += 59_000;
  expect((await call(emulator, `/tasks/${id}`)).body.output.task_status).toBe('RUNNING');
  clock += 14_000;
  const done = (await call(emulator, `/tasks/${id}`)).body;
  expect(done.output).toMatchObject({ task_status: 'SUCCEEDED', orig_prompt: 'a kitten' });
  expect(done.output).not.toHaveProperty('actual_prompt');
  expect(done.usage).toEqual({
    duration: 10,
    input_video_duration: 0,
    output_video_duration: 10,
    video_count: 1,
    SR: 720,
    audio: false,
  });
  expect(emulator.state()).toMatchObject({ submits: 1, queries: 4, billed_seconds: 10 });

  const url = done.output.video_url;
  const response = await fetch(url);
  const bytes = new Uint8Array(await response.arrayBuffer());
  expect(await videoOf(bytes)).toMatchObject({ width: 1280, height: 720, seconds: 10, frames: 300, audio: null });
  const part = await fetch(url, { headers: { range: 'bytes=10-19' } });
  expect(part.status).toBe(206);
  expect(part.headers.get('content-range')).toBe(`bytes 10-19/${bytes.length}`);
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(bytes.slice(10, 20));
  const head = await fetch(url, { method: 'HEAD' });
  expect(head.headers.get('content-length')).toBe(String(bytes.length));
  const forged = await fetch(url.replace('Signature=', 'Signature=x'));
  expect(forged.status).toBe(403);
  expect(await forged.text()).toContain('<Code>SignatureDoesNotMatch</Code>');
  clock += 24 * 3_600_000 + 1000;
  expect((await fetch(url)).status).toBe(403);
  expect((await call(emulator, `/tasks/${id}`)).body.output).toEqual({ task_id: id, task_status: 'UNKNOWN' });
});

test('keys, headers, models and bodies are checked', async () => {
  const emulator = await start({ apiKeys: ['sk-test'], settings: { submit_rate: 0 } });
  expect(await submit(emulator, {}, {}, { key: 'sk-bad' })).toMatchObject({
    status: 401,
    body: { code: 'InvalidApiKey' },
  });
  expect((await fetch(`${emulator.baseUrl}/tasks/x`)).status).toBe(401);
  expect(await submit(emulator, {}, {}, { headers: { 'x-dashscope-async': 'disable' } })).toMatchObject({
    status: 403,
    body: { code: 'AccessDenied' },
  });
  expect((await call(emulator, '/tasks/x', { headers: { 'x-dashscope-async': 'enable' } })).status).toBe(403);
  const path = '/services/aigc/video-generation/video-synthesis';
  const headers = { 'x-dashscope-async': 'enable' };
  const body = { model: 'nope', input: {} };
  expect((await call(emulator, path, { method: 'POST', headers, body })).body.code).toBe('ModelNotFound');
  expect((await call(emulator, path, { method: 'POST', headers })).body.code).toBe('BadRequest.IllegalInput');
  expect((await submit(emulator, { img_url: null }, { resolution: '480P' })).body.message).toBe(
    "Field required: input.img_url & Input should be '1080P' or '720P': parameters.resolution",
  );
  expect((await submit(emulator, { img_url: 'oss://x' })).body.code).toBe('InvalidParameter.DataInspection');
  const resolve = { 'x-dashscope-ossresourceresolve': 'enable' };
  expect((await submit(emulator, { img_url: 'oss://x' }, {}, { headers: resolve })).status).toBe(400);
  expect((await call(emulator, '/nothing')).status).toBe(404);
  expect(emulator.state().tasks).toEqual([]);
});

test('late validation turns the task FAILED', async () => {
  const emulator = await start({ settings: { validation: 'task' } });
  const id = (await submit(emulator, {}, { duration: 99 })).body.output.task_id;
  clock += 3000;
  expect((await call(emulator, `/tasks/${id}`)).body.output).toMatchObject({
    task_status: 'FAILED',
    code: 'InvalidParameter',
  });
  expect(emulator.state().billed_seconds).toBe(0);
});

test('rates are limited per account', async () => {
  const emulator = await start({ accounts: { 'sk-other': 'other' } });
  const statuses: number[] = [];
  for (let i = 0; i < 6; i++) statuses.push((await submit(emulator)).status);
  expect(statuses).toEqual([200, 200, 200, 200, 200, 429]);
  expect((await submit(emulator)).body.code).toBe('Throttling.RateQuota');
  const foreign = await submit(emulator, {}, {}, { key: 'sk-other' });
  expect(foreign.status).toBe(200);
  expect((await call(emulator, `/tasks/${foreign.body.output.task_id}`)).body.output.task_status).toBe('UNKNOWN');
  clock += 1000;
  expect((await submit(emulator)).status).toBe(200);
});

test('tasks beyond the slots wait, can be cancelled, and start when a slot is free', async () => {
  const emulator = await start({ settings: { slots: 1, render_seconds: 10, jitter: 0 } });
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) ids.push((await submit(emulator)).body.output.task_id);
  clock += 1000;
  expect(emulator.state().tasks.map((task) => task.status)).toEqual(['RUNNING', 'PENDING', 'PENDING']);
  const late = await call(emulator, `/tasks/${ids[0]}/cancel`, { method: 'POST' });
  expect(late).toMatchObject({ status: 400, body: { code: 'UnsupportedOperation' } });
  expect((await call(emulator, `/tasks/${ids[1]}/cancel`, { method: 'POST' })).status).toBe(200);
  clock = START + 60_000;
  const { tasks } = emulator.state();
  expect(tasks.map((task) => task.status)).toEqual(['SUCCEEDED', 'CANCELED', 'SUCCEEDED']);
  expect(tasks[2]).toMatchObject({ start_ms: START + 10_040, end_ms: START + 20_040 });
});

test('a new speed applies to running tasks', async () => {
  const emulator = await start({ settings: { render_seconds: 100, jitter: 0 } });
  await submit(emulator);
  clock += 50_040;
  emulator.settings({ speed: 10 });
  clock += 5000;
  expect(emulator.state().tasks[0]?.status).toBe('SUCCEEDED');
});

test('the list has pages, filters and a window of at most 24 h', async () => {
  const emulator = await start({ settings: { submit_rate: 0, list_lag_ms: 500 } });
  for (let i = 0; i < 3; i++) {
    clock += 1000;
    await submit(emulator, { prompt: `p${i}` });
  }
  expect((await call(emulator, '/tasks')).body.total).toBe(2);
  clock += 1000;
  const page = (await call(emulator, `/tasks/?model_name=${MODEL}&page_size=2&status=RUNNING`)).body;
  expect(page).toMatchObject({ total: 3, total_page: 2, page_no: 1, page_size: 2 });
  expect(page.data.map((row: Wire) => row.gmt_create)).toEqual([START + 3000, START + 2000]);
  expect(page.data[0]).not.toHaveProperty('end_time');
  expect(page.data[0]).not.toHaveProperty('prompt');
  const window = 'start_time=20260122232448&end_time=20260122232448';
  expect((await call(emulator, `/tasks?${window}`)).body.total).toBe(1);
  expect((await call(emulator, '/tasks?start_time=20260121000000&end_time=20260122232449')).status).toBe(400);
  emulator.settings({ list_refused: true });
  expect((await call(emulator, '/tasks')).status).toBe(403);
});

test('an upload gives the result its shape', async () => {
  const emulator = await start();
  const { data } = (await call(emulator, `/uploads?action=getPolicy&model=${MODEL}`)).body;
  const form = (fileLast: boolean): FormData => {
    const fields: [string, string | Blob][] = [
      ['OSSAccessKeyId', data.oss_access_key_id],
      ['Signature', data.signature],
      ['policy', data.policy],
      ['key', `${data.upload_dir}/a.png`],
      ['success_action_status', '200'],
    ];
    fields.splice(fileLast ? fields.length : 0, 0, ['file', new Blob([new Uint8Array(png(1024, 768))])]);
    const result = new FormData();
    for (const [name, value] of fields) result.append(name, value);
    return result;
  };
  expect((await fetch(data.upload_host, { method: 'POST', body: form(false) })).status).toBe(400);
  const stored = await fetch(data.upload_host, { method: 'POST', body: form(true) });
  expect([stored.status, await stored.text()]).toEqual([200, '']);
  expect((await fetch(data.upload_host, { method: 'POST', body: form(true) })).status).toBe(409);
  const headers = { 'x-dashscope-ossresourceresolve': 'enable' };
  expect((await submit(emulator, { img_url: `oss://${data.upload_dir}/a.png` }, {}, { headers })).status).toBe(200);
  expect(emulator.state().tasks[0]).toMatchObject({ width: 1108, height: 830 });
  const small = `data:image/png;base64,${png(100, 100).toString('base64')}`;
  expect((await submit(emulator, { img_url: small })).body.message).toContain('too small');
  clock += 301_000;
  expect((await fetch(data.upload_host, { method: 'POST', body: form(true) })).status).toBe(403);
});

test('faults hit the requests they name', async () => {
  const emulator = await start({ settings: { submit_rate: 0 } });
  emulator.faults([
    { on: 'submit', fault: 'drop-reply' },
    { on: 'submit', fault: 'reset' },
    { on: 'submit', fault: 'status', status: 503, code: 'ModelUnavailable', retry_after: 3 },
    { on: 'submit', fault: 'unreadable' },
    { on: 'submit', fault: 'task-failed', match: 'dog' },
  ]);
  await expect(submit(emulator)).rejects.toThrow();
  expect(emulator.state().tasks).toHaveLength(1);
  await expect(submit(emulator)).rejects.toThrow();
  expect(emulator.state().tasks).toHaveLength(1);
  const refused = await submit(emulator);
  expect(refused).toMatchObject({ status: 503, body: { code: 'ModelUnavailable' } });
  expect(refused.headers.get('retry-after')).toBe('3');
  await expect(submit(emulator)).rejects.toThrow(SyntaxError);
  expect(emulator.state().tasks).toHaveLength(2);
  await submit(emulator);
  const id = (await submit(emulator, { prompt: 'a dog' })).body.output.task_id;
  clock += 120_000;
  const failed = (await call(emulator, `/tasks/${id}`)).body;
  expect(failed.output.task_status).toBe('FAILED');
  expect(failed.output).not.toHaveProperty('code');

  const other = emulator.state().tasks[0]?.task_id;
  const url = (await call(emulator, `/tasks/${other}`)).body.output.video_url;
  emulator.faults({ on: 'download', fault: 'truncate' });
  await expect(fetch(url).then((response) => response.arrayBuffer())).rejects.toThrow();
  expect((await fetch(url)).status).toBe(200);
});

test('a restarted emulator continues its tasks and honours its addresses', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'emulator-'));
  folders.push(folder);
  const stateFile = join(folder, 'state.json');
  const first = await start({ stateFile });
  const id = (await submit(first)).body.output.task_id;
  clock += 1000;
  first.state();
  await first.close();
  clock += 60_000;
  const second = await start({ stateFile });
  const { output } = (await call(second, `/tasks/${id}`)).body;
  expect(output.task_status).toBe('SUCCEEDED');
  expect((await fetch(output.video_url, { method: 'HEAD' })).status).toBe(200);
});

test('the control paths change and show the emulator', async () => {
  const emulator = await start();
  const control = async (path: string, body?: unknown): Promise<Wire> => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    return (await fetch(`${emulator.origin}/_emulator/${path}`, init)).json();
  };
  expect(await control('health')).toEqual({ status: 'ok' });
  expect(await control('settings', { speed: 1000 })).toMatchObject({ speed: 1000, slots: 5 });
  await control('faults', { on: 'list', fault: 'status', status: 500 });
  expect((await call(emulator, '/tasks')).status).toBe(500);
  const { task_id } = await control('tasks', { prompt: 'elsewhere' });
  clock += 1000;
  const state = await control('state');
  expect(state).toMatchObject({ submits: 0, lists: 1, billed_seconds: 5 });
  expect(state.tasks[0]).toMatchObject({ task_id, prompt: 'elsewhere', status: 'SUCCEEDED' });
  expect((await control('reset', {})).tasks).toEqual([]);
});
