import { ALL_FORMATS, BufferSource, Input } from 'mediabunny';
import { expect, test } from 'vitest';
import { call, MODEL, png, START, startOnClock, submit, type Wire } from '../support/emulator-calls.js';

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

test('a task passes from PENDING over RUNNING to SUCCEEDED and its clip can be downloaded for 24 h', async () => {
  const { emulator, clock } = await startOnClock();
  const submitted = await submit(emulator, { prompt: 'a kitten' }, { duration: 10, audio: false });
  expect(submitted.status).toBe(200);
  expect(submitted.headers.get('x-request-id')).toBe(submitted.body.request_id);
  const id = submitted.body.output.task_id;
  const pending = await call(emulator, `/tasks/${id}/?audio=false`);
  expect(pending.body.output).toEqual({ task_id: id, task_status: 'PENDING', submit_time: '2026-01-22 23:24:46.527' });
  clock.ms += 40;
  const active = await call(emulator, `/tasks/${id}`);
  expect(active.body.output).toMatchObject({ task_status: 'RUNNING', scheduled_time: '2026-01-22 23:24:46.567' });
  clock.ms += 59_000;
  expect((await call(emulator, `/tasks/${id}`)).body.output.task_status).toBe('RUNNING');
  clock.ms += 14_000;
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
  const ended = emulator.state().tasks[0]?.end_ms ?? 0;
  expect(new URL(url).searchParams.get('Expires')).toBe(String(Math.floor(ended / 1000) + 86_400));
  const response = await fetch(url);
  const bytes = new Uint8Array(await response.arrayBuffer());
  expect(await videoOf(bytes)).toMatchObject({ width: 1280, height: 720, seconds: 10, frames: 300, audio: null });
  const part = await fetch(url, { headers: { range: 'bytes=10-19' } });
  expect(part.status).toBe(206);
  expect(part.headers.get('content-range')).toBe(`bytes 10-19/${bytes.length}`);
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(bytes.slice(10, 20));
  const tail = await fetch(url, { headers: { range: `bytes=${bytes.length - 5}-` } });
  expect(new Uint8Array(await tail.arrayBuffer())).toEqual(bytes.slice(-5));
  expect((await fetch(url, { headers: { range: `bytes=${bytes.length}-` } })).status).toBe(416);
  expect((await fetch(url, { headers: { 'if-match': '"other"' } })).status).toBe(412);
  const head = await fetch(url, { method: 'HEAD' });
  expect(head.headers.get('content-length')).toBe(String(bytes.length));
  const forged = await fetch(url.replace('Signature=', 'Signature=x'));
  expect(forged.status).toBe(403);
  expect(await forged.text()).toContain('<Code>SignatureDoesNotMatch</Code>');
  clock.ms += 24 * 3_600_000 + 1000;
  expect((await fetch(url)).status).toBe(403);
  expect((await call(emulator, `/tasks/${id}`)).body.output).toEqual({ task_id: id, task_status: 'UNKNOWN' });
});

test('keys, headers, models and bodies are checked', async () => {
  const { emulator } = await startOnClock({ apiKeys: ['sk-test'], settings: { submit_rate: 0 } });
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
  expect((await submit(emulator, { img_url: 'oss://x' })).body.code).toBe('InvalidParameter.DataInspection');
  const resolve = { 'x-dashscope-ossresourceresolve': 'enable' };
  expect((await submit(emulator, { img_url: 'oss://x' }, {}, { headers: resolve })).status).toBe(400);
  expect((await call(emulator, '/nothing')).status).toBe(404);
  expect(emulator.state().tasks).toEqual([]);
});

test.each([
  [
    { img_url: null },
    { resolution: '480P' },
    "Field required: input.img_url & Input should be '1080P' or '720P': parameters.resolution",
  ],
  [{ prompt: 5 }, {}, 'Input should be a valid string: input.prompt'],
  [{}, { duration: 4.5 }, 'Input should be a valid integer: parameters.duration'],
  [{}, { duration: 1 }, 'Input should be greater than or equal to 2: parameters.duration'],
  [{}, { duration: 16 }, 'Input should be less than or equal to 15: parameters.duration'],
  [{}, { seed: -1 }, 'Input should be greater than or equal to 0: parameters.seed'],
  [{}, { audio: 'yes' }, 'Input should be a valid boolean: parameters.audio'],
  [{}, { shot_type: 'wide' }, "Input should be 'single' or 'multi': parameters.shot_type"],
  [{ img_url: 'a.png' }, {}, 'url error, please check url!'],
  [
    { img_url: `data:image/png;base64,${png(100, 100).toString('base64')}` },
    {},
    'the size of input image is too small or too large',
  ],
  [{ img_url: 'data:image/png;base64,AAAA' }, {}, 'The image format is not supported or the image is damaged.'],
])('input %j with parameters %j is refused in the words of the service', async (input, parameters, message) => {
  const { emulator } = await startOnClock();
  const { status, body } = await submit(emulator, input, parameters);
  expect([status, body.code, body.message]).toEqual([400, 'InvalidParameter', message]);
  expect(emulator.state().tasks).toEqual([]);
});

test('a task remembers what it was submitted with, and unknown and null fields change nothing', async () => {
  const { emulator } = await startOnClock({ settings: { submit_rate: 0 } });
  const image = `data:image/png;base64,${png(1280, 720).toString('base64')}`;
  const extra = { fps: 24, size: '1280*720', motion_strength: null, audio: false, prompt_extend: null };
  const headers = { 'x-dashscope-workspace': 'ws-1' };
  await submit(emulator, { img_url: image, extend_prompt: true }, extra, { headers });
  expect(emulator.state().tasks[0]).toMatchObject({
    input: { prompt: 'a cat', img_url: `data:image/png;base64,… (${image.length} characters)`, extend_prompt: true },
    parameters: { resolution: '720P', duration: 2, ...extra },
    workspace: 'ws-1',
    source: 'api',
    audio: false,
  });
  await submit(emulator, { prompt: '長'.repeat(1600) });
  expect(emulator.state().tasks[1]?.prompt).toBe('長'.repeat(1500));

  emulator.changeSettings({ unknown_parameters: 'refuse' });
  expect((await submit(emulator, {}, { fps: 24 })).body.message).toBe('Extra inputs are not permitted: parameters.fps');
  emulator.changeSettings({ body_max_bytes: 100 });
  expect((await submit(emulator)).body.code).toBe('BadRequest.TooLarge');
});

test('late validation turns the task FAILED', async () => {
  const { emulator, clock } = await startOnClock({ settings: { validation: 'task' } });
  const id = (await submit(emulator, {}, { duration: 99 })).body.output.task_id;
  clock.ms += 3000;
  expect((await call(emulator, `/tasks/${id}`)).body.output).toMatchObject({
    task_status: 'FAILED',
    code: 'InvalidParameter',
    message: 'Input should be less than or equal to 15: parameters.duration',
  });
  expect(emulator.state().billed_seconds).toBe(0);
});

test('rates are limited per account', async () => {
  const { emulator, clock } = await startOnClock({ accounts: { 'sk-other': 'other' } });
  const statuses: number[] = [];
  for (let i = 0; i < 6; i++) statuses.push((await submit(emulator)).status);
  expect(statuses).toEqual([200, 200, 200, 200, 200, 429]);
  emulator.changeSettings({ throttle_code: 'Throttling', throttle_retry_after: 2 });
  const throttled = await submit(emulator);
  expect([throttled.body.code, throttled.headers.get('retry-after')]).toEqual(['Throttling', '2']);
  expect(emulator.state().throttled).toBe(2);
  const foreign = await submit(emulator, {}, {}, { key: 'sk-other' });
  expect(foreign.status).toBe(200);
  expect((await call(emulator, `/tasks/${foreign.body.output.task_id}`)).body.output.task_status).toBe('UNKNOWN');
  clock.ms += 1000;
  expect((await submit(emulator)).status).toBe(200);
});

test('tasks beyond the slots wait, can be cancelled, and start when a slot is free', async () => {
  const { emulator, clock } = await startOnClock({ settings: { slots: 1, render_seconds: 10, jitter: 0 } });
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) ids.push((await submit(emulator)).body.output.task_id);
  clock.ms += 1000;
  expect(emulator.state().tasks.map((task) => task.status)).toEqual(['RUNNING', 'PENDING', 'PENDING']);
  const late = await call(emulator, `/tasks/${ids[0]}/cancel`, { method: 'POST' });
  expect(late).toMatchObject({ status: 400, body: { code: 'UnsupportedOperation' } });
  expect((await call(emulator, `/tasks/${ids[1]}/cancel`, { method: 'POST' })).status).toBe(200);
  emulator.changeSettings({ beyond_slots: 'refuse' });
  expect((await submit(emulator)).status).toBe(429);
  clock.ms = START + 60_000;
  const { tasks, billed_seconds } = emulator.state();
  expect(tasks.map((task) => task.status)).toEqual(['SUCCEEDED', 'CANCELED', 'SUCCEEDED']);
  expect(tasks[2]).toMatchObject({ start_ms: START + 10_040, end_ms: START + 20_040 });
  expect(billed_seconds).toBe(4);
});

test('the list has pages, filters and a window of at most 24 h', async () => {
  const { emulator, clock } = await startOnClock({ settings: { submit_rate: 0, list_lag_ms: 500 } });
  for (let i = 0; i < 3; i++) {
    clock.ms += 1000;
    await submit(emulator, { prompt: `p${i}` });
  }
  expect((await call(emulator, '/tasks')).body.total).toBe(2);
  clock.ms += 1000;
  const page = (await call(emulator, `/tasks/?model_name=${MODEL}&page_size=2&status=RUNNING`)).body;
  expect(page).toMatchObject({ total: 3, total_page: 2, page_no: 1, page_size: 2 });
  expect(page.data.map((row: Wire) => row.gmt_create)).toEqual([START + 3000, START + 2000]);
  expect(page.data[0]).not.toHaveProperty('end_time');
  expect(page.data[0]).not.toHaveProperty('prompt');
  const window = 'start_time=20260122232448&end_time=20260122232448';
  expect((await call(emulator, `/tasks?${window}`)).body.total).toBe(1);
  expect((await call(emulator, '/tasks?start_time=20260121000000&end_time=20260122232449')).status).toBe(400);
  expect((await call(emulator, '/tasks?start_time=yesterday')).status).toBe(400);

  emulator.changeSettings({ list_page_max: 1, list_order: 'oldest' });
  const small = (await call(emulator, '/tasks?page_size=100&page_no=2')).body;
  expect(small).toMatchObject({ total: 3, total_page: 3, page_no: 2, page_size: 1 });
  expect(small.data.map((row: Wire) => row.gmt_create)).toEqual([START + 2000]);
  emulator.changeSettings({ list_utc_offset_hours: 0 });
  expect((await call(emulator, `/tasks?${window}`)).body.total).toBe(0);
  expect((await call(emulator, `/tasks?${window.replaceAll('0122232448', '0122152448')}`)).body.total).toBe(1);
  emulator.changeSettings({ list_refused: true });
  expect((await call(emulator, '/tasks')).status).toBe(403);
});

test('the list can be behind the queries and on another clock', async () => {
  const settings = { list_stale_ms: 5000, list_skew_ms: 90_000, render_seconds: 10, jitter: 0 };
  const { emulator, clock } = await startOnClock({ settings });
  const id = (await submit(emulator)).body.output.task_id;
  clock.ms += 11_000;
  expect((await call(emulator, `/tasks/${id}`)).body.output.task_status).toBe('SUCCEEDED');
  const row = async (): Promise<Wire> => (await call(emulator, '/tasks')).body.data[0];
  expect(await row()).toMatchObject({ status: 'RUNNING', gmt_create: START + 90_000, start_time: START + 90_040 });
  expect(await row()).not.toHaveProperty('end_time');
  expect((await call(emulator, '/tasks?status=SUCCEEDED')).body.total).toBe(0);
  clock.ms += 5000;
  expect(await row()).toMatchObject({ status: 'SUCCEEDED', end_time: START + 100_040 });
});

test('an upload gives the result its shape', async () => {
  const { emulator, clock } = await startOnClock();
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
  const img_url = `oss://${data.upload_dir}/a.png`;
  expect((await submit(emulator, { img_url }, {}, { headers })).status).toBe(200);
  expect(emulator.state().tasks[0]).toMatchObject({ width: 1108, height: 830 });
  clock.ms += 301_000;
  expect((await fetch(data.upload_host, { method: 'POST', body: form(true) })).status).toBe(403);
  clock.ms += 48 * 3_600_000;
  expect((await submit(emulator, { img_url }, {}, { headers })).status).toBe(400);
});
