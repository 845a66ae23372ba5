import { Readable, Writable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CommandContext } from '../../src/cli/context.js';
import { VideoRunError } from '../../src/client/run-error.js';
import { FailureType } from '../../src/contract/failure-type.js';
import { printableJson } from '../../src/contract/safe-text.js';
import { VideoError } from '../../src/contract/video-error.js';
import { csvLine } from '../../src/report/csv.js';
import { attentionText } from '../../src/text/attention.js';
import { displayWidth } from '../../src/text/display-width.js';
import { errorObject, errorText, exitCodeOf, secretsOf } from '../../src/text/result.js';
import { table } from '../../src/text/table.js';

const ofRequest: readonly string[] = [FailureType.InvalidRequest, FailureType.ReferenceRejected];
const ofTheRun: readonly string[] = [FailureType.ReferenceUnreachable, FailureType.RunNotFound];
const codeOf = (type: string): number => (ofRequest.includes(type) ? 2 : ofTheRun.includes(type) ? 1 : 3);

test.each(Object.values(FailureType).map((type) => ({ type, code: codeOf(type) })))(
  '$type found by the command itself exits with $code',
  ({ type, code }) => {
    expect(exitCodeOf(new VideoError(type, 'x'))).toBe(code);
  },
);

test.each([
  { type: FailureType.InvalidRequest, code: 1, why: 'only the worker could see it' },
  { type: FailureType.ReferenceUnreachable, code: 1, why: 'only the worker could see it' },
  { type: FailureType.ContentRejected, code: 1, why: 'the provider refused it' },
  { type: FailureType.CredentialsRejected, code: 3, why: 'the key is refused' },
  { type: FailureType.CredentialsMissing, code: 3, why: 'the worker has no key' },
  { type: FailureType.AccountBlocked, code: 3, why: 'the account is refused' },
  { type: 'Cancelled', code: 130, why: 'it was cancelled' },
  { type: 'Terminated', code: 1, why: 'it has no video' },
  { type: 'Interrupted', code: 130, why: 'nobody waits any more' },
])('a run that ends as $type exits with $code because $why', ({ type, code }) => {
  expect(exitCodeOf(new VideoRunError('video/1', { type, message: 'x' }))).toBe(code);
});

test('an error that nobody planned is a failure, and its text carries no secret', () => {
  const secrets = secretsOf({ DASHSCOPE_API_KEY: 'plain-looking-key', AWS_SECRET_ACCESS_KEY: 's' });
  const error = new Error('GET https://u:p@host/x?Signature=abc with plain-looking-key and sk-0123456789 failed');
  expect(exitCodeOf(error)).toBe(1);
  const text = JSON.stringify(errorObject(error, secrets)) + errorText(error, secrets);
  expect(text).not.toMatch(/plain-looking-key|sk-0123456789|Signature|u:p/);
  expect(text).toContain('failed');
});

test('an error object has the published fields, and leaves out what does not apply', () => {
  const error = new VideoError(FailureType.AccountBlocked, 'overdue', {
    code: 'Arrearage',
    taskId: 't',
    requestId: 'r',
    billed: false,
    nextStep: 'pay',
  });
  expect(errorObject(error)).toEqual({
    type: 'AccountBlocked',
    message: 'overdue',
    code: 'Arrearage',
    task_id: 't',
    request_id: 'r',
    billed: false,
    next_step: 'pay',
  });
  expect(errorText(error)).toBe('wan-video: overdue (Arrearage)\npay');
});

test('a message that is one fault is not said twice, and one of several faults lists them', () => {
  const fault = (message: string) => new VideoError(FailureType.ReferenceRejected, message, { issues });
  const issues = [{ path: 'reference_image', message: 'a.jpg does not exist' }];
  expect(errorText(fault('reference_image a.jpg does not exist'))).toBe(
    'wan-video: reference_image a.jpg does not exist',
  );
  expect(errorText(fault('The request is invalid: reference_image a.jpg does not exist'))).toBe(
    'wan-video: The request is invalid\n  reference_image: a.jpg does not exist',
  );
});

test('a table pads its columns and cannot be torn by its contents', () => {
  expect(
    table(
      ['A', 'B'],
      [
        ['long one', 'x\ny'],
        ['s', ''],
      ],
    ),
  ).toBe('A         B\nlong one  x y\ns');
});

test('wide characters do not shift the columns of a table', () => {
  const rows = [
    ['船が進む', 'x'],
    ['e\u0301te', 'y'], // an accent of its own takes no column
    ['👍🏽 ok', 'z'],
    ['plain', 'w'],
  ];
  const columns = table(['NAME', 'B'], rows)
    .split('\n')
    .map((line) => displayWidth(line.slice(0, -1)));
  expect(columns).toEqual([10, 10, 10, 10, 10]);
});

test('a run that waits for a person is shown with its evidence and with commands that a shell takes as they are', () => {
  const candidates = [
    { task_id: 't-1', evidence: 'prompt\x1b[31m fits', archived: 'candidates/t-1.mp4' },
    { task_id: 't-2', evidence: 'still renders', archived: null },
  ];
  const attention = {
    cause: 'SubmitOutcomeUnknown' as const,
    reason: 'two tasks fit',
    next_step: 'Compare\x1b[1m\x1b[0m them.',
    purchase: 'k/1',
    candidates,
    refused: 'no',
  };
  expect(attentionText("it's mine", attention).split('\n')).toEqual([
    'The run waits for your decision: two tasks fit',
    '  task t-1: prompt fits; its video: candidates/t-1.mp4',
    '  task t-2: still renders; no video',
    'The last decision was refused: no',
    'Compare them.',
    'Decide with one of these commands; the run then continues by itself:',
    `  wan-video resolve 'it'\\''s mine' --task t-1`,
    `  wan-video resolve 'it'\\''s mine' --task t-2`,
    `  wan-video resolve 'it'\\''s mine' --buy`,
  ]);
  expect(attentionText('video/1', { ...attention, candidates: [] })).toContain(
    '  wan-video resolve video/1 --task TASK_ID\n',
  );
});

/** What a terminal obeys, or does not show: control characters, direction marks, invisible marks, line breaks. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const HOSTILE = 'a\u009b31m\u007f\u0085\u202eb\u2066\u200b\u2028\u2029\ufeff\u00ad\u{e0041}\u001b]0;x\u0007\u061c😀';

test('JSON for a terminal holds nothing that a terminal obeys, and is the same value for a program', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constant(HOSTILE));
  fc.assert(
    fc.property(fc.oneof(text, fc.dictionary(text, text), fc.jsonValue()), (value) => {
      const json = printableJson(value);
      expect(json).not.toMatch(UNPRINTABLE);
      expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
  expect(printableJson({ a: '\u009b1m\u202e\u{e0041}' })).toBe('{"a":"\\u009b1m\\u202e\\udb40\\udc41"}');
});

test.each([
  ['a result with --json', true, (context: CommandContext) => context.result({ [HOSTILE]: HOSTILE }, '')],
  ['a line of JSON', false, (context: CommandContext) => context.printJson({ item_id: HOSTILE })],
  ['a result as text', false, (context: CommandContext) => context.result({}, HOSTILE)],
] as const)('%s reaches the terminal without anything that it obeys', (_what, json, print) => {
  const written: string[] = [];
  const sink = () =>
    new Writable({
      write(text, _encoding, done) {
        written.push(String(text));
        done();
      },
    });
  const io = { stdin: Readable.from([]), stdout: sink(), stderr: sink(), onInterrupt: () => () => undefined };
  print(new CommandContext({ ...io, env: {}, cwd: '/', homeDir: '/' }, json));
  expect(written.join('')).toMatch(/^[^\n]*\n$/);
  expect(written.join('').trimEnd()).not.toMatch(UNPRINTABLE);
});

test('a cell of CSV is cleaned like every text, and still cannot begin a formula', () => {
  expect(csvLine([HOSTILE])).not.toMatch(UNPRINTABLE);
  expect(csvLine(['\u202e=1+1', '\u009b31m@x', 'two\nlines', -1])).toBe(`'=1+1,'@x,"two\nlines",-1`);
  expect(csvLine([' =1+1', '\t=1+1', '\u00a0@x', '＝1+1', '－1', '＋1', '＠x', 'a=1'])).toBe(
    "' =1+1,' =1+1,'\u00a0@x,'＝1+1,'－1,'＋1,'＠x,a=1",
  );
});
