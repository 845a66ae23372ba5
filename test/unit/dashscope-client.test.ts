import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import { buildCreateTask } from '../../src/dashscope/request-body.js';

const KEY = 'sk-test-0123456789';
const body = buildCreateTask({
  prompt: 'p',
  img_url: 'oss://a',
  duration: 4,
  fps: 24,
  size: '1280*720',
  resolution: '720P',
  seed: 1,
  audio: false,
  negative_prompt: null,
  audio_url: null,
  motion_strength: null,
  prompt_extend: null,
  shot_type: null,
  watermark: null,
});

interface Seen {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

async function serve(answer: (seen: Seen, response: ServerResponse) => void, timeouts = {}) {
  const calls: Seen[] = [];
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const seen = { method: req.method, url: req.url, headers: req.headers, body: Buffer.concat(chunks).toString() };
    calls.push(seen);
    answer(seen, res);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new DashScopeClient({
    baseUrl: `${origin}/api/v1/`,
    apiKey: () => KEY,
    workspace: 'ws',
    timeouts,
  });
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await client.close();
  });
  return { calls, client, origin };
}

const json = (res: ServerResponse, status: number, value: unknown, headers = {}) =>
  void res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));

test('a submit carries the documented headers and the forwarded fields, and yields the task id', async () => {
  const { calls, client } = await serve((_, res) =>
    json(res, 200, { output: { task_id: 't1', task_status: 'PENDING' }, request_id: 'r1' }),
  );
  expect(await client.createTask(body, { ossResolve: true })).toEqual({
    kind: 'accepted',
    taskId: 't1',
    requestId: 'r1',
  });
  expect(calls[0]).toMatchObject({
    method: 'POST',
    url: '/api/v1/services/aigc/video-generation/video-synthesis',
    headers: {
      authorization: `Bearer ${KEY}`,
      'x-dashscope-async': 'enable',
      'x-dashscope-ossresourceresolve': 'enable',
      'x-dashscope-workspace': 'ws',
    },
  });
  expect(JSON.parse(calls[0]!.body).parameters).toEqual({
    resolution: '720P',
    duration: 4,
    seed: 1,
    audio: false,
    fps: 24,
    size: '1280*720',
  });
});

test.each<[string, (res: ServerResponse) => void]>([
  ['is lost', (res) => void res.destroy()],
  ['never comes', () => {}],
  ['is cut short', (res) => void res.writeHead(200, { 'content-length': '99' }).write('{', () => res.destroy())],
  ['is not JSON', (res) => void res.end('<html>')],
  ['is larger than 1 MiB', (res) => void res.end(Buffer.alloc(1_100_000, 32))],
  ['redirects', (res) => void res.writeHead(307, { location: '/elsewhere' }).end()],
])('a submit whose answer %s is unknown and is not sent again', async (_why, fault) => {
  const { calls, client } = await serve((_, res) => fault(res));
  expect(await client.createTask(body)).toMatchObject({
    kind: 'unknown',
    error: { type: FailureType.SubmitOutcomeUnknown, retryable: false },
  });
  expect(calls).toHaveLength(1);
});

test('a submit that finds no server was not sent', async () => {
  const client = new DashScopeClient({ baseUrl: 'http://127.0.0.1:1/api/v1', apiKey: () => KEY });
  expect(await client.createTask(body)).toMatchObject({
    kind: 'not_sent',
    error: { type: FailureType.ProviderUnavailable, retryable: true },
  });
  await client.close();
});

test('a key that no header can carry is a rejected submit', async () => {
  const client = new DashScopeClient({ baseUrl: 'http://127.0.0.1:1/api/v1', apiKey: () => 'a\nb' });
  expect(await client.createTask(body)).toMatchObject({
    kind: 'rejected',
    error: { type: FailureType.CredentialsRejected },
  });
});

test('a throttled submit keeps the wish of the provider and hides an echoed key', async () => {
  const { client } = await serve((_, res) =>
    json(res, 429, { code: 'Throttling', message: `slow down ${KEY}` }, { 'retry-after': '3' }),
  );
  const outcome = await client.createTask(body);
  expect(outcome).toMatchObject({
    kind: 'not_sent',
    error: { type: FailureType.ProviderThrottled, retryAfterMs: 3_000 },
  });
  expect(outcome.kind === 'not_sent' && outcome.error.message).not.toContain(KEY);
});

test('a finished task is read with its times taken as UTC+8', async () => {
  const { calls, client } = await serve((_, res) =>
    json(res, 200, {
      request_id: 'r',
      output: {
        task_id: 't',
        task_status: 'SUCCEEDED',
        submit_time: '2025-05-18 16:26:27.871',
        end_time: '2025-05-18 16:27:00.000',
        orig_prompt: 'p',
        video_url: 'https://h/v.mp4?Expires=1',
      },
      usage: { duration: 10, SR: 720, audio: true, video_count: 1 },
    }),
  );
  expect(await client.queryTask('t')).toEqual({
    taskId: 't',
    status: 'SUCCEEDED',
    submitTimeMs: Date.UTC(2025, 4, 18, 8, 26, 27, 871),
    endTimeMs: Date.UTC(2025, 4, 18, 8, 27),
    origPrompt: 'p',
    videoUrl: 'https://h/v.mp4?Expires=1',
    requestId: 'r',
    usage: { duration: 10, sr: 720, audio: true },
  });
  expect(calls[0]!.headers['x-dashscope-async']).toBeUndefined();
});

test('a query ends with the reason of its signal, and with a retryable error when the answer stalls', async () => {
  const { client } = await serve(() => {}, { readMs: 50 });
  const reason = new Error('paused');
  await expect(client.queryTask('t', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  await expect(client.queryTask('t')).rejects.toMatchObject({ type: FailureType.ProviderUnavailable, retryable: true });
});

test('the task list is asked in UTC+8 and read row by row', async () => {
  const { calls, client } = await serve((_, res) =>
    json(res, 200, {
      total: 1,
      page_no: 1,
      total_page: 1,
      request_id: 'r',
      data: [{ task_id: 't', status: 'RUNNING', gmt_create: 1_745_568_428_109, api_key_id: 15, request_id: 's' }],
    }),
  );
  const page = await client.listTasks({ modelName: 'm', startMs: Date.UTC(2026, 0, 1, 20), pageNo: 1, pageSize: 50 });
  expect(page.tasks[0]).toMatchObject({
    taskId: 't',
    status: 'RUNNING',
    createdAtMs: 1_745_568_428_109,
    apiKeyId: '15',
    requestId: 's',
  });
  expect(calls[0]!.url).toBe('/api/v1/tasks/?model_name=m&page_no=1&page_size=50&start_time=20260102040000');
});

test('a cancel says whether the provider accepted it', async () => {
  let status = 200;
  const { client } = await serve((_, res) =>
    json(
      res,
      status,
      status === 200 ? { request_id: 'r' } : { code: status === 400 ? 'UnsupportedOperation' : 'InternalError' },
    ),
  );
  expect(await client.cancelTask('t')).toBe(true);
  status = 400;
  expect(await client.cancelTask('t')).toBe(false);
  status = 500;
  await expect(client.cancelTask('t')).rejects.toMatchObject({ type: FailureType.ProviderUnavailable });
});

test('an upload streams the file as the last field with the exact length and without our key', async () => {
  const server = await serve((seen, res) => {
    if (seen.method === 'POST') return void res.end();
    json(res, 200, {
      data: {
        policy: 'pol',
        signature: 'sig',
        upload_dir: 'dir/x',
        upload_host: server.origin,
        expire_in_seconds: 300,
        max_file_size_mb: 100,
        oss_access_key_id: 'LTA',
        x_oss_object_acl: 'private',
        x_oss_forbid_overwrite: 'true',
      },
    });
  });
  const { client, calls } = server;
  const policy = await client.getUploadPolicy('m');
  expect(
    await client.uploadFile(policy, {
      name: 'a.png',
      contentType: 'image/png',
      size: 4,
      body: Readable.from([Buffer.from('PI'), Buffer.from('XL')]),
    }),
  ).toBe('oss://dir/x/a.png');
  const upload = calls[1]!;
  expect(upload.headers.authorization).toBeUndefined();
  expect(Number(upload.headers['content-length'])).toBe(upload.body.length);
  expect([...upload.body.matchAll(/ name="([^"]+)"/g)].map((match) => match[1]).at(-1)).toBe('file');
  expect(upload.body).toContain('\r\n\r\nPIXL\r\n--');
  const broken = new Error('disk');
  const source = (async function* () {
    yield Buffer.from('PI');
    throw broken;
  })();
  await expect(
    client.uploadFile(policy, { name: 'b.png', contentType: 'image/png', size: 4, body: source }),
  ).rejects.toBe(broken);
});

test('a result is downloaded from a byte on, without our key, and an old link has expired', async () => {
  const { calls, client, origin } = await serve((seen, res) => {
    if (seen.url === '/old?Signature=s') return void res.writeHead(403).end('<Error/>');
    res.writeHead(206).end('rest');
  });
  const response = await client.download(`${origin}/v.mp4`, { from: 5 });
  expect(await response.body.text()).toBe('rest');
  expect(calls[0]!.headers).toMatchObject({ range: 'bytes=5-' });
  expect(calls[0]!.headers.authorization).toBeUndefined();
  await expect(client.download(`${origin}/old?Signature=s`)).rejects.toMatchObject({ type: FailureType.ResultExpired });
});

test('a server that only announces an answer, again and again, is given up', async () => {
  const { client, origin } = await serve(
    (_, response) => {
      const timer = setInterval(() => response.writeProcessing(), 50);
      response.on('close', () => clearInterval(timer));
    },
    { downloadIdleMs: 300 },
  );
  await expect(client.download(`${origin}/v.mp4`)).rejects.toMatchObject({
    type: FailureType.ProviderUnavailable,
    message: expect.stringContaining('no answer within 300 ms'),
  });
});
