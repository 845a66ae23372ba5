import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MODEL, SIZES } from '../../src/contract/model.js';
import type { VideoRequest } from '../../src/contract/request.js';
import { cacheKey, canonicalRequest, parseRequest, requestFingerprint } from '../../src/contract/validate.js';

const HASH = 'a'.repeat(64);
const keyOf = (request: unknown, hash = HASH) => cacheKey(canonicalRequest(parseRequest(request)), MODEL, { hash });

const text = fc.string({ minLength: 1, maxLength: 40 }).filter((value) => value.trim() !== '');
/** Fields that change picture or sound, with values to choose from. */
const fields = {
  prompt: text,
  negative_prompt: fc.option(text),
  duration: fc.integer({ min: 2, max: 15 }),
  fps: fc.integer({ min: 1, max: 120 }),
  size: fc.constantFrom(...Object.keys(SIZES)),
  seed: fc.option(fc.integer({ min: 0, max: 2_147_483_647 })),
  motion_strength: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
  audio: fc.option(fc.boolean()),
  prompt_extend: fc.option(fc.boolean()),
  shot_type: fc.option(fc.constantFrom('single', 'multi')),
  watermark: fc.option(fc.boolean()),
};
const requests = fc
  .record(fields)
  .map((request) => ({ ...request, reference_image: 'https://images.example/boat.jpg' }) as Record<string, unknown>);

/**
 * Another way of writing the same request: other order, `x` for `*`, nulls left out, things that change nothing added.
 */
function sameRequest(request: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(request).filter(([, value]) => value !== null);
  return {
    ...Object.fromEntries(entries.reverse()),
    size: String(request['size']).replace('*', 'x'),
    model: MODEL,
    tenant: 'another',
    labels: { team: 'another' },
    deadline_seconds: 60,
    cache: 'refresh',
    reference_image: 'asset:references/the-same-image-under-another-name.jpg',
  };
}

test('equal requests have equal keys, however they are written', () => {
  fc.assert(
    fc.property(requests, (request) => {
      expect(keyOf(sameRequest(request))).toBe(keyOf(request));
    }),
  );
});

test('a default that is written out is the same as one that is left out', () => {
  const request = { prompt: 'p', duration: 4, fps: 24, size: '1280*720', reference_image: 'https://a.example/b.jpg' };
  expect(keyOf({ ...request, audio: false, negative_prompt: '' })).toBe(keyOf(request));
});

test.each(Object.keys(fields) as (keyof typeof fields)[])('another %s is another key', (name) => {
  const values: fc.Arbitrary<unknown> = fields[name];
  const canonical = (request: Record<string, unknown>) => canonicalRequest(parseRequest(request))[name];
  fc.assert(
    fc.property(requests, values, (request, value) => {
      const other = { ...request, [name]: value };
      fc.pre(canonical(other) !== canonical(request));
      expect(keyOf(other)).not.toBe(keyOf(request));
    }),
  );
});

test('another image, another model and another sound file are other keys', () => {
  const request = canonicalRequest(
    parseRequest({ prompt: 'p', duration: 4, fps: 24, size: '1280*720', reference_image: 'https://a.example/b.jpg' }),
  );
  const keys = [
    cacheKey(request, MODEL, { hash: HASH }),
    cacheKey(request, MODEL, { hash: 'b'.repeat(64) }),
    cacheKey(request, 'another-model', { hash: HASH }),
    cacheKey({ ...request, audio_url: 'https://a.example/voice.mp3' }, MODEL, { hash: HASH }),
  ];
  expect(new Set(keys).size).toBe(keys.length);
});

test('the run that equal requests share is named by cache and tenant, too, but not by labels', () => {
  const request: VideoRequest = {
    prompt: 'p',
    duration: 4,
    fps: 24,
    size: '1280*720',
    reference_image: 'https://a.example/b.jpg',
  };
  const name = requestFingerprint(request);
  expect(requestFingerprint({ ...request, labels: { team: 'a' } })).toBe(name);
  expect(requestFingerprint({ ...request, tenant: 'a' })).not.toBe(name);
  expect(requestFingerprint({ ...request, cache: 'refresh' })).not.toBe(name);
});

test('the key of a known request never changes: it finds what was bought before', () => {
  const request = {
    prompt: 'a boat',
    duration: 4,
    fps: 24,
    size: '1280*720',
    reference_image: 'https://a.example/b.jpg',
  };
  expect(keyOf(request)).toMatchInlineSnapshot(`"13667c7c811f5add133aa061a37ccbd6a4cef8bcd471c16d504fb5ee59d283bd"`);
});
