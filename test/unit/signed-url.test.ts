import { expect, test } from 'vitest';
import { readManifest } from '../../src/batch/manifest.js';
import { isSignedUrl, withoutSignature, withoutSignedAudio } from '../../src/contract/signed-url.js';

const SIGNED = [
  'https://b.s3.amazonaws.com/a.mp3?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0badc0de',
  'https://b.oss-cn-beijing.aliyuncs.com/a.mp3?Expires=1&OSSAccessKeyId=i&Signature=s3cret',
  'https://storage.googleapis.com/b/a.mp3?X-Goog-Signature=0badc0de&X-Goog-Expires=9',
  'https://a.blob.core.windows.net/c/a.mp3?sv=2024&se=2026&sp=r&sig=s3cret',
  'https://d1.cloudfront.net/a.mp3?Expires=1&Signature=s3cret&Key-Pair-Id=K',
  'https://b.cos.ap-beijing.myqcloud.com/a.mp3?q-sign-algorithm=sha1&q-signature=0badc0de',
  'https://a.example/a.mp3?token=s3cret',
  'https://a.example/a.mp3?access_token=s3cret',
  'https://a.example/a.mp3?v=1&jwt=eyJ.s3cret',
  'https://a.example/a.mp3?auth=s3cret',
  'https://a.example/a.mp3?x=Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6',
  'https://a.example/a.mp3#access_token=s3cret',
  'https://user:s3cret@a.example/a.mp3',
  'https://a.example/a.mp3?SIG=s3cret',
  'https://a.example/a.mp3?v=2#token=s3cret',
  'https://a.example/a.mp3?v=2?token=s3cret',
  'https://a.example/a.mp3?%53ignature=s3cret',
  'https://a.example/a.mp3?to%6Ben=s3cret',
  'https://a.example/a.mp3?%=1&pwd=s3cret',
  'https://a.example/a.mp3?Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6',
  'https://a.example/a.mp3?ticket=s3cret',
];

test.each(SIGNED)('%s is signed, and what is kept of it has no secret', (url) => {
  expect(isSignedUrl(url)).toBe(true);
  const kept = withoutSignature(url);
  expect(kept).not.toMatch(/s3cret|0badc0de|Zm9v/);
  expect(kept).toMatch(/\/a\.mp3\?\[redacted\]$/);
  expect(withoutSignedAudio({ prompt: 'p', audio_url: url })).toEqual({ prompt: 'p', audio_url: kept });
});

test.each([
  'https://a.example/a.mp3',
  'https://a.example/a.mp3?v=2',
  'https://a.example/a.mp3?version=1.2.3&lang=en',
  'oss://dashscope-instant/1/a.mp3',
  'https://a.example/user@home/a.mp3',
])('%s is not signed and stays as it is', (url) => {
  expect(isSignedUrl(url)).toBe(false);
  const request = { audio_url: url };
  expect(withoutSignedAudio(request)).toBe(request);
});

test.each([null, undefined, 1, 'text', [], { audio_url: 1 }, { audio_url: null }])(
  '%j is no request to change',
  (value) => {
    expect(withoutSignedAudio(value)).toBe(value);
  },
);

test('a manifest with a signed address is refused, and its faults do not keep it', async () => {
  const line = { prompt: 'p', duration: 4, fps: 24, size: '1280*720', reference_image: 'https://a.example/i.png' };
  const body = [Buffer.from(`${JSON.stringify({ ...line, audio_url: SIGNED[0] })}\n`)];
  async function* bytes() {
    yield* body;
  }
  const entries = [];
  for await (const entry of readManifest(bytes(), { localImages: false })) entries.push(entry);
  expect(entries).toEqual([
    { kind: 'fault', fault: expect.objectContaining({ issues: [expect.objectContaining({ path: 'audio_url' })] }) },
  ]);
  expect(JSON.stringify(entries)).not.toContain('0badc0de');
});
