import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Emulator, type EmulatorTask, startEmulator } from '../../src/emulator/index.js';
import { findPython, PYTHON_PART } from '../support/python.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const KEY = 'sk-conformance';
const FULL_KEY = 'sk-full';
const MODEL = 'wan2.6-i2v-flash';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

// biome-ignore lint/suspicious/noExplicitAny: what the SDK returned is read as plain JSON
type Wire = any;

const python = await findPython('dashscope');
if (python === undefined)
  console.warn(`SKIPPED: the official SDK as a client of the emulator: no Python with dashscope; ${PYTHON_PART}`);

describe.skipIf(python === undefined)('the official Python SDK', () => {
  let emulator: Emulator;
  let home: string;
  let got: Wire;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'wan-video-sdk-'));
    emulator = await startEmulator({
      apiKeys: [KEY, FULL_KEY],
      accounts: { [FULL_KEY]: 'full' },
      settings: { speed: 1000, submit_rate: 0, query_rate: 0 },
    });
    // An account whose five slots are taken for as long as the test runs.
    emulator.changeSettings({ render_seconds: 1_000_000 });
    for (let i = 0; i < 5; i++) emulator.addTask({ account: 'full' });
    emulator.changeSettings({ render_seconds: null });
    emulator.queueFaults([
      { on: 'query', fault: 'status', status: 503, code: 'ModelUnavailable', match: 'busy' },
      { on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', message: 'no', match: 'doomed' },
    ]);
    const script = join(ROOT, 'test/conformance/official_sdk.py');
    const { stdout } = await promisify(execFile)(python ?? '', [script, join(ROOT, 'assets/sample.jpg'), FULL_KEY], {
      timeout: 50_000,
      // Nothing of ours: neither a proxy nor a key nor a file of the user may take part.
      env: {
        PATH: process.env['PATH'],
        HOME: home,
        DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl,
        DASHSCOPE_API_KEY: KEY,
        NO_PROXY: '127.0.0.1',
        PYTHONDONTWRITEBYTECODE: '1',
      },
    });
    got = JSON.parse(stdout);
  });

  afterAll(async () => {
    await emulator?.close();
    await rm(home, { recursive: true, force: true });
  });

  const taskOf = (prompt: string): EmulatorTask => {
    const tasks = emulator.state().tasks.filter((task) => task.prompt === prompt);
    expect(tasks).toHaveLength(1);
    return tasks[0]!;
  };

  test('submits, fetches and waits, and every keyword it does not know arrives as a parameter', () => {
    const { submitted, fetched, waited } = got.submit_fetch_wait;
    const task = taskOf('sync');
    expect(submitted).toMatchObject({ status_code: 200, output: { task_id: task.task_id, task_status: 'PENDING' } });
    expect(submitted.request_id).toBe(task.request_id);
    expect(fetched.status_code).toBe(200);
    expect(['PENDING', 'RUNNING', 'SUCCEEDED']).toContain(fetched.output.task_status);
    expect(waited).toMatchObject({ status_code: 200, output: { task_status: 'SUCCEEDED', orig_prompt: 'sync' } });
    expect(waited.output.video_url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/results\/.*\.mp4\?Expires=\d+&/);
    expect(waited.usage).toMatchObject({ duration: 5, output_video_duration: 5, SR: 720, audio: false });
    expect(task.parameters).toEqual({
      resolution: '720P',
      duration: 5,
      audio: false,
      seed: 7,
      fps: 24,
      size: '1280*720',
      motion_strength: null,
    });
    expect(task.input).toMatchObject({ prompt: 'sync', extend_prompt: true, function: 'video-synthesis' });
  });

  test('uploads a local file and submits its oss address', () => {
    expect(got.local_file).toMatchObject({ status_code: 200, output: { task_status: 'SUCCEEDED' } });
    const task = taskOf('file');
    expect(task.input['img_url']).toMatch(/^oss:\/\/dashscope-instant\/.+\/sample\.jpg$/);
    expect(task).toMatchObject({ width: 1280, height: 720 });
    expect(emulator.state()).toMatchObject({ policies: 1, uploads: 1 });
  });

  test('goes on waiting after a 503', () => {
    expect(got.a_busy_moment).toMatchObject({ status_code: 200, output: { task_status: 'SUCCEEDED' } });
    expect(emulator.queuedFaults()).toEqual([]);
  });

  test('reads the code and message of a task that failed', () => {
    expect(got.failed_task).toMatchObject({
      status_code: 200,
      output: { task_status: 'FAILED', code: 'DataInspectionFailed', message: 'no' },
    });
  });

  test('cancels a waiting task once, and gives up on one that takes too long', () => {
    const { first, second, late, overdue } = got.cancel;
    expect(first.status_code).toBe(200);
    expect(first.request_id).toMatch(UUID);
    expect(second).toMatchObject({ status_code: 400, code: 'UnsupportedOperation' });
    expect(late).toMatchObject({ status_code: 200, output: { task_status: 'CANCELED' } });
    expect(overdue).toMatchObject({ status_code: 408, code: 'WaitTaskTimeout' });
  });

  test('reads the code of every error answer', () => {
    const { wrong_key, wrong_field, wrong_model, unknown_task, call, missing_file } = got.errors;
    expect(wrong_key).toMatchObject({ status_code: 401, code: 'InvalidApiKey' });
    expect(wrong_field).toMatchObject({
      status_code: 400,
      code: 'InvalidParameter',
      message: "Input should be '1080P' or '720P': parameters.resolution",
    });
    expect(wrong_field.request_id).toMatch(UUID);
    expect(wrong_model).toMatchObject({ status_code: 404, code: 'ModelNotFound' });
    expect(unknown_task).toMatchObject({ status_code: 200, output: { task_status: 'UNKNOWN' } });
    expect(call.type).toBe('InvalidTask');
    expect(missing_file.type).toBe('InvalidInput');
    expect(emulator.state().tasks.map((task) => task.prompt)).not.toContain('wrong field');
  });

  test('lists a page of finished tasks', () => {
    const { status_code, output } = got.list;
    expect(status_code).toBe(200);
    // sync, file, busy, aio, aio call
    expect(output).toMatchObject({ total: 5, total_page: 3, page_no: 1, page_size: 2 });
    expect(output.data).toHaveLength(2);
    expect(output.data[0]).toMatchObject({
      model_name: MODEL,
      status: 'SUCCEEDED',
      task_id: expect.stringMatching(UUID),
    });
  });

  test('does all of it with the asynchronous class, whose polls carry the parameters in their address', () => {
    const { submitted, called, fetched, waited, listed, cancelled } = got.aio;
    expect(submitted).toMatchObject({ status_code: 200, output: { task_id: taskOf('aio').task_id } });
    expect(called).toMatchObject({ status_code: 200, output: { task_status: 'SUCCEEDED', orig_prompt: 'aio call' } });
    expect(fetched.status_code).toBe(200);
    expect(waited).toMatchObject({ status_code: 200, output: { task_status: 'SUCCEEDED', orig_prompt: 'aio' } });
    expect(listed.output.data.map((row: Wire) => row.task_id)).toContain(taskOf('aio').task_id);
    expect(cancelled).toMatchObject({ status_code: 400, code: 'UnsupportedOperation' });
  });
});
