import { describe, expect, test } from 'vitest';
import type { DriftChange, DriftRule, EmulatorOptions } from '../../src/emulator/index.js';
import { call, control, MODEL, request, startOnClock, submit, type Wire } from '../support/emulator-calls.js';

/** An emulator with a finished task, which no query has shown yet. */
async function finishedTask(options: EmulatorOptions = {}) {
  const { emulator, clock } = await startOnClock({ settings: { query_rate: 0, ...options.settings } });
  const id = (await submit(emulator)).body.output.task_id as string;
  clock.ms += 60_000;
  return { emulator, clock, id };
}

/** The text of a query's answer after changes, and the answer without them. */
async function changed(changes: DriftChange[]): Promise<{ text: string; documented: Wire }> {
  const { emulator, id } = await finishedTask();
  const documented = (await call(emulator, `/tasks/${id}`)).body;
  emulator.queueFaults({ on: 'query', fault: 'drift', changes });
  const response = await request(emulator, `/tasks/${id}`);
  expect(response.headers.get('content-type')).toBe('application/json;charset=UTF-8');
  const text = await response.text();
  expect((await call(emulator, `/tasks/${id}`)).body).toMatchObject({ output: documented.output });
  expect(emulator.state().drifted).toBe(1);
  return { text, documented };
}

const STATUS = 'output.task_status';

test.each<[string, DriftChange[], (documented: Wire) => Wire]>([
  ['deletes a field', [{ kind: 'delete', path: 'usage.audio' }], ({ usage: { audio, ...usage } }) => ({ usage })],
  ['deletes an object', [{ kind: 'delete', path: 'usage' }], ({ usage, ...answer }) => answer],
  ['deletes all members', [{ kind: 'delete', path: 'usage.*' }], () => ({ usage: {} })],
  ['sets a tier in words', [{ kind: 'set', path: 'usage.SR', value: '720P' }], () => ({ usage: { SR: '720P' } })],
  ['sets what is not there', [{ kind: 'set', path: 'a.b[0].c', value: 1 }], () => ({ a: { b: [{ c: 1 }] } })],
  ['sets the whole answer', [{ kind: 'set', value: [] }], () => []],
  ['makes text of a number', [{ kind: 'retype', path: 'usage.SR', to: 'text' }], () => ({ usage: { SR: '720' } })],
  [
    'makes a number of a word',
    [{ kind: 'retype', path: STATUS, to: 'number' }],
    () => ({ output: { task_status: 0 } }),
  ],
  ['makes a boolean', [{ kind: 'retype', path: 'usage.SR', to: 'boolean' }], () => ({ usage: { SR: true } })],
  ['makes null', [{ kind: 'retype', path: 'usage', to: 'null' }], () => ({ usage: null })],
  ['makes an object', [{ kind: 'retype', path: 'output', to: 'object' }], () => ({ output: {} })],
  ['makes a list', [{ kind: 'retype', path: 'output', to: 'list' }], () => ({ output: [] })],
  [
    'recases a value',
    [{ kind: 'recase', path: STATUS, value: 'pascal' }],
    () => ({ output: { task_status: 'Succeeded' } }),
  ],
  [
    'recases names',
    [{ kind: 'recase', path: 'output.*', name: 'camel' }],
    ({ output }) => ({ output: { taskStatus: 'SUCCEEDED', videoUrl: output.video_url, taskId: output.task_id } }),
  ],
  ['renames a member', [{ kind: 'rename', path: STATUS, to: 'status' }], () => ({ output: { status: 'SUCCEEDED' } })],
  [
    'moves the link into results',
    [{ kind: 'move', path: 'output.video_url', to: 'output.results.video_url' }],
    ({ output }) => ({ output: { results: { video_url: output.video_url } } }),
  ],
  [
    'moves the link into a list of results',
    [{ kind: 'move', path: 'output.video_url', to: 'output.results[0].url' }],
    ({ output }) => ({ output: { results: [{ url: output.video_url }] } }),
  ],
  ['wraps in a list', [{ kind: 'nest', path: STATUS }], () => ({ output: { task_status: ['SUCCEEDED'] } })],
  [
    'wraps in an object',
    [{ kind: 'nest', path: 'usage.SR', name: 'value' }],
    () => ({ usage: { SR: { value: 720 } } }),
  ],
  ['wraps the whole answer', [{ kind: 'nest', name: 'data' }], ({ output }) => ({ data: { output } })],
  ['repeats a value', [{ kind: 'repeat', path: 'usage.SR', times: 3 }], () => ({ usage: { SR: [720, 720, 720] } })],
  ['adds to a number', [{ kind: 'shift', path: 'usage.duration', by: 2.04 }], () => ({ usage: { duration: 4.04 } })],
  [
    'moves a time before another',
    [{ kind: 'shift', path: 'output.end_time', by: -3_600_000 }],
    () => ({ output: { submit_time: '2026-01-22 23:24:46.527', end_time: expect.stringMatching(/^2026-01-22 22:2/) } }),
  ],
  [
    'replaces the scheme of a link',
    [{ kind: 'replace', path: 'output.video_url', find: 'http:', with: 'https:' }],
    () => ({ output: { video_url: expect.stringMatching(/^https:\/\/127/) } }),
  ],
  [
    'makes a message of 1 MB',
    [{ kind: 'lengthen', path: 'output.orig_prompt', to: 1_000_000 }],
    () => ({ output: { orig_prompt: expect.stringMatching(/^(a cat){200000}$/) } }),
  ],
  [
    'writes a number that is too large',
    [{ kind: 'raw', path: 'usage.duration', json: '1e400' }],
    () => ({ usage: { duration: Infinity } }),
  ],
  ['leaves what is not there', [{ kind: 'retype', path: 'output.results[0].url', to: 'null' }], (answer) => answer],
])('drift %s', async (_what, changes, expected) => {
  const { text, documented } = await changed(changes);
  const answer = JSON.parse(text);
  delete documented.request_id;
  expect(answer).toMatchObject(expected(structuredClone(documented)));
  for (const change of changes) {
    if (change.kind === 'delete') expect(text).not.toContain(`"${change.path?.split('.').at(-1)}"`);
    if (change.kind === 'rename') expect(answer.output).not.toHaveProperty('task_status');
    if (change.kind === 'move') expect(answer.output).not.toHaveProperty('video_url');
  }
});

test.each<[DriftChange, RegExp]>([
  [{ kind: 'duplicate', path: STATUS, value: 'FAILED' }, /"task_status":"SUCCEEDED","task_status":"FAILED"/],
  [{ kind: 'duplicate', path: STATUS, value: 1, first: true }, /"task_status":1,"task_status":"SUCCEEDED"/],
  [{ kind: 'duplicate', path: STATUS }, /"task_status":"SUCCEEDED","task_status":"SUCCEEDED"/],
  [{ kind: 'raw', path: 'usage', json: '{"duration":' }, /"usage":{"duration":}$/],
  [{ kind: 'delete' }, /^$/],
])('an answer after %j need not be what a JSON writer writes', async (change, expected) => {
  expect((await changed([change])).text).toMatch(expected);
});

test('any change is chosen by the seed: the same for the same seed, of many kinds over the answers', async () => {
  const answers = async (seed: number): Promise<string[]> => {
    const { emulator, id } = await finishedTask({ settings: { seed } });
    emulator.changeSettings({ drift: [{ on: 'query', changes: [{ kind: 'any', path: 'usage' }] }] });
    const usages: string[] = [];
    for (let i = 0; i < 40; i++) {
      usages.push(/"usage":(.*)}$/.exec(await (await request(emulator, `/tasks/${id}`)).text())?.[1] ?? '');
    }
    return usages;
  };
  const [first, second, other] = [await answers(7), await answers(7), await answers(8)];
  expect(second).toEqual(first);
  expect(other).not.toEqual(first);
  expect(new Set(first).size).toBeGreaterThan(20);
});

describe('the setting drift', () => {
  const linkIsMissing = (rule: Partial<DriftRule> = {}): DriftRule => ({
    on: 'query',
    changes: [{ kind: 'delete', path: 'output.video_url' }],
    task_status: 'SUCCEEDED',
    ...rule,
  });

  test('shows the link only from the fourth query of each task on, and is restored by a reset', async () => {
    const { emulator, clock } = await startOnClock({
      settings: { query_rate: 0, drift: [linkIsMissing({ times: 3 })] },
    });
    const ids = [(await submit(emulator)).body.output.task_id, (await submit(emulator)).body.output.task_id];
    const hasLink = async (id: string) => 'video_url' in (await call(emulator, `/tasks/${id}`)).body.output;
    expect(await hasLink(ids[0])).toBe(false); // It is pending, which the rule does not count.
    clock.ms += 60_000;
    for (const id of ids) {
      const seen: boolean[] = [];
      for (let i = 0; i < 5; i++) seen.push(await hasLink(id));
      expect(seen).toEqual([false, false, false, true, true]);
    }
    expect(emulator.state().drifted).toBe(6);
    emulator.changeSettings({ drift: [] });
    emulator.reset();
    expect(emulator.state().drifted).toBe(0);
    const again = (await submit(emulator)).body.output.task_id;
    clock.ms += 60_000;
    expect(await hasLink(again)).toBe(false);
  });

  test('hits a fraction of the answers, the same ones for the same seed', async () => {
    const hits = async (): Promise<string> => {
      const { emulator, id } = await finishedTask({ settings: { drift: [linkIsMissing({ probability: 0.25 })] } });
      let seen = '';
      for (let i = 0; i < 80; i++) {
        seen += 'video_url' in (await call(emulator, `/tasks/${id}`)).body.output ? '.' : 'x';
      }
      return seen;
    };
    const seen = await hits();
    expect(await hits()).toBe(seen);
    expect(seen.replaceAll('.', '').length).toBeGreaterThan(10);
    expect(seen.replaceAll('.', '').length).toBeLessThan(35);
  });

  test('hits the tasks of a prompt, and leaves the first answers', async () => {
    const { emulator, clock } = await startOnClock({
      settings: { query_rate: 0, drift: [linkIsMissing({ match: 'dog', skip: 1, times: 1 })] },
    });
    const ids: string[] = [];
    for (const prompt of ['a cat', 'a dog']) ids.push((await submit(emulator, { prompt })).body.output.task_id);
    clock.ms += 60_000;
    const seen: boolean[][] = [];
    for (const id of ids) {
      seen.push([]);
      for (let i = 0; i < 3; i++) seen.at(-1)?.push('video_url' in (await call(emulator, `/tasks/${id}`)).body.output);
    }
    expect(seen).toEqual([
      [true, true, true],
      [true, false, true],
    ]);
  });

  test('changes errors, too, those of the service and those of a fault', async () => {
    const { emulator } = await startOnClock({
      settings: {
        api_keys: ['sk-test'],
        drift: [{ on: 'submit', changes: [{ kind: 'move', path: 'code', to: 'error.code' }] }],
      },
    });
    const refused = await submit(emulator, {}, {}, { key: 'sk-wrong' });
    expect(refused).toMatchObject({ status: 401, body: { error: { code: 'InvalidApiKey' } } });
    emulator.queueFaults({ on: 'submit', fault: 'status', status: 400, code: 'InvalidParameter' });
    expect(await submit(emulator)).toMatchObject({ status: 400, body: { error: { code: 'InvalidParameter' } } });
    expect(emulator.state()).toMatchObject({ drifted: 2, tasks: [] });
  });

  test('changes the rows of other software, its counts, a policy and a cancel', async () => {
    const { emulator } = await startOnClock({ settings: { slots: 0 } });
    const { task_id } = emulator.addTask({ prompt: 'other' });
    const own = (await submit(emulator)).body.output.task_id;
    emulator.changeSettings({
      drift: [
        {
          on: 'list',
          changes: [
            { kind: 'set', path: `data[task_id=${task_id}].status`, value: 'POST-PROCESSING' },
            { kind: 'set', path: `data[task_id=${own}]`, value: 'row' },
            { kind: 'retype', path: 'total', to: 'text' },
            { kind: 'repeat', path: 'data' },
          ],
        },
        { on: 'policy', changes: [{ kind: 'delete', path: 'data.x_oss_forbid_overwrite' }] },
        { on: 'cancel', changes: [{ kind: 'delete', path: 'request_id' }] },
      ],
    });
    const page = (await call(emulator, '/tasks')).body;
    expect(page).toMatchObject({ total: '2', data: { length: 4 } });
    expect(page.data.filter((row: unknown) => row === 'row')).toHaveLength(2);
    expect(page.data.filter((row: Wire) => row.status === 'POST-PROCESSING')).toHaveLength(2);
    const { data } = (await call(emulator, `/uploads?action=getPolicy&model=${MODEL}`)).body;
    expect(data).toHaveProperty('x_oss_object_acl');
    expect(data).not.toHaveProperty('x_oss_forbid_overwrite');
    expect((await call(emulator, `/tasks/${own}/cancel`, { method: 'POST' })).body).toEqual({});
    expect(emulator.state().tasks[1]?.status).toBe('CANCELED');
  });

  test.each<[unknown, RegExp]>([
    [[{ on: 'query', changes: [] }], /drift\.0\.changes: /],
    [[{ on: 'download', changes: [{ kind: 'delete' }] }], /drift\.0\.on: Invalid option/],
    [[{ on: 'query', changes: [{ kind: 'remove', path: 'usage' }] }], /drift\.0\.changes\.0\.kind: Invalid/],
    [[{ on: 'query', changes: [{ kind: 'delete', path: 'usage..SR' }] }], /drift\.0\.changes\.0\.path: not a path/],
    [[{ on: 'query', changes: [{ kind: 'delete', to: 'text' }] }], /Unrecognized key: "to"/],
    [[{ on: 'list', match: 'dog', changes: [{ kind: 'delete' }] }], /drift\.0\.match: list has no prompt/],
    [
      [{ on: 'submit', after_success: true, changes: [{ kind: 'delete' }] }],
      /after_success: submit is not about a task/,
    ],
    [[{ on: 'query', probability: 2, changes: [{ kind: 'delete' }] }], /drift\.0\.probability: /],
  ])('%j is refused and changes nothing', async (drift, message) => {
    const { emulator } = await startOnClock();
    const refused = await control(emulator, 'settings', { drift });
    expect(refused).toMatchObject({ status: 400, body: { message: expect.stringMatching(message) } });
    expect(emulator.changeSettings({}).drift).toEqual([]);
  });
});

test.each<[object, unknown, string]>([
  [{ envelope: 'top' }, { code: 'invalid_api_key', message: 'm', request_id: expect.any(String) }, 'application/json'],
  [
    { envelope: 'output' },
    { output: { code: 'invalid_api_key', message: 'm' }, request_id: expect.any(String) },
    'application/json',
  ],
  [
    { envelope: 'error' },
    { error: { code: 'invalid_api_key', message: 'm' }, request_id: expect.any(String) },
    'application/json',
  ],
  [{ envelope: 'error-text' }, { error: 'm', request_id: expect.any(String) }, 'application/json'],
  [
    { changes: [{ kind: 'set', path: 'code', value: 400 }] },
    expect.objectContaining({ code: 400 }),
    'application/json',
  ],
])('an error can be in the envelope %j', async (form, expected, type) => {
  const { emulator } = await startOnClock();
  const error = { status: 401, code: 'invalid_api_key', message: 'm' };
  emulator.queueFaults({ on: 'submit', fault: 'status', ...error, ...form });
  const { status, body, headers } = await submit(emulator);
  expect({ status, body }).toEqual({ status: 401, body: expected });
  expect(headers.get('content-type')).toBe(type);
});

test('an error can be plain text, and empty', async () => {
  const { emulator } = await startOnClock();
  emulator.queueFaults([
    { on: 'query', fault: 'status', message: 'm', envelope: 'text' },
    { on: 'query', fault: 'status', envelope: 'empty' },
  ]);
  const text = await request(emulator, '/tasks/x');
  expect([text.status, text.headers.get('content-type'), await text.text()]).toEqual([500, 'text/plain', 'm']);
  expect(await (await request(emulator, '/tasks/x')).text()).toBe('');
});

test('a query answers UNKNOWN only after it has answered SUCCEEDED', async () => {
  const { emulator, id } = await finishedTask();
  emulator.queueFaults({ on: 'query', fault: 'unknown', after_success: true });
  const seen: string[] = [];
  for (let i = 0; i < 3; i++) seen.push((await call(emulator, `/tasks/${id}`)).body.output.task_status);
  expect(seen).toEqual(['SUCCEEDED', 'UNKNOWN', 'SUCCEEDED']);
});

test('faults can be for tasks of one status', async () => {
  const { emulator, clock, id } = await finishedTask();
  const young = (await submit(emulator)).body.output.task_id;
  emulator.queueFaults({ on: 'query', fault: 'unknown', task_status: 'RUNNING', times: null });
  clock.ms += 1000;
  expect((await call(emulator, `/tasks/${id}`)).body.output.task_status).toBe('SUCCEEDED');
  expect((await call(emulator, `/tasks/${young}`)).body.output.task_status).toBe('UNKNOWN');
});

describe('a download', () => {
  test('is served after as many redirects to its own address as a fault says, also at another host', async () => {
    const { emulator, id } = await finishedTask();
    const url = (await call(emulator, `/tasks/${id}`)).body.output.video_url as string;
    const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
    const origin = emulator.origin.replace('127.0.0.1', 'localhost');
    emulator.queueFaults([
      { on: 'download', fault: 'redirect', hops: 5, times: 2 },
      { on: 'download', fault: 'redirect', status: 307, origin },
    ]);
    for (let i = 0; i < 2; i++) {
      const followed = await fetch(url);
      expect(new URL(followed.url).searchParams.get('hop')).toBe('5');
      expect(Buffer.from(await followed.arrayBuffer()).equals(bytes)).toBe(true);
    }
    expect(emulator.state().downloads).toBe(1 + 2 * 6);
    const elsewhere = await fetch(url, { redirect: 'manual' });
    expect([elsewhere.status, elsewhere.headers.get('location')]).toEqual([
      307,
      `${url.replace(emulator.origin, origin)}&hop=1&hops=1`,
    ]);
    expect((await fetch(url)).redirected).toBe(false);
  });

  test.each([400, 401, 407, 451, 500])('can be answered %i', async (status) => {
    const { emulator, id } = await finishedTask();
    const url = (await call(emulator, `/tasks/${id}`)).body.output.video_url as string;
    emulator.queueFaults({ on: 'download', fault: 'status', status });
    const answer = await fetch(url).catch((error: unknown) => error);
    // Undici does not hand on a 407.
    expect(answer instanceof Response ? answer.status : 407).toBe(status);
    expect((await fetch(url)).status).toBe(200);
  });

  test('can be of another codec or brand, longer, and cut off', async () => {
    const { emulator, id } = await finishedTask();
    const url = (await call(emulator, `/tasks/${id}`)).body.output.video_url as string;
    const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
    emulator.queueFaults({ on: 'download', fault: 'patch', find: 'avc1', with: 'hvc1', append_bytes: 100, times: 2 });
    const patched = Buffer.from(await (await fetch(url)).arrayBuffer());
    expect(patched.length).toBe(bytes.length + 100);
    expect(patched.subarray(bytes.length).equals(Buffer.alloc(100))).toBe(true);
    expect([patched.includes('avc1'), patched.includes('hvc1')]).toEqual([false, true]);
    const part = await fetch(url, { headers: { range: `bytes=${bytes.length - 10}-` } });
    expect(Buffer.from(await part.arrayBuffer()).equals(patched.subarray(bytes.length - 10))).toBe(true);
    emulator.queueFaults({ on: 'download', fault: 'patch', keep_bytes: 1000 });
    expect(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(bytes.subarray(0, 1000))).toBe(true);
  });
});

test.each(['gzip', 'deflate', 'br'] as const)(
  'an answer and a download can be compressed unasked as %s',
  async (encoding) => {
    const { emulator, id } = await finishedTask();
    emulator.queueFaults([
      { on: 'query', fault: 'encoded', encoding },
      { on: 'download', fault: 'encoded', encoding },
    ]);
    const answer = await call(emulator, `/tasks/${id}`, { headers: { 'accept-encoding': 'identity' } });
    expect(answer.headers.get('content-encoding')).toBe(encoding);
    const url = answer.body.output.video_url;
    const compressed = Buffer.from(await (await fetch(url)).arrayBuffer());
    expect(compressed.equals(Buffer.from(await (await fetch(url)).arrayBuffer()))).toBe(true);
  },
);

test('an answer can claim an encoding that its body does not have, and have other headers', async () => {
  const { emulator, id } = await finishedTask();
  emulator.queueFaults([
    { on: 'query', fault: 'encoded', compressed: false },
    { on: 'query', fault: 'headers', headers: { 'Content-Type': 'text/html', 'Content-Length': null, 'x-new': 'y' } },
  ]);
  await expect(call(emulator, `/tasks/${id}`)).rejects.toThrow();
  const { headers, body } = await call(emulator, `/tasks/${id}`);
  expect(['content-type', 'content-length', 'x-new'].map((name) => headers.get(name))).toEqual([
    'text/html',
    null,
    'y',
  ]);
  expect(body.output.task_status).toBe('SUCCEEDED');
});

test.each<[object, RegExp]>([
  [{ on: 'query', fault: 'drift' }, /changes: required/],
  [{ on: 'download', fault: 'drift', changes: [{ kind: 'delete' }] }, /on: drift is possible for submit, query/],
  [{ on: 'query', fault: 'headers' }, /headers: required/],
  [{ on: 'download', fault: 'patch', find: 'avc1', with: 'hevc1' }, /with: required with find, of the same length/],
  [{ on: 'download', fault: 'redirect', hops: 2, location: '/x' }, /hops: excludes location/],
  [{ on: 'query', fault: 'redirect', hops: 2 }, /0\.location: required; 0\.hops: possible for download only/],
  [{ on: 'download', fault: 'status', envelope: 'error' }, /envelope: download answers in XML/],
  [{ on: 'submit', fault: 'status', task_status: 'RUNNING' }, /task_status: submit is not about a task/],
])('the fault %j is refused', async (fault, message) => {
  const { emulator } = await startOnClock();
  const refused = await control(emulator, 'faults', fault);
  expect(refused).toMatchObject({ status: 400, body: { message: expect.stringMatching(message) } });
});
