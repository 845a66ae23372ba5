import { describe, expect, test } from 'vitest';
import { labelTexts } from '../../src/contract/search-attributes.js';
import {
  cacheKey,
  canonicalRequest,
  invalidRequest,
  parseRequest,
  requestFingerprint,
  requestIssues,
} from '../../src/contract/validate.js';

const valid = {
  prompt: 'a boat drifts over a calm lake',
  duration: 4,
  fps: 24,
  size: '1280*720',
  reference_image: 'https://images.example/boat.jpg',
};

describe('the request of videoGenerate', () => {
  test('the specification’s required fields alone are a valid request', () => {
    expect(requestIssues(valid)).toEqual([]);
  });

  test.each([
    ['prompt', undefined, /required/],
    ['prompt', 'x'.repeat(1501), /1501 characters/],
    ['negative_prompt', 'x'.repeat(501), /501 characters/],
    ['duration', 0, /from 2 to 15/],
    ['duration', 16, /from 2 to 15/],
    ['duration', 4.5, /whole number/],
    ['fps', 'fast', /must be a number/],
    ['size', '999*1', /1280\*720/],
    ['seed', -1, /from 0/],
    ['model', 'wan2.6', /exactly wan2.6-i2v-flash/],
    ['reference_image', undefined, /required/],
    ['reference_image', './boat.jpg', /stage/],
    ['colour', 'red', /not a field/],
  ])('%s = %j is refused with its field named', (path, value, message) => {
    const issues = requestIssues({ ...valid, [path]: value });
    expect(issues).toHaveLength(1);
    expect(issues[0]?.path).toBe(path);
    expect(issues[0]?.message).toMatch(message);
  });

  test('all faults are reported at once', () => {
    const issues = requestIssues({ duration: 0, fps: 'fast', size: '999*1', seed: -1, colour: 1 });
    expect(issues.map(({ path }) => path).sort()).toEqual([
      'colour',
      'duration',
      'fps',
      'prompt',
      'reference_image',
      'seed',
      'size',
    ]);
  });

  test('sound is off unless an audio_url is given', () => {
    expect(canonicalRequest(valid).audio).toBe(false);
    expect(canonicalRequest({ ...valid, audio_url: 'https://a.example/v.mp3' }).audio).toBe(true);
    expect(requestIssues({ ...valid, audio: false, audio_url: 'https://a.example/v.mp3' })).toHaveLength(1);
  });

  test('field order, x for * and labels do not change the fingerprint; the tenant does', () => {
    const same = requestFingerprint({
      ...Object.fromEntries(Object.entries(valid).reverse()),
      size: '1280x720',
      labels: { a: 'b' },
    } as never);
    expect(same).toBe(requestFingerprint(valid));
    expect(requestFingerprint({ ...valid, tenant: 'acme' })).not.toBe(requestFingerprint(valid));
  });

  test.each([
    ['prompt', 'other'],
    ['negative_prompt', 'blur'],
    ['duration', 5],
    ['fps', 30],
    ['size', '720*1280'],
    ['seed', 1],
    ['motion_strength', 0.5],
    ['audio', true],
    ['prompt_extend', false],
    ['shot_type', 'multi'],
    ['watermark', true],
  ])('%s changes the cache key', (field, value) => {
    const key = (request: object) => cacheKey(canonicalRequest(request as never), 'wan2.6-i2v-flash', { hash: 'hash' });
    expect(key({ ...valid, [field]: value })).not.toBe(key(valid));
  });
});

const many = (count: number, value: unknown = 'x'): Record<string, unknown> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`name-${n}`, value]));
const nested = (levels: number): unknown => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`);
const LABELS = 'labels';

describe('a hostile request is refused by field, fault and fix', () => {
  test.each<[string, object, string, RegExp]>([
    ['a label that Temporal does not index', { labels: { a: 'x'.repeat(2_100) } }, LABELS, /has 2106 bytes; Temporal/],
    ['labels that are too large together', { labels: many(30, 'x'.repeat(100)) }, LABELS, /has 3\d+ bytes; Temporal/],
    ['10,000 labels', { labels: many(10_000) }, LABELS, /has 10000 labels; leave out all but 64/],
    ['10,000 labels that are no text', { labels: many(10_000, 1) }, LABELS, /has 10000 labels/],
    ['a label named __proto__', { labels: JSON.parse('{"__proto__":"x"}') }, LABELS, /"__proto__"/],
    ['a label without a name', { labels: { '': 'x' } }, LABELS, /has the name ""/],
    ['a label with a long name', { labels: { ['x'.repeat(101)]: 'x' } }, LABELS, /a name has 1 to 100/],
    ['a label with NUL in its name', { labels: { 'a\u0000': 'x' } }, LABELS, /printable characters/],
    ['a label with an escape', { labels: { a: '\u001b[31m' } }, 'labels.a', /control character/],
    ['half a character in a label', { labels: { a: '\ud800' } }, 'labels.a', /surrogate pair/],
    ['half a character in the tenant', { tenant: 'a\udc00' }, 'tenant', /surrogate pair/],
    ['NUL in the tenant', { tenant: '\u0000' }, 'tenant', /control character/],
    ['NUL in the prompt', { prompt: 'a\u0000b' }, 'prompt', /control character/],
    ['half a character in the prompt', { prompt: 'a\ud83d' }, 'prompt', /surrogate pair/],
    ['a prompt of 1.9 MB', { prompt: 'x'.repeat(1_900_000) }, 'prompt', /has 1900000 characters/],
    ['an address of 1.9 MB', { reference_image: `https://a/${'x'.repeat(1_900_000)}` }, 'reference_image', /8192/],
    ['a sound address of 1.9 MB', { audio_url: `https://a/${'x'.repeat(1_900_000)}` }, 'audio_url', /8192/],
    ['a size of 1.9 MB', { size: 'x'.repeat(1_900_000) }, 'size', /not supported/],
    ['a deadline beyond all timers', { deadline_seconds: 1e300 }, 'deadline_seconds', /at most 2592000/],
    ['10,000 unknown fields', many(10_000), '', /has 10005 fields/],
    ['an unknown field with a name of 200 kB', { ['x'.repeat(200_000)]: 1 }, `${'x'.repeat(199)}…`, /not a field/],
    ['an unknown field with an escape', { '\u001b[31mred': 1 }, 'red', /not a field/],
    ['a field named __proto__', JSON.parse('{"__proto__":{"prompt":"x"}}'), '__proto__', /not a field/],
    ['a text of brackets', { prompt: nested(5_000) }, '', /nested too deeply/],
  ])('%s', (_what, change, path, message) => {
    const given = Object.assign(Object.create(null), valid);
    for (const [name, value] of Object.entries(change)) Object.defineProperty(given, name, { value, enumerable: true });
    const issues = requestIssues({ ...given });
    expect(issues.map((issue) => issue.path)).toEqual([path]);
    expect(issues[0]?.message).toMatch(message);
    expect(JSON.stringify(invalidRequest(issues)).length).toBeLessThan(4_000);
  });

  test('labels that fill one search attribute are accepted', () => {
    const labels = many(20, 'x'.repeat(85));
    expect(Buffer.byteLength(JSON.stringify(labelTexts(labels as Record<string, string>)))).toBeGreaterThan(1_900);
    expect(requestIssues({ ...valid, labels })).toEqual([]);
  });

  test('a text of several lines is a prompt', () => {
    expect(requestIssues({ ...valid, prompt: 'first\r\n\tthen' })).toEqual([]);
  });
});

describe('an object that is no plain JSON', () => {
  class Draft {
    prompt = valid.prompt;
  }
  const cyclic: Record<string, unknown> = { ...valid };
  cyclic['labels'] = cyclic;
  const throwing = Object.defineProperty({ ...valid }, 'prompt', {
    enumerable: true,
    get() {
      throw new Error('not loaded yet');
    },
  });

  test.each<[string, unknown, string, RegExp]>([
    ['an instance of a class', Object.assign(new Draft(), valid), '', /one JSON object .*, not an instance of Draft$/],
    ['a Map', new Map(Object.entries(valid)), '', /not an instance of Map/],
    ['an object that inherits its fields', Object.create(valid), '', /not an instance of/],
    ['a getter that throws', throwing, '', /^cannot be read: not loaded yet$/],
    ['a request that holds itself', cyclic, '', /holds itself/],
    ['a list that holds itself', { ...valid, prompt: [cyclic] }, '', /holds itself/],
    ['labels that are a Map', { ...valid, labels: new Map() }, 'labels', /not an instance of Map/],
    ['a field of 2 MB that is none of ours', { ...valid, extra: 'x'.repeat(2_000_000) }, 'extra', /not a field/],
    ['an undefined field that is none of ours', { ...valid, extra: undefined }, 'extra', /not a field/],
    ['an undefined field that is required', { ...valid, fps: undefined }, 'fps', /required/],
    ['a bigint', { ...valid, seed: 7n }, 'seed', /must be a number/],
    ['a Date', { ...valid, tenant: new Date(0) }, 'tenant', /must be text/],
  ])('%s is refused with one error', (_what, input, path, message) => {
    const issues = requestIssues(input);
    expect(issues).toHaveLength(1);
    expect(issues[0]?.path).toBe(path);
    expect(issues[0]?.message).toMatch(message);
  });

  test('each member is read once, so that what was checked is what is sent', () => {
    let reads = 0;
    const input = Object.defineProperty({ ...valid }, 'prompt', {
      enumerable: true,
      get: () => (reads++ === 0 ? 'a boat drifts' : 'x'.repeat(5_000)),
    });
    expect(parseRequest(input).prompt).toBe('a boat drifts');
    expect(reads).toBe(1);
  });

  test('undefined members count as absent, and the parsed request shares nothing with its input', () => {
    const labels = { season: 'spring' };
    const parsed = parseRequest({ ...valid, seed: undefined, tenant: null, labels });
    expect(Object.keys(parsed)).toEqual([...Object.keys(valid), 'labels']);
    labels.season = 'winter';
    expect(parsed.labels).toEqual({ season: 'spring' });
  });
});

describe('reference_upload', () => {
  const asIs = { ...valid, reference_upload: 'as_is' };

  test.each(['http://a.example/b.jpg', 'asset:references/a.jpg', 'oss://a/b.jpg', 'data:image/png;base64,AA=='])(
    'as_is with %s is refused under its own name',
    (reference_image) => {
      expect(requestIssues({ ...asIs, reference_image })).toMatchObject([{ path: 'reference_upload' }]);
      expect(requestIssues({ ...asIs, reference_image, reference_upload: 'provider' })).toEqual([]);
    },
  );

  test('as_is takes an https address, and is another run and another cache key than an upload of the same bytes', () => {
    const request = { ...asIs, reference_image: 'https://a.example/b.jpg' };
    expect(requestIssues(request)).toEqual([]);
    const canonical = canonicalRequest(request as never);
    expect(requestFingerprint(request as never)).not.toBe(
      requestFingerprint({ ...request, reference_upload: 'provider' } as never),
    );
    const key = (fetchedFrom?: string) => cacheKey(canonical, 'wan2.6-i2v-flash', { hash: 'hash', fetchedFrom });
    expect(new Set([key(), key('https://a.example/b.jpg'), key('https://a.example/c.jpg')]).size).toBe(3);
  });
});
