import { describe, expect, test } from 'vitest';
import type { Emulator, EmulatorFault } from '../../src/emulator/index.js';
import {
  call,
  control,
  MODEL,
  request,
  START,
  startOnClock,
  submit,
  submitRaw,
  type Wire,
} from '../support/emulator-calls.js';

/** How a call ended: the code of the fault on the socket, or the answer. */
async function outcomeOf(sent: Promise<Response>) {
  try {
    const response = await sent;
    return { status: response.status, headers: response.headers, text: await response.text() };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string; message?: string } };
    return { error: cause?.code ?? String(error) };
  }
}

async function finishedTask(settings = {}): Promise<{ emulator: Emulator; id: string; url: string; bytes: Buffer }> {
  const { emulator, clock } = await startOnClock({ settings });
  const id = (await submit(emulator)).body.output.task_id;
  clock.ms += 60_000;
  const url = (await call(emulator, `/tasks/${id}`)).body.output.video_url;
  const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
  return { emulator, id, url, bytes };
}

const LOST = { error: 'UND_ERR_SOCKET' };
const RESET = { error: 'ECONNRESET' };

describe('a submit whose answer is spoiled', () => {
  test.each<[Omit<EmulatorFault, 'on'>, number, object]>([
    [{ fault: 'drop-reply' }, 1, LOST],
    [{ fault: 'drop-reply', when: 'before' }, 0, LOST],
    [{ fault: 'reset' }, 0, RESET],
    [{ fault: 'reset', when: 'after' }, 1, RESET],
    [{ fault: 'truncate' }, 1, LOST],
    [
      { fault: 'status', status: 503, code: 'ModelUnavailable' },
      0,
      { status: 503, text: /^{"code":"ModelUnavailable","message":"An internal/ },
    ],
    [{ fault: 'status', when: 'after' }, 1, { status: 500, text: /^{"code":"InternalError"/ }],
    [{ fault: 'status', status: 429 }, 0, { status: 429, text: /^{"code":"Throttling.RateQuota"/ }],
    [
      { fault: 'status', status: 429, code: 'PrepaidBillOverdue', message: 'm' },
      0,
      { status: 429, text: /^{"code":"PrepaidBillOverdue","message":"m"/ },
    ],
    [{ fault: 'gateway' }, 0, { status: 502, text: /^<html>\n<head><title>502 Bad Gateway/ }],
    [
      { fault: 'gateway', status: 504, when: 'after' },
      1,
      { status: 504, text: /^<html>\n<head><title>504 Gateway Time-out/ },
    ],
    [{ fault: 'malformed' }, 1, { status: 200, text: /^upstream/ }],
    [{ fault: 'malformed', when: 'before' }, 0, { status: 200, text: /^upstream/ }],
    [
      { fault: 'malformed', form: 'truncated' },
      1,
      { status: 200, text: /^{"output":{"task_status":"PENDING","task_id":"[^}]*$/ },
    ],
    [{ fault: 'malformed', form: 'truncated', when: 'before' }, 0, { status: 200, text: /^{"output":{[^}]*$/ }],
    [{ fault: 'malformed', form: 'empty' }, 1, { status: 200, text: /^$/ }],
    [{ fault: 'malformed', form: 'html' }, 1, { status: 200, text: /^<html>/ }],
    [{ fault: 'malformed', form: 'no-output' }, 1, { status: 200, text: /^{}$/ }],
    [{ fault: 'redirect', location: '/elsewhere' }, 0, { status: 404, text: /NotFound/ }],
  ])('%j leaves %i task(s)', async (fault, tasks, seen) => {
    const { emulator } = await startOnClock();
    emulator.queueFaults({ on: 'submit', ...fault });
    const outcome = await outcomeOf(submitRaw(emulator));
    if ('error' in outcome) expect(outcome).toEqual(seen);
    else expect(outcome).toMatchObject({ ...seen, text: expect.stringMatching((seen as { text: RegExp }).text) });
    expect(emulator.state()).toMatchObject({ submits: 1, tasks: { length: tasks } });
    expect((await submit(emulator)).status).toBe(200); // once means once
  });

  test.each([
    ['malformed', { form: 'html' }, 'text/html'],
    ['malformed', { form: 'text' }, 'text/plain'],
    ['malformed', { form: 'truncated' }, 'application/json'],
    ['gateway', {}, 'text/html'],
  ] as const)('%s %j says so in its content type', async (fault, more, type) => {
    const { emulator } = await startOnClock();
    emulator.queueFaults({ on: 'submit', fault, ...more });
    expect((await submitRaw(emulator)).headers.get('content-type')).toBe(type);
  });

  test('a reset midway comes after half of the body', async () => {
    const { emulator } = await startOnClock();
    emulator.queueFaults({ on: 'submit', fault: 'reset', when: 'midway' });
    const response = await submitRaw(emulator);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
    expect(emulator.state().tasks).toHaveLength(1);
  });

  test.each(['before', 'after'] as const)('a delay %s lets the client give up', async (when) => {
    const { emulator } = await startOnClock();
    emulator.queueFaults({ on: 'submit', fault: 'delay', when, delay_ms: 2_000 });
    const leave = new AbortController();
    const path = '/services/aigc/video-generation/video-synthesis';
    const aborted = fetch(emulator.baseUrl + path, {
      method: 'POST',
      headers: { authorization: 'Bearer k', 'x-dashscope-async': 'enable' },
      body: JSON.stringify({ model: MODEL, input: { img_url: 'https://example.com/a.png' } }),
      signal: leave.signal,
    });
    aborted.catch(() => undefined); // expected below
    await expect.poll(() => emulator.queuedFaults().length).toBe(0); // the request has come
    if (when === 'after') await expect.poll(() => emulator.state().tasks.length).toBe(1);
    else expect(emulator.state().tasks).toEqual([]);
    leave.abort();
    await expect(aborted).rejects.toThrow(/abort/);
    // The request takes effect although its client gave up.
    await expect.poll(() => emulator.state().tasks.length, { timeout: 10_000 }).toBe(1);
  });
});

test.each([
  [{ retry_after: 3 }, '3'],
  [{ retry_after: 90, retry_after_as: 'date' }, new Date(START + 90_000).toUTCString()],
  [{ retry_after: 'soon' }, 'soon'],
  [{}, null],
] as const)('Retry-After of %j is %j', async (more, value) => {
  const { emulator } = await startOnClock();
  emulator.queueFaults([
    { on: 'query', fault: 'status', status: 429, ...more },
    { on: 'query', fault: 'gateway', ...more },
  ]);
  for (let i = 0; i < 2; i++) {
    expect((await request(emulator, '/tasks/x')).headers.get('retry-after')).toBe(value);
  }
});

test('a query can deny a young task, fail it, and change what it says of it', async () => {
  const { emulator, id } = await finishedTask();
  const outputOf = async (): Promise<Wire> => (await call(emulator, `/tasks/${id}`)).body;
  emulator.queueFaults([
    { on: 'query', fault: 'unknown' },
    {
      on: 'query',
      fault: 'drift',
      changes: [
        { kind: 'delete', path: 'output.orig_prompt' },
        { kind: 'set', path: 'output.video_url', value: 'http://other.example/v.mp4' },
      ],
    },
    {
      on: 'query',
      fault: 'drift',
      changes: [
        { kind: 'set', path: 'output.task_status', value: 'SUSPENDED' },
        { kind: 'set', path: 'usage.SR', value: 1080 },
        { kind: 'delete', path: 'usage.audio' },
      ],
    },
  ]);
  expect((await outputOf()).output).toEqual({ task_id: id, task_status: 'UNKNOWN' });
  const { output } = await outputOf();
  expect(output.video_url).toBe('http://other.example/v.mp4');
  expect(output).not.toHaveProperty('orig_prompt');
  const altered = await outputOf();
  expect(altered.output.task_status).toBe('SUSPENDED');
  expect(altered.usage).toMatchObject({ SR: 1080, duration: 2 });
  expect(altered.usage).not.toHaveProperty('audio');
  expect(await outputOf()).toMatchObject({ output: { orig_prompt: 'a cat' }, usage: { SR: 720, audio: true } });

  const young = (await submit(emulator)).body.output.task_id;
  emulator.queueFaults({ on: 'query', fault: 'task-failed', code: 'InternalError.Algo', message: 'm' });
  expect((await call(emulator, `/tasks/${young}`)).body.output).toMatchObject({
    task_status: 'FAILED',
    code: 'InternalError.Algo',
    message: 'm',
  });
});

test('a task can be made to fail with and without a code', async () => {
  const { emulator, clock } = await startOnClock();
  emulator.queueFaults([
    { on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', message: 'm', match: 'dog' },
    { on: 'submit', fault: 'task-failed', match: 'cow' },
  ]);
  const ids: string[] = [];
  for (const prompt of ['a cow', 'a cat', 'a dog']) ids.push((await submit(emulator, { prompt })).body.output.task_id);
  clock.ms += 60_000;
  const outputs = await Promise.all(ids.map(async (id) => (await call(emulator, `/tasks/${id}`)).body.output));
  expect(outputs.map((output) => output.task_status)).toEqual(['FAILED', 'SUCCEEDED', 'FAILED']);
  expect(outputs[0]).not.toHaveProperty('code');
  expect(outputs[2]).toMatchObject({ code: 'DataInspectionFailed', message: 'm' });
  expect(emulator.state().billed_seconds).toBe(2);
});

describe('a download', () => {
  test('can be cut, reset in the middle, and then be resumed by a range', async () => {
    const { emulator, url, bytes } = await finishedTask();
    emulator.queueFaults([
      { on: 'download', fault: 'truncate' },
      { on: 'download', fault: 'reset', when: 'midway' },
      { on: 'download', fault: 'reset' },
    ]);
    for (let i = 0; i < 2; i++) {
      const response = await fetch(url);
      expect(response.headers.get('content-length')).toBe(String(bytes.length));
      await expect(response.arrayBuffer()).rejects.toThrow();
    }
    expect(await outcomeOf(fetch(url))).toEqual(RESET);
    const rest = await fetch(url, { headers: { range: `bytes=${bytes.length >> 1}-` } });
    expect(Buffer.from(await rest.arrayBuffer()).equals(bytes.subarray(bytes.length >> 1))).toBe(true);
    expect(emulator.state().downloads).toBe(5);
  });

  test('can come slowly', async () => {
    const { emulator, url, bytes } = await finishedTask();
    emulator.queueFaults({ on: 'download', fault: 'slow', delay_ms: 300 });
    const started = performance.now();
    const slow = Buffer.from(await (await fetch(url)).arrayBuffer());
    expect(performance.now() - started).toBeGreaterThan(250);
    expect(slow.equals(bytes)).toBe(true);
  });

  test('can stop in the middle without an end', async () => {
    const { emulator, url, bytes } = await finishedTask();
    emulator.queueFaults({ on: 'download', fault: 'stall' });
    const response = await fetch(url, { signal: AbortSignal.timeout(500) });
    let received = 0;
    const reading = (async () => {
      for await (const piece of response.body!) received += (piece as Uint8Array).length;
    })();
    await expect(reading).rejects.toThrow(/timeout/);
    expect(received).toBe(bytes.length >> 1);
  });

  test('can be zeros from the start or from a place on, of the right length', async () => {
    const { emulator, url, bytes } = await finishedTask();
    emulator.queueFaults([
      { on: 'download', fault: 'zero-fill' },
      { on: 'download', fault: 'zero-fill', keep_bytes: 5000 },
    ]);
    expect(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(Buffer.alloc(bytes.length))).toBe(true);
    const half = Buffer.from(await (await fetch(url)).arrayBuffer());
    expect(half.subarray(0, 5000).equals(bytes.subarray(0, 5000))).toBe(true);
    expect(half.subarray(5000).equals(Buffer.alloc(bytes.length - 5000))).toBe(true);
  });

  test('can be a page, expired, refused by the store, or sent elsewhere', async () => {
    const { emulator, url } = await finishedTask();
    emulator.queueFaults([
      { on: 'download', fault: 'not-mp4' },
      { on: 'download', fault: 'expired' },
      { on: 'download', fault: 'status', status: 503, code: 'SlowDown', message: 'Reduce your rate.' },
      { on: 'download', fault: 'redirect', status: 307, location: 'http://169.254.169.254/' },
    ]);
    expect(await outcomeOf(fetch(url))).toMatchObject({ status: 200, text: expect.stringMatching(/^<html>/) });
    expect(await outcomeOf(fetch(url))).toMatchObject({
      status: 403,
      text: expect.stringContaining('<Message>Request has expired.</Message>'),
    });
    expect(await outcomeOf(fetch(url))).toMatchObject({
      status: 503,
      text: expect.stringContaining('<Code>SlowDown</Code>'),
    });
    const redirect = await fetch(url, { redirect: 'manual' });
    expect([redirect.status, redirect.headers.get('location')]).toEqual([307, 'http://169.254.169.254/']);
  });
});

test('list, cancel, policy and upload can fail like everything else', async () => {
  const { emulator } = await startOnClock();
  emulator.queueFaults([
    { on: 'list', fault: 'status', status: 401, code: 'InvalidApiKey' },
    { on: 'cancel', fault: 'gateway', status: 504 },
    { on: 'policy', fault: 'malformed', form: 'empty' },
    { on: 'upload', fault: 'status', status: 403, code: 'AccessDenied', message: 'Policy expired.' },
  ]);
  expect((await call(emulator, '/tasks')).body.code).toBe('InvalidApiKey');
  expect((await request(emulator, '/tasks/x/cancel', { method: 'POST' })).status).toBe(504);
  const policy = `/uploads?action=getPolicy&model=${MODEL}`;
  expect(await (await request(emulator, policy)).text()).toBe('');
  const { data } = (await call(emulator, policy)).body;
  expect(await (await fetch(data.upload_host, { method: 'POST', body: 'x' })).text()).toContain('Policy expired.');
  expect(emulator.state()).toMatchObject({ lists: 1, cancels: 1, policies: 2, uploads: 1 });
});

test('a fault hits the requests that it names, as often as it says, after those that it lets pass', async () => {
  const { emulator } = await startOnClock({ settings: { submit_rate: 0, query_rate: 0 } });
  const ids: Record<string, string> = {};
  for (const prompt of ['a cat', 'a dog']) ids[prompt] = (await submit(emulator, { prompt })).body.output.task_id;
  emulator.queueFaults({ on: 'query', fault: 'status', match: 'dog', skip: 1, times: 2 });
  const statusOf = async (prompt: string): Promise<number> => (await call(emulator, `/tasks/${ids[prompt]}`)).status;
  const seen: number[] = [];
  for (const prompt of ['a cat', 'a dog', 'a cat', 'a dog', 'a dog', 'a dog']) seen.push(await statusOf(prompt));
  expect(seen).toEqual([200, 200, 200, 500, 500, 200]);
  emulator.queueFaults({ on: 'list', fault: 'status', times: null });
  for (let i = 0; i < 3; i++) expect((await call(emulator, '/tasks')).status).toBe(500);
  emulator.clearFaults();
  expect((await call(emulator, '/tasks')).status).toBe(200);
});

test.each<[unknown, RegExp]>([
  [{ on: 'submit' }, /fault: Invalid option/],
  [{ on: 'submitt', fault: 'reset' }, /on: Invalid option/],
  [{ on: 'submit', fault: 'drop' }, /fault: Invalid option/],
  [{ on: 'submit', fault: 'reset', time: 2 }, /Unrecognized key: "time"/],
  [{ on: 'submit', fault: 'reset', times: 0 }, /times: /],
  [{ on: 'submit', fault: 'reset', delay_ms: 5 }, /delay_ms: reset does not use this field/],
  [{ on: 'submit', fault: 'drop-reply', when: 'midway' }, /when: midway is possible for reset only/],
  [{ on: 'submit', fault: 'not-mp4' }, /on: not-mp4 is possible for download/],
  [{ on: 'list', fault: 'reset', match: 'dog' }, /match: list has no prompt/],
  [{ on: 'query', fault: 'redirect' }, /location: required/],
  [
    [
      { on: 'submit', fault: 'reset' },
      { on: 'submit', fault: 'oops' },
    ],
    /1\.fault: Invalid option/,
  ],
  [[], /faults: /],
])('the fault %j is refused and nothing is queued', async (fault, message) => {
  const { emulator } = await startOnClock();
  const refused = await control(emulator, 'faults', fault);
  expect(refused).toMatchObject({ status: 400, body: { message: expect.stringMatching(message) } });
  expect(() => emulator.queueFaults(fault as EmulatorFault)).toThrow(message);
  expect(emulator.queuedFaults()).toEqual([]);
});
