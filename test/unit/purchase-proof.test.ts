import { expect, test } from 'vitest';
import { combineMatches, comparePrompts, compareShape, compareUsage, type Match } from '../../src/ledger/proof.js';
import type { Expectation } from '../../src/ledger/records.js';

const expects = (change: Partial<Expectation> = {}): Expectation => ({
  prompt: 'p',
  duration: 4,
  resolution: '720P',
  audio: false,
  image: { width: 1280, height: 720 },
  ...change,
});

test.each<[string, string | undefined, Match]>([
  ['A cat runs.', 'A cat runs.', 'equal'],
  ['A cat\r\n  runs. ', 'A cat runs.', 'equal'],
  ['caf\u00e9', 'cafe\u0301', 'equal'],
  ['一只猫跑过草地', '一只猫跑过草地', 'equal'],
  ['A cat runs.', 'a cat runs', 'unsure'],
  ['A cat runs.', 'Ａ cat runs.', 'unsure'],
  ['A cat runs.', 'A cat', 'unsure'],
  ['A cat runs.', 'A cat runs. Cinematic light.', 'unsure'],
  ['A cafe\u0301 at night', 'A cafe', 'unsure'],
  ['A caf\u00e9 at night', 'A cafe', 'unsure'],
  ['\u1112\u1161\u11ab river', '\ud558', 'unsure'],
  ['\ud83d\ude80 starts', '\ud83d', 'unsure'],
  ['A cat runs.', '', 'unsure'],
  ['A cat runs.', ' \n', 'unsure'],
  ['A cat runs.', undefined, 'unsure'],
  ['...', '!!!', 'unsure'],
  // Escaped, in the wrong encoding, or with characters that were lost on the way.
  ['A cat & a "dog"', 'A cat &amp; a &quot;dog&quot;', 'unsure'],
  ['一只猫跑过草地', '&#19968;&#21482;&#29483;&#36305;&#x8fc7;&#33609;&#22320;', 'unsure'],
  ['一只猫', '\\u4e00\\u53ea\\u732b', 'unsure'],
  ['A cat & 一只猫', 'A+cat+%26+%E4%B8%80%E5%8F%AA%E7%8C%AB', 'unsure'],
  ['Un café à la plage', 'Un cafÃ© Ã\u00a0 la plage', 'unsure'],
  ['一只猫', '\ufffd\ufffdö\ufffd\ufffdC', 'unsure'],
  ['A 猫 and a 狗 run', 'A ? and a ? run', 'unsure'],
  ['A cat runs.', 'A &lt;dog&gt; runs.', 'different'],
  ['A 猫 and a 狗 run', 'A 鸟 and a 鱼 run', 'different'],
  ['A cat runs.', 'A dog runs.', 'different'],
  ['一只猫', '一只狗', 'different'],
])('the prompt %j compared with %j is %s', (sent, shown, likeness) => {
  expect(comparePrompts(sent, shown)).toBe(likeness);
});

test.each<[string, Partial<Expectation>, Parameters<typeof compareUsage>[1], Match]>([
  ['all the same', {}, { duration: 4, sr: 720, audio: false }, 'equal'],
  ['1080P with sound', { resolution: '1080P', audio: true }, { duration: 4, sr: 1080, audio: true }, 'equal'],
  ['no usage', {}, undefined, 'unsure'],
  ['no tier', {}, { duration: 4, audio: false }, 'unsure'],
  ['no sound reported', {}, { duration: 4, sr: 720 }, 'unsure'],
  ['a length within half a second', {}, { duration: 4.04, sr: 720, audio: false }, 'equal'],
  ['another length', {}, { duration: 5, sr: 720, audio: false }, 'unsure'],
  ['another length and nothing else reported', {}, { duration: 5 }, 'unsure'],
  ['another tier', {}, { duration: 4, sr: 1080, audio: false }, 'unsure'],
  ['sound', {}, { duration: 4, sr: 720, audio: true }, 'unsure'],
])('usage with %s is compared', (_what, change, usage, likeness) => {
  expect(compareUsage(expects(change), usage, undefined)).toBe(likeness);
});

const FILE = { width: 1280, height: 720, durationSeconds: 4, hasAudio: false };
test.each<[string, Parameters<typeof compareUsage>[1], Partial<typeof FILE>, Match]>([
  ['nothing reported', undefined, {}, 'equal'],
  ['no sound reported', { duration: 4, sr: 720 }, {}, 'equal'],
  ['a length that only the file confirms', { duration: 5, sr: 720, audio: false }, {}, 'unsure'],
  ['another length in both', { duration: 5, sr: 720, audio: false }, { durationSeconds: 5.03 }, 'different'],
  ['another length in the file alone', { sr: 720, audio: false }, { durationSeconds: 5 }, 'different'],
  ['a tier that the file denies', { duration: 4, sr: 1080, audio: false }, {}, 'unsure'],
  ['another tier in both', { duration: 4, sr: 1080, audio: false }, { width: 1920, height: 1080 }, 'different'],
  ['sound that the file lacks', { duration: 4, sr: 720, audio: true }, {}, 'unsure'],
  ['sound in both', { duration: 4, sr: 720, audio: true }, { hasAudio: true }, 'different'],
])('usage with %s is judged together with the file', (_what, usage, file, likeness) => {
  expect(compareUsage(expects({}), usage, { ...FILE, ...file })).toBe(likeness);
});

test.each<[string, Expectation['image'], '720P' | '1080P', [number, number] | undefined, Match]>([
  ['the documented example (multiples of 16)', { width: 750, height: 1000 }, '720P', [816, 1104], 'equal'],
  ['the measured example (multiples of 2)', { width: 1024, height: 768 }, '720P', [1108, 830], 'equal'],
  ['the nominal size', { width: 1920, height: 1080 }, '1080P', [1920, 1080], 'equal'],
  ['an extreme shape', { width: 8000, height: 1000 }, '720P', [2704, 336], 'equal'],
  ['the other tier', { width: 1280, height: 720 }, '720P', [1920, 1080], 'different'],
  ['the shape turned on its side', { width: 1280, height: 720 }, '720P', [720, 1280], 'unsure'],
  ['another shape', { width: 1280, height: 720 }, '720P', [960, 960], 'different'],
  ['a near shape', { width: 1280, height: 720 }, '720P', [1108, 830], 'different'],
  ['an image that cannot be read', null, '720P', [1280, 720], 'unsure'],
  ['a video that cannot be measured', { width: 1280, height: 720 }, '720P', undefined, 'unsure'],
])('the shape of %s is compared', (_what, image, resolution, video, likeness) => {
  const size = video === undefined ? undefined : { width: video[0], height: video[1] };
  expect(compareShape(expects({ image, resolution }), size)).toBe(likeness);
});

test('one difference excludes, and one doubt forbids a guess', () => {
  expect(combineMatches({ prompt: 'equal', usage: 'equal', shape: 'equal' })).toBe('equal');
  expect(combineMatches({ prompt: 'equal', usage: 'unsure', shape: 'equal' })).toBe('unsure');
  expect(combineMatches({ prompt: 'unsure', usage: 'unsure', shape: 'different' })).toBe('different');
});

test('another shape of an image that the provider fetched itself is a doubt, because it may have changed', () => {
  const image = { width: 1280, height: 720, mayDiffer: true };
  expect(compareShape(expects({ image }), { width: 960, height: 960 })).toBe('unsure');
  expect(compareShape(expects({ image }), { width: 1280, height: 720 })).toBe('equal');
});
