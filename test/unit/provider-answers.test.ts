import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FailureType as F } from '../../src/contract/failure-type.js';
import { classifyProviderError } from '../../src/dashscope/errors.js';
import { decideSubmitOutcome } from '../../src/dashscope/submit-outcome.js';
import { errorAnswer, listAnswer, policyAnswer, taskAnswer } from '../../src/dashscope/wire.js';

const LINK = 'https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com/1d/a.mp4?Expires=1&Signature=s';
const succeeded = (output: object = {}, usage: unknown = { duration: 5, SR: 720, audio: true }) => ({
  request_id: 'r',
  output: {
    task_id: 't',
    task_status: 'SUCCEEDED',
    submit_time: '2026-11-29 10:00:00.000',
    scheduled_time: '2026-11-29 10:00:01.000',
    end_time: '2026-11-29 10:01:00.000',
    orig_prompt: 'p',
    video_url: LINK,
    ...output,
  },
  usage,
});
const read = (json: unknown) => taskAnswer('t')(json);
const fields = ({ oddities }: { readonly oddities: readonly { readonly field: string }[] }) =>
  oddities.map(({ field }) => field);

test('a documented answer has no oddity', () => {
  const { value, oddities } = read(succeeded());
  expect(oddities).toEqual([]);
  expect(value).toMatchObject({ status: 'SUCCEEDED', videoUrl: LINK, usage: { duration: 5, sr: 720, audio: true } });
});

test.each([
  ['a tier with its letter', succeeded({}, { duration: 5, SR: '720P', audio: true }), 'usage.SR'],
  ['a tier that nobody sells', succeeded({}, { duration: 5, SR: 480 }), 'usage.SR'],
  ['seconds in words', succeeded({}, { duration: 'five' }), 'usage.duration'],
  ['negative seconds', succeeded({}, { duration: -5 }), 'usage.duration'],
  ['seconds that no clip has', succeeded({}, { duration: 5_000 }), 'usage.duration'],
  ['no seconds for a video that was made', succeeded({}, { duration: 0 }), 'usage.duration'],
  ['sound as a number', succeeded({}, { duration: 5, audio: 1 }), 'usage.audio'],
  ['usage as a text', succeeded({}, 'five seconds'), 'usage'],
  ['a prompt as an object', succeeded({ orig_prompt: { text: 'p' } }), 'output.orig_prompt'],
  ['an end before the beginning', succeeded({ end_time: '2026-11-29 09:00:00.000' }), 'output.end_time'],
  ['a time in words', succeeded({ end_time: 'a minute ago' }), 'output.end_time'],
  ['a request id as an object', { ...succeeded(), request_id: {} }, 'request_id'],
])('%s is absent and noted, and the video is still there', (_what, json, field) => {
  const reading = read(json);
  expect(fields(reading)).toEqual([field]);
  expect(reading.value).toMatchObject({ status: 'SUCCEEDED', videoUrl: LINK, oddities: [field] });
  expect(JSON.stringify(reading.oddities)).not.toContain('five');
});

test.each([
  ['lower case', { task_status: 'succeeded' }],
  ['another spelling', { task_status: 'Success' }],
  ['space around it', { task_status: ' SUCCEEDED\n' }],
  ['a list of one', { task_status: ['SUCCEEDED'] }],
  ['a name in another case', { task_status: undefined, taskStatus: 'SUCCEEDED' }],
  ['no word, but a link', { task_status: undefined }],
  ['a number as the id', { task_id: undefined }],
])('a success is read with %s', (_what, output) => {
  expect(read(succeeded(output)).value).toMatchObject({ status: 'SUCCEEDED', videoUrl: LINK });
});

test.each([
  ['CANCELLED', 'CANCELED'],
  ['canceled', 'CANCELED'],
  ['failed', 'FAILED'],
  ['POST-PROCESSING', 'PENDING'],
  ['x'.repeat(100_000), 'PENDING'],
])('the status word %.20s is %s', (word, status) => {
  expect(read(succeeded({ task_status: word, video_url: undefined })).value?.status).toBe(status);
});

test.each([
  ['output.results.video_url', { video_url: undefined, results: { video_url: LINK } }],
  ['output.results[0].url', { video_url: undefined, results: [{ url: LINK }] }],
  ['output.results.url', { video_url: null, results: { url: LINK } }],
])('the link is found at %s', (_where, output) => {
  expect(read(succeeded(output)).value?.videoUrl).toBe(LINK);
});

test.each([
  ['two slashes', LINK.slice('https:'.length)],
  ['its host', LINK.slice('https://'.length)],
  ['space around it', ` ${LINK}\n`],
  ['escapes of HTML', LINK.replaceAll('&', '&amp;')],
])('a link that begins with or has %s is read', (_what, video_url) => {
  expect(read(succeeded({ video_url })).value?.videoUrl).toBe(LINK);
});

test.each([
  ['in a list', [succeeded()]],
  ['as the text of one', JSON.stringify(succeeded())],
])('an answer %s is read, and noted', (_what, json) => {
  expect(read(json).value).toMatchObject({ status: 'SUCCEEDED', videoUrl: LINK, oddities: ['answer'] });
  const submitted = [{ output: { task_id: 't' } }];
  expect(decideSubmitOutcome({ bodyPulled: true, answer: { status: 200, json: submitted } }).kind).toBe('accepted');
});

test.each(['FAILED', 'CANCELED', 'UNKNOWN'])(
  '%s with a link and no reason is no end: the task is queried again',
  (task_status) => {
    expect(read(succeeded({ task_status })).value).toMatchObject({ status: 'PENDING', hasOddStatus: true });
    expect(read(succeeded({ task_status, video_url: '' })).value?.status).toBe(task_status);
    const failed = read(succeeded({ task_status: 'FAILED', code: 'DataInspectionFailed' }));
    expect(failed.value).toMatchObject({ status: 'FAILED', code: 'DataInspectionFailed' });
  },
);

test.each([
  ['an empty text', ''],
  ['no address', 'soon'],
  ['another scheme', 'ftp://h/v.mp4'],
  ['an object', {}],
])('a success whose link is %s has none yet', (_what, video_url) => {
  expect(read(succeeded({ video_url })).value).toMatchObject({ status: 'SUCCEEDED', videoUrl: undefined });
});

test('an answer about another task, or without any status and link, is not read', () => {
  expect(read(succeeded({ task_id: 'another' })).value).toBeUndefined();
  for (const json of [undefined, null, 7, 'text', [], {}, { output: {} }, { output: 'SUCCEEDED' }]) {
    expect(read(json).value).toBeUndefined();
  }
});

test('a failure with a number as its code is typed', () => {
  const { value } = read({ output: { task_id: 't', task_status: 'FAILED', code: 400, message: { why: 'bad' } } });
  expect(value).toMatchObject({ status: 'FAILED', code: '400', message: '{"why":"bad"}' });
});

test('rows are judged one by one: an unknown status is an open task, an unreadable row is counted', () => {
  const row = (more: object) => ({ task_id: 't', status: 'RUNNING', gmt_create: 1_745_568_428_109, ...more });
  const page = listAnswer(1)({
    total: '3',
    page_no: '1',
    total_page: '1',
    data: [row({}), row({ task_id: 'u', status: 'POST-PROCESSING' }), { status: 'RUNNING' }, 'row'],
  });
  expect(page.value).toMatchObject({ unreadable: 2, total: 3, pageNo: 1, totalPages: 1 });
  expect(page.value?.tasks.map(({ taskId, status }) => [taskId, status])).toEqual([
    ['t', 'RUNNING'],
    ['u', 'PENDING'],
  ]);
});

test.each([
  ['rows that are no list', { total: 0, page_no: 1, total_page: 1, data: {} }],
  ['no rows although it counts some', { total: 2, page_no: 1, total_page: 1 }],
  ['neither rows nor a count', { page_no: 1 }],
])('a list with %s is not an empty one', (_what, json) => {
  expect(listAnswer(1)(json).value).toBeUndefined();
});

test('an empty list is one, and a list without a count of pages goes on while it has rows', () => {
  expect(listAnswer(1)({ total: 0, page_no: 1, total_page: 0 }).value).toMatchObject({ tasks: [], unreadable: 0 });
  expect(listAnswer(3)({ data: [{ task_id: 't', status: 'RUNNING' }] }).value?.totalPages).toBe(4);
  expect(listAnswer(4)({ data: [] }).value?.totalPages).toBe(4);
});

test('an upload policy has defaults for what only guards the upload', () => {
  const data = { policy: 'p', signature: 's', upload_dir: 'd/', upload_host: 'https://h', oss_access_key_id: 'LTA' };
  const value = { ...data, objectAcl: 'private', forbidOverwrite: 'true', uploadDir: 'd' };
  expect(policyAnswer({ data }).value).toMatchObject({ objectAcl: value.objectAcl, forbidOverwrite: 'true' });
  expect(policyAnswer({ data: { ...data, x_oss_forbid_overwrite: false } }).value?.forbidOverwrite).toBe('false');
  for (const name of Object.keys(data)) {
    expect(policyAnswer({ data: { ...data, [name]: undefined } })).toMatchObject({
      value: undefined,
      oddities: [{ field: `data.${name}` }],
    });
  }
});

test.each([
  ['at the top', { code: 'C', message: 'm' }],
  ['under output', { output: { code: 'C', message: 'm' } }],
  ['under error', { error: { code: 'C', message: 'm' } }],
  ['in a list', [{ code: 'C', message: 'm' }]],
  ['with msg', { code: 'C', msg: 'm' }],
  ['with other names', { errorCode: 'C', errorMessage: 'm' }],
  ['in capitals', { Code: 'C', Message: 'm', RequestId: 'r' }],
])('an error is read %s', (_where, json) => {
  expect(errorAnswer('query', json)).toEqual({ code: 'C', message: 'm' });
});

test('an error that is a text or has numbers is read, too', () => {
  expect(errorAnswer('query', { error: 'no such key' })).toEqual({ code: undefined, message: 'no such key' });
  expect(errorAnswer('query', { error: { code: 401, message: 7 } })).toEqual({ code: '401', message: '7' });
});

test.each([
  ['InternalError.Algo.InvalidParameter', 'task', F.InvalidRequest, false],
  ['InternalError.Algo', 'task', F.TaskFailed, false],
  ['InternalError.Algo.DataInspectionFailed', 'task', F.ContentRejected, false],
  ['InvalidSomethingNew', 'task', F.InvalidRequest, false],
  ['InvalidSomethingNew.Deep', 'submit', F.InvalidRequest, false],
  ['invalid_api_key', 'submit', F.CredentialsRejected, false],
  ['400', 'task', F.InvalidRequest, false],
  ['500', 'task', F.TaskFailed, false],
  ['Throttling.SomethingNew', 'query', F.ProviderThrottled, true],
  ['AccessDenied.Unpurchased', 'query', F.AccountBlocked, false],
  ['Foo.AccessDenied.Unpurchased', 'query', F.AccountBlocked, false],
] as const)('the code %s of a %s is %s', (code, operation, type, retryable) => {
  expect(classifyProviderError({ status: 400, code }, operation)).toMatchObject({ type, retryable });
});

/** Any way in which one documented field may drift. */
const drift: fc.Arbitrary<(value: unknown) => unknown> = fc.oneof(
  fc.constant(() => undefined),
  fc.constant(() => null),
  fc.constant((value: unknown) => [value]),
  fc.constant((value: unknown) => ({ value })),
  fc.constant((value: unknown) => [value, value]),
  fc.constant((value: unknown) => (typeof value === 'string' ? value.toLowerCase() : value)),
  fc.constant((value: unknown) => String(value)),
  fc.jsonValue().map((json) => () => json),
);

test('no drift of any one field throws, invents seconds, or turns a success into another end', () => {
  const paths = [
    ...Object.keys(succeeded().output).map((name) => ['output', name]),
    ...['duration', 'SR', 'audio'].map((name) => ['usage', name]),
    ['output'],
    ['usage'],
    ['request_id'],
  ];
  fc.assert(
    fc.property(fc.constantFrom(...paths), drift, fc.boolean(), (path, change, recase) => {
      const json: Record<string, unknown> = structuredClone(succeeded());
      const parent = path.length === 2 ? (json[path[0] as string] as Record<string, unknown>) : json;
      const name = path.at(-1) as string;
      const value = change(parent[name]);
      delete parent[name];
      parent[recase ? name.toUpperCase() : name] = value;
      const { value: seen } = read(json);
      if (seen === undefined) return;
      if (name !== 'task_status' && name !== 'output') expect(seen.status).toBe('SUCCEEDED');
      if (seen.status !== 'SUCCEEDED') return;
      const seconds = seen.usage?.duration;
      if (name !== 'duration' && name !== 'usage') expect(seconds).toBe(5);
      else if (seconds !== undefined) expect(seconds).toBeGreaterThan(0);
    }),
    { numRuns: 2_000 },
  );
});

test.each([0, -1, 1.5, 1e21, true, {}, [], 'a b', 'x'.repeat(1_000_000)])('%j is no id of a task', (task_id) => {
  const listed = listAnswer(1)({ data: [{ task_id, status: 'RUNNING' }], total: 1 }).value;
  expect(listed).toMatchObject({ tasks: [], unreadable: 1 });
  expect(
    decideSubmitOutcome({ bodyPulled: true, answer: { status: 200, json: { output: { task_id } } } }),
  ).toMatchObject({
    kind: 'unknown',
  });
});

test.each([0, true, {}, 12])('%j is no prompt and no model, because as a text it would be another one', (value) => {
  expect(read(succeeded({ orig_prompt: value })).value?.origPrompt).toBeUndefined();
  const row = { task_id: 't', status: 'RUNNING', model_name: value };
  expect(listAnswer(1)({ data: [row], total: 1 }).value?.tasks).toMatchObject([{ modelName: undefined }]);
});
