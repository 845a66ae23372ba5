import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SIZES } from '../../src/contract/model.js';
import { requestIssues } from '../../src/contract/validate.js';

const SCHEMA = JSON.parse(
  readFileSync(new URL('../../docs/schemas/request.schema.json', import.meta.url), 'utf8'),
) as object;
const validate = new Ajv2020({ allErrors: true }).compile(SCHEMA);
const ours = (request: unknown) => requestIssues(request).length === 0;

const valid = {
  prompt: 'a boat drifts over a calm lake',
  duration: 4,
  fps: 24,
  size: '1280*720',
  reference_image: 'https://images.example/boat.jpg',
};
const without = (field: keyof typeof valid) => {
  const { [field]: _left, ...rest } = valid;
  return rest;
};

test.each<[string, unknown]>([
  ['the required fields alone', valid],
  ['the longest prompt', { ...valid, prompt: 'x'.repeat(1500) }],
  ['1500 characters outside the basic plane', { ...valid, prompt: '🌊'.repeat(1500) }],
  ...Object.keys(SIZES).map((size): [string, unknown] => [size, { ...valid, size }]),
  ['a size with x', { ...valid, size: '1280x720' }],
  ['bounds from below', { ...valid, duration: 2, fps: 1, seed: 0 }],
  ['bounds from above', { ...valid, duration: 15, fps: 120, seed: 2_147_483_647 }],
  ['a staged image', { ...valid, reference_image: 'asset:references/abc.jpg' }],
  ['sound from a file', { ...valid, audio: true, audio_url: 'https://a.example/v.mp3' }],
  ['null for what is left out', { ...valid, seed: null, audio: null, labels: null, model: null }],
  ['labels and tenant', { ...valid, labels: { shot: '7' }, tenant: 'acme', deadline_seconds: 0.5, cache: 'off' }],
])('schema and validator both accept %s', (_what, request) => {
  expect(validate(request), JSON.stringify(validate.errors)).toBe(true);
  expect(requestIssues(request)).toEqual([]);
});

test.each<[string, unknown]>([
  ['no object', 'a prompt'],
  ['null', null],
  ['a list', [valid]],
  ...Object.keys(valid).map((field): [string, unknown] => [`no ${field}`, without(field as keyof typeof valid)]),
  ['a blank prompt', { ...valid, prompt: ' \n' }],
  ['1501 characters', { ...valid, prompt: 'x'.repeat(1501) }],
  ['a negative prompt of 501 characters', { ...valid, negative_prompt: 'x'.repeat(501) }],
  ['half a second', { ...valid, duration: 4.5 }],
  ['one second', { ...valid, duration: 1 }],
  ['16 seconds', { ...valid, duration: 16 }],
  ['fps as text', { ...valid, fps: '24' }],
  ['121 frames per second', { ...valid, fps: 121 }],
  ['an unsupported size', { ...valid, size: '999*1' }],
  ['a size that is an inherited name', { ...valid, size: 'constructor' }],
  ['a negative seed', { ...valid, seed: -1 }],
  ['a seed beyond 31 bits', { ...valid, seed: 2_147_483_648 }],
  ['another model', { ...valid, model: 'wan2.6-i2v' }],
  ['a local path', { ...valid, reference_image: './boat.jpg' }],
  ['a file URL', { ...valid, reference_image: 'file:///etc/hostname' }],
  ['sound off with a sound file', { ...valid, audio: false, audio_url: 'https://a.example/v.mp3' }],
  ['an unknown field', { ...valid, colour: 'red' }],
  ['null for a required field', { ...valid, fps: null }],
  ['a label that is a number', { ...valid, labels: { shot: 7 } }],
  ['no time at all', { ...valid, deadline_seconds: 0 }],
])('schema and validator both refuse %s', (_what, request) => {
  expect(validate(request)).toBe(false);
  expect(requestIssues(request)).not.toEqual([]);
});

test('schema and validator agree on arbitrary requests', () => {
  const number = fc.oneof(
    fc.constantFrom(0, 1, 2, 15, 16, 120, 121, 2_147_483_647, 2_147_483_648),
    fc.integer({ min: -2, max: 125 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  );
  const anything = fc.oneof(fc.string(), number, fc.boolean(), fc.constant(null), fc.array(fc.string()));
  const or = (likely: fc.Arbitrary<unknown>) =>
    fc.oneof({ weight: 6, arbitrary: likely }, { weight: 1, arbitrary: anything });
  const text = (max: number) =>
    fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.integer({ min: max - 2, max: max + 2 }).map((n) => 'ö'.repeat(n)),
    );
  const url = fc.tuple(
    fc.constantFrom('https://', 'http://', 'oss://', 'asset:', 'data:image/', 'file://', ''),
    fc.string(),
  );
  const fields = {
    prompt: or(text(1500)),
    duration: or(number),
    fps: or(number),
    size: or(fc.constantFrom(...Object.keys(SIZES), '1280x720', '1280X720', '1*1', 'toString')),
    reference_image: or(url.map((parts) => parts.join(''))),
    reference_upload: or(fc.constantFrom('provider', 'as_is', 'other')),
    model: or(fc.constantFrom('wan2.6-i2v-flash', 'wan2.6-i2v')),
    negative_prompt: or(text(500)),
    seed: or(number),
    motion_strength: or(number),
    audio: or(fc.boolean()),
    audio_url: or(url.map((parts) => parts.join(''))),
    prompt_extend: or(fc.boolean()),
    shot_type: or(fc.constantFrom('single', 'multi', 'many')),
    watermark: or(fc.boolean()),
    cache: or(fc.constantFrom('use', 'refresh', 'off', 'on')),
    deadline_seconds: or(number),
    tenant: or(text(64)),
    labels: or(fc.dictionary(fc.string(), or(fc.string()))),
    extra: anything,
  };
  // Most arbitrary records have several faults; laid over a valid request, one field at a time shows too.
  const single = Object.entries(fields).map(([name, value]) => value.map((one) => ({ ...valid, [name]: one })));
  fc.assert(
    fc.property(fc.oneof(...single, fc.record(fields, { requiredKeys: [] })), (value) => {
      expect(validate(value)).toBe(ours(value));
    }),
    { numRuns: 3_000 },
  );
});
