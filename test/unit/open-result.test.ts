import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { ByteSource } from '../../src/net/chunks.js';
import { openResult } from '../../src/net/open-result.js';

const RULES = { baseUrl: 'https://dashscope.aliyuncs.com/api/v1', allow: [] };
const VIDEO = Buffer.from('a video');

interface Reply {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
  readonly error?: VideoError;
}

/** Opens `link` on a web of pages; notes every address that was requested. */
async function open(link: string, pages: Readonly<Record<string, Reply>>, from = 0) {
  const requested: string[] = [];
  const request = async (url: string) => {
    requested.push(url);
    const { status = 200, headers = {}, body = VIDEO, error } = pages[url] ?? { status: 404 };
    if (error !== undefined) throw error;
    return { status, headers, body: Readable.from([body]) };
  };
  const answer = await openResult(link, { from, rules: RULES, request }).catch((error: unknown) => error);
  return { answer: answer as { readonly status: number; readonly body: ByteSource }, requested };
}

const bytesOf = ({ body }: { readonly body: ByteSource }) => buffer(Readable.from(body));
const to = (location: string): Reply => ({ status: 302, headers: { location } });
const down = new VideoError(FailureType.ProviderUnavailable, 'no connection', { retryable: true });

test('a plain address of a public host is asked by https first', async () => {
  const { answer, requested } = await open('http://h.example/v.mp4?Signature=s', {
    'https://h.example/v.mp4?Signature=s': {},
  });
  expect(await bytesOf(answer)).toEqual(VIDEO);
  expect(requested).toEqual(['https://h.example/v.mp4?Signature=s']);
});

test('a host that has no https is asked by http after it', async () => {
  const pages = { 'https://h.example/v.mp4': { error: down }, 'http://h.example/v.mp4': {} };
  const { answer, requested } = await open('http://h.example/v.mp4', pages);
  expect(await bytesOf(answer)).toEqual(VIDEO);
  expect(requested).toEqual(['https://h.example/v.mp4', 'http://h.example/v.mp4']);
});

test('redirects are followed, relative ones too', async () => {
  const pages = {
    'https://h.example/v.mp4': to('https://other.example/x/v.mp4'),
    'https://other.example/x/v.mp4': to('../y.mp4?Signature=s'),
    'https://other.example/y.mp4?Signature=s': {},
  };
  expect(await bytesOf((await open('https://h.example/v.mp4', pages)).answer)).toEqual(VIDEO);
});

test.each([
  ['this machine', 'https://127.0.0.1/v.mp4'],
  ['the machine’s credentials', 'http://169.254.169.254/latest'],
  ['a private address', 'https://10.0.0.1/v.mp4'],
  ['a name inside', 'https://store.internal/v.mp4'],
  ['a file', 'file:///etc/passwd'],
  ['no address', 'https://'],
])('a redirect to %s is not followed, and nothing is lost', async (_where, location) => {
  const { answer, requested } = await open('https://h.example/v.mp4', { 'https://h.example/v.mp4': to(location) });
  expect(answer).toMatchObject({ type: FailureType.ResultUnreachable, retryable: true });
  expect(requested).toEqual(['https://h.example/v.mp4']);
});

test('redirects without end are left after five', async () => {
  const { answer, requested } = await open('https://h.example/v.mp4', { 'https://h.example/v.mp4': to('/v.mp4') });
  expect(answer).toMatchObject({ type: FailureType.ResultUnreachable, retryable: true });
  expect(requested).toHaveLength(6);
});

test.each([
  ['gzip', gzipSync(VIDEO)],
  ['br', brotliCompressSync(VIDEO)],
])('a body that the server encoded unasked is decoded: %s', async (encoding, body) => {
  const headers = { 'content-encoding': encoding, 'content-length': String(body.length), etag: '"e"' };
  const { answer } = await open('https://h.example/v.mp4', { 'https://h.example/v.mp4': { headers, body } });
  expect(answer).toMatchObject({ status: 200, headers: {} });
  expect(await bytesOf(answer)).toEqual(VIDEO);
});

test('an encoding that is not known leaves the result for later', async () => {
  const headers = { 'content-encoding': 'zzz' };
  const { answer } = await open('https://h.example/v.mp4', { 'https://h.example/v.mp4': { headers } });
  expect(answer).toMatchObject({ type: FailureType.ResultUnreachable, retryable: true });
});

test('the loopback provider of a test may link anywhere by http', async () => {
  const request = async () => ({ status: 200, headers: {}, body: Readable.from([VIDEO]) });
  const rules = { baseUrl: 'http://127.0.0.1:8080/api/v1', allow: [] };
  const answer = await openResult('http://127.0.0.1:9000/v.mp4', { from: 0, rules, request });
  expect(await bytesOf(answer)).toEqual(VIDEO);
});
