import type { DriftChange, DriftRule, EmulatorFault } from '../../src/emulator/index.js';

// Answers of the provider that differ from its documents, and how a run with them ends.

/** A way in which the provider's answers differ from its documents. */
export interface DriftRow {
  /** Also the prompt, by which rules and faults find the task. */
  readonly what: string;
  readonly drift?: readonly Omit<DriftRule, 'match'>[];
  readonly faults?: readonly Omit<EmulatorFault, 'match'>[];
  /** Whether sound is requested; default false. */
  readonly sound?: boolean;
  /** Fields of the bill that differ from 4 s at 720P with the requested sound. */
  readonly bill?: object;
  readonly warnings?: readonly string[];
}

/** Other members of kinds of which another row is an example; `npm run test:full` runs them, too. */
const FURTHER: ReadonlySet<string> = new Set([
  'a tier as text',
  'a tier that nobody sells',
  'a status in a list',
  'a status twice',
  'names in camel case',
  'a prompt as an object',
  'a request id as an object',
  'an empty link at first',
  'audio as text',
  'usage as null',
  'usage as a list',
  'seconds as text',
  'seconds that no number can be',
  'an answer in a list',
  'answers that are not compressed as they say',
  'usage as a text of JSON',
  'usage under output',
  'times in UTC',
  'times as numbers',
  'answers compressed unasked',
  'a submit compressed unasked',
  'a submit with a request id in a list',
  'a redirect to another host',
  'too many redirects at first',
  'another brand',
  'a failure in lower case',
  'a cancelled task in lower case',
  'a failure with a number as its message',
  'a refusal whose message is a list of objects',
  'with times as text',
  'with one time',
  'with rows twice',
  'of a task with a tier in words',
  'of a task in lower case',
]);
/** Whether this run of the tests has a row. */
export const isRun = (what: string): boolean => process.env['TEST_FULL'] === '1' || !FURTHER.has(what);

const query = (...changes: DriftChange[]): Pick<DriftRow, 'drift'> => ({ drift: [{ on: 'query', changes }] });
const finished = (...changes: DriftChange[]): Pick<DriftRow, 'drift'> => ({
  drift: [{ on: 'query', task_status: 'SUCCEEDED', changes }],
});
const failed = (...changes: DriftChange[]): Pick<DriftRow, 'drift'> => ({
  drift: [{ on: 'query', task_status: 'FAILED', changes }],
});
const download = (fault: Omit<EmulatorFault, 'on' | 'match'>): Omit<EmulatorFault, 'match'> => ({
  on: 'download',
  ...fault,
});

/** A bill of which a part is not what the provider said, but what was requested or measured. */
const ESTIMATED = { estimated: true };

export const STATUS = 'output.task_status';
export const HOUR_MS = 3_600_000;

/** Answers after which the video is bought once, archived and billed right. */
export const ARCHIVED: readonly DriftRow[] = [
  { what: 'documented answers' },
  // Fields of a query's answer.
  { what: 'a tier in words', ...finished({ kind: 'set', path: 'usage.SR', value: '720P' }) },
  { what: 'a tier as text', ...finished({ kind: 'retype', path: 'usage.SR', to: 'text' }) },
  { what: 'a tier that nobody sells', ...finished({ kind: 'set', path: 'usage.SR', value: 480 }) },
  { what: 'a status in lower case', ...query({ kind: 'recase', path: STATUS, value: 'lower' }) },
  { what: 'a status in another spelling', ...finished({ kind: 'set', path: STATUS, value: 'Success' }) },
  { what: 'a status in a list', ...query({ kind: 'nest', path: STATUS }) },
  {
    what: 'an unknown status',
    drift: [{ on: 'query', times: 3, changes: [{ kind: 'set', path: STATUS, value: 'POST-PROCESSING' }] }],
  },
  { what: 'a status twice', ...finished({ kind: 'duplicate', path: STATUS, value: 'RUNNING', first: true }) },
  {
    what: 'a failure with a link, once',
    drift: [
      { on: 'query', task_status: 'SUCCEEDED', times: 1, changes: [{ kind: 'set', path: STATUS, value: 'FAILED' }] },
    ],
  },
  { what: 'an answer in a list', ...finished({ kind: 'nest' }) },
  { what: 'names in camel case', ...query({ kind: 'recase', path: 'output.*', name: 'camel' }) },
  { what: 'a prompt of 1 MB', ...finished({ kind: 'lengthen', path: 'output.orig_prompt', to: 1_000_000 }) },
  { what: 'a prompt as an object', ...finished({ kind: 'nest', path: 'output.orig_prompt', name: 'text' }) },
  { what: 'a request id as an object', ...query({ kind: 'retype', path: 'request_id', to: 'object' }) },
  // The link of the result.
  {
    what: 'a link only from the fourth query on',
    drift: [
      { on: 'query', task_status: 'SUCCEEDED', times: 3, changes: [{ kind: 'delete', path: 'output.video_url' }] },
    ],
  },
  {
    what: 'an empty link at first',
    drift: [
      {
        on: 'query',
        task_status: 'SUCCEEDED',
        times: 2,
        changes: [{ kind: 'set', path: 'output.video_url', value: '' }],
      },
    ],
  },
  {
    what: 'a link under results',
    ...finished({ kind: 'move', path: 'output.video_url', to: 'output.results.video_url' }),
  },
  { what: 'a link in a list', ...finished({ kind: 'move', path: 'output.video_url', to: 'output.results[0].url' }) },
  {
    what: 'one UNKNOWN while archiving',
    faults: [download({ fault: 'expired' }), { on: 'query', fault: 'unknown', after_success: true }],
  },
  { what: 'one UNKNOWN while rendering', faults: [{ on: 'query', fault: 'unknown', task_status: 'RUNNING' }] },
  // Usage: what the provider does not say is what was requested.
  { what: 'usage without audio', sound: true, bill: ESTIMATED, ...finished({ kind: 'delete', path: 'usage.audio' }) },
  { what: 'audio as text', sound: true, ...finished({ kind: 'retype', path: 'usage.audio', to: 'text' }) },
  { what: 'no usage', sound: true, bill: ESTIMATED, ...finished({ kind: 'delete', path: 'usage' }) },
  { what: 'usage as null', bill: ESTIMATED, ...finished({ kind: 'retype', path: 'usage', to: 'null' }) },
  { what: 'usage as a list', ...finished({ kind: 'nest', path: 'usage' }) },
  { what: 'seconds as text', ...finished({ kind: 'retype', path: 'usage.duration', to: 'text' }) },
  { what: 'no seconds', bill: ESTIMATED, ...finished({ kind: 'delete', path: 'usage.duration' }) },
  {
    what: 'seconds that no number can be',
    bill: ESTIMATED,
    ...finished({ kind: 'raw', path: 'usage.duration', json: '1e400' }),
  },
  { what: 'seconds that are NaN', bill: ESTIMATED, ...finished({ kind: 'raw', path: 'usage.duration', json: 'NaN' }) },
  { what: 'zero seconds', bill: ESTIMATED, ...finished({ kind: 'set', path: 'usage.duration', value: 0 }) },
  {
    what: 'a fraction of a second more',
    ...finished({ kind: 'shift', path: 'usage.duration', by: 0.04 }),
    bill: { billed_seconds: 4.04 },
  },
  { what: 'usage as a text of JSON', ...finished({ kind: 'retype', path: 'usage', to: 'text' }) },
  { what: 'usage under output', ...finished({ kind: 'move', path: 'usage', to: 'output.usage' }) },
  // Times: our clock decides the day.
  { what: 'an end before the submit', ...finished({ kind: 'shift', path: 'output.end_time', by: -HOUR_MS }) },
  { what: 'an end on another day', ...finished({ kind: 'shift', path: 'output.end_time', by: 72 * HOUR_MS }) },
  {
    what: 'times in UTC',
    ...query(
      ...['submit_time', 'scheduled_time', 'end_time'].map(
        (name): DriftChange => ({ kind: 'shift', path: `output.${name}`, by: -8 * HOUR_MS }),
      ),
    ),
  },
  { what: 'times as numbers', ...query({ kind: 'retype', path: 'output.end_time', to: 'number' }) },
  // HTTP.
  {
    what: 'answers in the wrong type',
    faults: [{ on: 'query', fault: 'headers', headers: { 'content-type': 'text/html' }, times: null }],
  },
  {
    what: 'answers that are not compressed as they say',
    faults: [{ on: 'query', fault: 'encoded', compressed: false, times: null }],
  },
  { what: 'answers compressed unasked', faults: [{ on: 'query', fault: 'encoded', times: null }] },
  // Nothing was bought by it, so it is sent again.
  {
    what: 'a submit that a gateway answers 429 at first',
    faults: [{ on: 'submit', fault: 'gateway', status: 429, times: 2 }],
  },
  { what: 'a submit compressed unasked', faults: [{ on: 'submit', fault: 'encoded' }] },
  { what: 'a submit without a status', drift: [{ on: 'submit', changes: [{ kind: 'delete', path: STATUS }] }] },
  {
    what: 'a submit at the top level',
    drift: [
      {
        on: 'submit',
        changes: [
          { kind: 'move', path: 'output.task_id', to: 'task_id' },
          { kind: 'delete', path: 'output' },
        ],
      },
    ],
  },
  {
    what: 'a submit with a request id in a list',
    drift: [{ on: 'submit', changes: [{ kind: 'nest', path: 'request_id' }] }],
  },
  // Downloads.
  { what: 'a download compressed unasked', faults: [download({ fault: 'encoded' })] },
  {
    what: 'a download with another type',
    faults: [download({ fault: 'headers', headers: { 'content-type': 'text/plain', etag: null } })],
  },
  { what: 'a redirect to another host', faults: [download({ fault: 'redirect' })] },
  { what: 'five redirects', faults: [download({ fault: 'redirect', status: 307, hops: 5 })] },
  { what: 'too many redirects at first', faults: [download({ fault: 'redirect', hops: 12 })] },
  ...[400, 401, 403, 404, 407, 410, 451, 500, 503].map((status) => ({
    what: `a download that is answered ${status} at first`,
    faults: [download({ fault: 'status', status })],
  })),
  {
    what: 'two 500s and one damaged download',
    faults: [download({ fault: 'status', times: 2 }), download({ fault: 'zero-fill', keep_bytes: 4096 })],
  },
  { what: 'a link to an error page, four times', faults: [download({ fault: 'not-mp4', times: 4 })] },
  { what: 'no video, four times within seconds', faults: [download({ fault: 'zero-fill', keep_bytes: 0, times: 4 })] },
  {
    what: 'a result that is cut off, four times within seconds',
    faults: [download({ fault: 'patch', keep_bytes: 200_000, times: 4 })],
  },
  // Results that are no H.264 in an ordinary MP4, but are a video.
  {
    what: 'another codec',
    faults: [download({ fault: 'patch', find: 'avc1', with: 'hvc1', times: null })],
    warnings: ['unverified'],
  },
  {
    what: 'another brand',
    faults: [download({ fault: 'patch', find: 'isom', with: 'qt  ', times: null })],
    warnings: ['unverified'],
  },
  {
    what: 'bytes behind the last box',
    faults: [download({ fault: 'patch', append_bytes: 1000, times: null })],
    warnings: ['unverified'],
  },
];

/** What ends as a failure: its type, and how often the request was submitted. */
export const FAILED: readonly (DriftRow & { readonly type: string; readonly submits: number })[] = [
  {
    what: 'a failure with a number as its code',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'InvalidParameter', message: 'm' }],
    ...failed({ kind: 'set', path: 'output.code', value: 400 }),
    type: 'InvalidRequest',
    submits: 1,
  },
  {
    what: 'an input fault in the last segment of the code',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'InternalError.Algo.InvalidParameter', message: 'm' }],
    type: 'InvalidRequest',
    submits: 1,
  },
  {
    what: 'an input fault that nobody lists',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'InternalError.InvalidFrameCount', message: 'm' }],
    type: 'InvalidRequest',
    submits: 1,
  },
  {
    what: 'a failure in lower case',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', message: 'm' }],
    ...query({ kind: 'recase', path: STATUS, value: 'lower' }),
    type: 'ContentRejected',
    submits: 1,
  },
  // Free, and no fault of the request: it is bought again twice.
  ...Object.entries({
    'a cancelled task in another spelling': 'CANCELLED',
    'a cancelled task in lower case': 'cancelled',
  }).map(([what, value]) => ({
    what,
    faults: [{ on: 'submit' as const, fault: 'task-failed' as const, message: 'm', times: 3 }],
    ...failed({ kind: 'set', path: STATUS, value }),
    type: 'TaskCancelled',
    submits: 3,
  })),
  ...Object.entries({
    'a failure with an object as its message': { en: 'm', fields: ['img_url'] },
    'a failure with a number as its message': 7,
  }).map(([what, value]) => ({
    what,
    faults: [{ on: 'submit' as const, fault: 'task-failed' as const, code: 'DataInspectionFailed', message: 'm' }],
    ...failed({ kind: 'set', path: 'output.message', value }),
    type: 'ContentRejected',
    submits: 1,
  })),
  ...Object.entries({
    'a refusal whose message is an object': { en: 'm' },
    'a refusal whose message is a list of objects': [{ loc: ['input', 'img_url'], msg: 'm' }, { loc: [] }],
    'a refusal whose message is a number': 400,
  }).map(([what, value]) => ({
    what,
    faults: [
      {
        on: 'submit' as const,
        fault: 'status' as const,
        status: 400,
        code: 'InvalidParameter',
        message: 'm',
        changes: [{ kind: 'set', path: 'message', value } satisfies DriftChange],
      },
    ],
    type: 'InvalidRequest',
    submits: 1,
  })),
  {
    what: 'a failure with a message of 1 MB',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'InvalidParameter', message: 'm' }],
    ...failed({ kind: 'lengthen', path: 'output.message', to: 1_000_000 }),
    type: 'InvalidRequest',
    submits: 1,
  },
  {
    what: 'a failure with the code at the top',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', message: 'm' }],
    ...failed({ kind: 'move', path: 'output.code', to: 'code' }),
    type: 'ContentRejected',
    submits: 1,
  },
  {
    what: 'a failure with the code under error',
    faults: [{ on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', message: 'm' }],
    ...failed({ kind: 'move', path: 'output.code', to: 'output.error.code' }),
    type: 'ContentRejected',
    submits: 1,
  },
  ...(['top', 'output', 'error'] as const).map((envelope) => ({
    what: `a refused key in the envelope ${envelope}`,
    faults: [
      {
        on: 'submit' as const,
        fault: 'status' as const,
        status: 401,
        code: 'invalid_api_key',
        message: 'm',
        envelope,
        times: null,
      },
    ],
    type: 'CredentialsRejected',
    submits: 1,
  })),
  ...(['error-text', 'text', 'empty'] as const).map((envelope) => ({
    what: `a refusal in the envelope ${envelope}`,
    faults: [{ on: 'submit' as const, fault: 'status' as const, status: 401, message: 'm', envelope, times: null }],
    type: 'CredentialsRejected',
    submits: 1,
  })),
  {
    what: 'a refusal by an HTML page',
    faults: [{ on: 'submit', fault: 'gateway', status: 400, times: null }],
    type: 'InvalidRequest',
    submits: 1,
  },
];
