import { expect, test } from 'vitest';
import { parseLenientJson } from '../../src/dashscope/lenient-json.js';
import { decideSubmitOutcome } from '../../src/dashscope/submit-outcome.js';
import { taskAnswer } from '../../src/dashscope/wire.js';
import { comparePrompts } from '../../src/ledger/proof.js';

test.each<[string, string, unknown]>([
  ['as documented', '{"a":[1,"x"]}', { a: [1, 'x'] }],
  ['with a byte order mark', '\ufeff{"a":1}', { a: 1 }],
  ['with words that JSON does not have', '{"a":NaN,"b":-Infinity,"c":None,"d":True}', { a: {}, b: {}, c: {}, d: true }],
  ['with such words in a text', '{"a":NaN,"b":"NaN, True,}"}', { a: {}, b: 'NaN, True,}' }],
  ['with a comma before each end', '{"a":[1,2 , ],"b":{"c":3,},\n}', { a: [1, 2], b: { c: 3 } }],
  ['with control characters in a text', '{"a":"x\ny\tz\\n"}', { a: 'x\ny\tz\n' }],
  ['with a page behind it', '{"a":{"b":"}"}}\n<!-- gateway -->', { a: { b: '}' } }],
  ['twice', '{"a":1}{"a":2}', { a: 1 }],
  ['cut off', '{"a":{"b":1}', undefined],
  ['cut off in a text', '{"a":1,"b":"5}', undefined],
  ['as a page', '<html>{"a":1}</html>', undefined],
  ['as nothing', '', undefined],
])('JSON %s', (_what, text, value) => {
  expect(parseLenientJson(text)).toEqual(value);
});

test('a text of 4 MB is read within a moment, however it is broken', () => {
  for (const part of ['"', '\\', '{', '[1,', 'NaN,', '","', '\n']) {
    const text = `{"a":NaN,"b":"${part.repeat(4_000_000 / part.length)}`;
    const begunMs = performance.now();
    expect(parseLenientJson(text)).toBeUndefined();
    expect(performance.now() - begunMs).toBeLessThan(20_000);
  }
});

const FOREIGN = ['NaN', 'Infinity', 'None', 'undefined'];

test.each(FOREIGN)('a %s is no task, no prompt and no reason of a failure', (word) => {
  const answer = (fields: string) => parseLenientJson(`{"output":{${fields}},"request_id":${word}}`);
  const json = answer(`"task_id":${word},"code":${word}`);
  for (const status of [200, 503]) {
    const answered = { status, json };
    expect(decideSubmitOutcome({ bodyPulled: true, answer: answered }).kind).toBe('unknown');
  }
  const running = taskAnswer('t')(answer(`"task_id":"t","task_status":"RUNNING","orig_prompt":${word}`)).value;
  expect(comparePrompts('a cat', running?.origPrompt)).toBe('unsure');
  const failed = `"task_id":"t","task_status":"FAILED","code":${word},"video_url":"https://h.com/v.mp4"`;
  expect(taskAnswer('t')(answer(failed)).value).toMatchObject({ status: 'PENDING', hasOddStatus: true });
});

test.each(FOREIGN)('seconds that are %s are absent and noted, and the link is there', (word) => {
  const text = `{"output":{"task_id":"t","task_status":"SUCCEEDED","video_url":"https://h.com/v.mp4"},"usage":{"duration":${word},"SR":720}}`;
  const { value } = taskAnswer('t')(parseLenientJson(text));
  expect(value).toMatchObject({ videoUrl: 'https://h.com/v.mp4', usage: { sr: 720 }, oddities: ['usage.duration'] });
});
