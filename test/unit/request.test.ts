import { describe, expect, test } from 'vitest';
import { cacheKey, canonicalRequest, requestFingerprint, requestIssues } from '../../src/contract/validate.js';

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
    const key = (request: object) => cacheKey(canonicalRequest(request as never), 'wan2.6-i2v-flash', 'hash');
    expect(key({ ...valid, [field]: value })).not.toBe(key(valid));
  });
});
