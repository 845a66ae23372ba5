import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import { decideSubmitOutcome } from '../../src/dashscope/submit-outcome.js';
import { listAnswer, policyAnswer, taskAnswer } from '../../src/dashscope/wire.js';
import { buyOnce } from '../../src/ledger/buy.js';
import { reconcileSubmit } from '../../src/ledger/reconcile.js';
import { KEY, order, START, setUp } from './ledger-setup.js';

const LINK = 'https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com/1d/a.mp4?Expires=1&Signature=s';
const OUTPUT = { task_id: 't', task_status: 'SUCCEEDED', orig_prompt: 'p', video_url: LINK };
const USAGE = { duration: 5, SR: 720, audio: true };
const read = (json: unknown) => taskAnswer('t')(json);
const HOUR_MS = 3_600_000;

/** A client of a server that gives one answer to everything. */
async function clientOf(status: number, body: string | Buffer, headers: Record<string, string> = {}) {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(status, headers).end(body));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new DashScopeClient({ baseUrl: `${origin}/api/v1`, apiKey: () => 'sk-test' });
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await client.close();
  });
  return { client, origin };
}

/** JSON that can be read and, nested deeper than a stack, not be written. */
const DEEP: readonly (readonly [string, unknown])[] = [
  ['a list', JSON.parse('['.repeat(50_000) + ']'.repeat(50_000))],
  ['an object', JSON.parse(`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`)],
  ['a list of two lists', JSON.parse(`[${Array(2).fill('['.repeat(50_000) + ']'.repeat(50_000))}]`)],
  ['the text of a list', '['.repeat(50_000) + ']'.repeat(50_000)],
];

test.each(DEEP)('%s nested 50,000 times in any field costs that field alone', (_what, deep) => {
  for (const name of ['message', 'code', 'error', 'request_id', 'results', 'submit_time', 'orig_prompt', 'x']) {
    const answers = [
      { output: { ...OUTPUT, [name]: deep }, usage: USAGE },
      { output: OUTPUT, usage: USAGE, [name]: deep },
    ];
    for (const json of answers) {
      expect(read(json).value, name).toMatchObject({ status: 'SUCCEEDED', videoUrl: LINK, usage: { duration: 5 } });
      const outcome = decideSubmitOutcome({ bodyPulled: true, answer: { status: 200, json } });
      expect(outcome, name).toMatchObject({ kind: 'accepted', taskId: 't' });
    }
  }
  const list = { data: [{ task_id: 't', status: deep, gmt_create: deep, request_id: deep }], total: 1 };
  expect(listAnswer(1)(list).value?.tasks).toMatchObject([{ taskId: 't', status: 'PENDING' }]);
  expect(listAnswer(1)({ data: [], total: 0, message: deep }).value).toBeUndefined();
  const failed = { output: { task_id: 't', task_status: 'FAILED', code: 'InvalidParameter', message: deep } };
  expect(read(failed).value).toMatchObject({ status: 'FAILED', code: 'InvalidParameter' });
});

test.each([
  ['a code', { code: 'InternalError', message: 'try again' }],
  ['a code under error', { error: { code: 500, message: 'try again' } }],
  ['a message alone', { message: 'the request timed out' }],
  ['the word that it failed', { success: false }],
])('an empty list that comes with %s is no list: it proves nothing', (_what, refusal) => {
  const empty = { request_id: 'r', data: [], total: 0, total_page: 0, page_no: 1 };
  expect(listAnswer(1)({ ...refusal, ...empty }).value).toBeUndefined();
  expect(listAnswer(1)({ ...refusal, output: empty }).value).toBeUndefined();
});

test.each([{ code: '200' }, { code: 200, message: 'Success' }, { code: 'Success' }, { code: '', message: '' }, {}])(
  'a list that says with %j that it worked is one',
  (more) => {
    const row = { task_id: 't', status: 'RUNNING' };
    expect(listAnswer(1)({ ...more, data: [], total: 0 }).value).toMatchObject({ tasks: [] });
    expect(listAnswer(1)({ ...more, data: [row], total: 1 }).value).toMatchObject({ tasks: [{ taskId: 't' }] });
  },
);

/** A lost reply whose task the provider lists in this way. */
async function reconcileWith(row: object) {
  const lost = new VideoError(FailureType.SubmitOutcomeUnknown, 'the reply was lost');
  const world = setUp({ kind: 'unknown', error: lost });
  await buyOnce(world.deps, order());
  const { value } = listAnswer(1)({ data: [{ task_id: 't1', status: 'SUCCEEDED', ...row }], total: 1 });
  world.rows.push(...(value?.tasks ?? []));
  const usage = { duration: 4, sr: 720, audio: false };
  world.snapshots.set('t1', { status: 'SUCCEEDED', origPrompt: 'p', usage });
  return reconcileSubmit(world.deps, { key: KEY, n: 1 });
}
const utc = (atMs: number) => new Date(atMs).toISOString().slice(0, 19).replace('T', ' ');

test.each([
  ['as documented', { gmt_create: START + 1_000, model_name: 'wan2.6-i2v-flash' }],
  ['a time in UTC that names no zone', { gmt_create: utc(START + 1_000) }],
  ['a time in UTC+8 that names no zone', { gmt_create: utc(START + 1_000 + 8 * HOUR_MS) }],
  ['the time of UTC+8 as if it were UTC', { gmt_create: START + 1_000 + 8 * HOUR_MS }],
  ['the same time for every task', { gmt_create: Date.UTC(2020, 0, 1, 1) }],
  ['a time in words', { gmt_create: 'just now' }],
  ['a version of the model', { gmt_create: START + 1_000, model_name: 'wan2.6-i2v-flash-2026-01-15' }],
  ['the name of the whole service', { gmt_create: START + 1_000, model_name: 'video-synthesis:wan2.6-i2v-flash' }],
])('a lost task that the list shows with %s is found, and nothing is bought again', async (_what, row) => {
  expect(await reconcileWith(row)).toMatchObject({ kind: 'task', task: { taskId: 't1' } });
});

test.each([
  ['at the top', { code: 'DataInspectionFailed', message: 'm', output: {} }],
  ['under error', { error: { code: 'DataInspectionFailed', message: 'm' }, output: {} }],
  ['under the error of the output', { output: { error: { code: 'DataInspectionFailed', message: 'm' } } }],
])('the reason of a failed task is read %s', (_where, answer) => {
  const output = { task_id: 't', task_status: 'FAILED', ...answer.output };
  expect(read({ ...answer, output }).value).toMatchObject({
    status: 'FAILED',
    code: 'DataInspectionFailed',
    message: 'm',
  });
});

test.each(['FAILED', 'CANCELED', 'UNKNOWN'])('%s that names no task ends none', (task_status) => {
  expect(read({ code: 'Throttling', output: { task_status } }).value).toBeUndefined();
  expect(read({ output: { task_id: 't', task_status } }).value?.status).toBe(task_status);
});

test.each([
  ['usage as a text', { output: OUTPUT, usage: JSON.stringify(USAGE) }],
  ['the output as a text', { output: JSON.stringify(OUTPUT), usage: USAGE }],
  ['usage under output', { output: { ...OUTPUT, usage: USAGE } }],
  [
    'links as a text',
    { output: { ...OUTPUT, video_url: undefined, results: JSON.stringify([{ url: LINK }]) }, usage: USAGE },
  ],
])('%s of JSON is read', (_what, json) => {
  expect(read(json).value).toMatchObject({
    status: 'SUCCEEDED',
    videoUrl: LINK,
    usage: { duration: 5, sr: 720, audio: true },
  });
});

test('an answer that begins with a byte order mark, or has another status of success, is read', async () => {
  const text = JSON.stringify({ output: OUTPUT, usage: USAGE });
  for (const [status, body] of [
    [200, `\ufeff${text}`],
    [203, text],
    [201, text],
  ] as const) {
    const { client } = await clientOf(status, body);
    expect(await client.queryTask('t')).toMatchObject({ status: 'SUCCEEDED', videoUrl: LINK });
  }
});

test('a part of a list is no list', async () => {
  const { client } = await clientOf(206, JSON.stringify({ data: [], total: 0 }));
  await expect(client.listTasks({ modelName: 'm', pageNo: 1, pageSize: 100 })).rejects.toMatchObject({
    retryable: true,
  });
});

const FIELDS = { policy: 'p', signature: 's', upload_dir: 'd', oss_access_key_id: 'LTA' };

test.each([
  ['oss.example.com', 'https://oss.example.com'],
  ['oss.example.com:8443/', 'https://oss.example.com:8443/'],
  ['//oss.example.com', 'https://oss.example.com'],
  ['http://oss.example.com', 'http://oss.example.com'],
])('the upload host %s is %s', (upload_host, expected) => {
  expect(policyAnswer({ data: { ...FIELDS, upload_host } }).value?.uploadHost).toBe(expected);
});

test.each(['', 'not a host', '/upload', 'ftp://h', 'javascript:alert(1)', 'user:pw@h', {}])(
  '%j is no upload host',
  (upload_host) => {
    expect(policyAnswer({ data: { ...FIELDS, upload_host } }).value).toBeUndefined();
  },
);

test.each([
  [200, ''],
  [201, '<PostResponse><Key>d/a.png</Key></PostResponse>'],
  [204, ''],
])('an upload that is answered %i is done', async (status, body) => {
  expect(await upload(status, body)).toBe('oss://d/a.png');
});

test.each([
  [200, '<?xml version="1.0"?><Error><Code>InternalError</Code><Message>m</Message></Error>'],
  [200, '<!DOCTYPE html><html><body>Sign in</body></html>'],
  [200, '{"code":"InternalError","message":"m"}'],
  [302, ''],
])('an upload that is answered %i with %s is not done, and is tried again', async (status, body) => {
  await expect(upload(status, body)).rejects.toMatchObject({ retryable: status === 200 });
});

async function upload(status: number, body: string) {
  const { client, origin } = await clientOf(status, status === 204 ? '' : body);
  const policy = policyAnswer({ data: { ...FIELDS, upload_host: origin } }).value!;
  return client.uploadFile(policy, {
    name: 'a.png',
    contentType: 'image/png',
    size: 3,
    body: Readable.from([Buffer.from('png')]),
  });
}

test.each([
  [400, 'Throttling.RateQuota'],
  [403, 'Throttling'],
  [400, 'LimitRequests'],
])('a submit that is refused with %i as %s was not sent', (status, code) => {
  const answer = { status, json: { code, message: 'slow down' } };
  expect(decideSubmitOutcome({ bodyPulled: true, answer })).toMatchObject({
    kind: 'not_sent',
    error: { type: 'ProviderThrottled', retryable: true },
  });
});

test.each([
  ['a message', { request_id: 'r', message: 'the task is running' }],
  ['the word that it failed', { request_id: 'r', success: false }],
  ['a status of the task', { request_id: 'r', output: { task_status: 'RUNNING' } }],
])('a cancel that is answered 200 with %s is not done', async (_what, json) => {
  const { client } = await clientOf(200, JSON.stringify(json));
  await expect(client.cancelTask('t')).rejects.toBeInstanceOf(VideoError);
});

test.each([
  ['as documented', { request_id: 'r' }],
  ['a message of success', { request_id: 'r', message: 'success', success: true }],
  ['a status with space', { output: { task_status: ' Cancelled\n' } }],
])('a cancel that is answered 200 %s is done', async (_what, json) => {
  const { client } = await clientOf(200, JSON.stringify(json));
  expect(await client.cancelTask('t')).toBe(true);
});

test.each(['86400', '999999999', 'Fri, 01 Jan 2100 00:00:00 GMT'])(
  'a server that says to come back after %s delays a paid result, and every other request, by five minutes',
  async (wish) => {
    const body = JSON.stringify({ code: 'Throttling', message: 'later' });
    const { client, origin } = await clientOf(503, body, { 'retry-after': wish });
    const delayed = { retryable: true, retryAfterMs: 300_000 };
    await expect(client.download(`${origin}/v.mp4`)).rejects.toMatchObject(delayed);
    await expect(client.queryTask('t')).rejects.toMatchObject(delayed);
    await expect(client.getUploadPolicy('m')).rejects.toMatchObject(delayed);
    expect(await client.createTask({} as never)).toMatchObject({ kind: 'not_sent', error: delayed });
  },
);
