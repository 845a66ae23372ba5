import { randomBytes, randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { S3Store } from '../../src/storage/s3-store.js';
import { verifyConditionalPut } from '../../src/storage/verify-conditional-put.js';
import { type ConditionalWrites, type FakeS3, startFakeS3 } from '../support/s3-fake.js';

const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'a-secret-that-must-not-show' };

async function openFake(conditional: ConditionalWrites): Promise<{ fake: FakeS3; store: S3Store }> {
  const fake = await startFakeS3(conditional);
  onTestFinished(() => fake.close());
  const client = { endpoint: fake.endpoint, region: 'us-east-1', credentials: CREDENTIALS, maxAttempts: 1 };
  return { fake, store: new S3Store({ bucket: 'bucket', prefix: 'p', client }) };
}

test('a store that answers If-None-Match with 501 is asked with x-oss-forbid-overwrite from then on', async () => {
  const { fake, store } = await openFake('oss');
  expect(await store.put('a/one.json', Buffer.from('1'), { ifAbsent: true })).toEqual({ stored: true });
  expect(await store.put('a/one.json', Buffer.from('2'), { ifAbsent: true })).toEqual({ stored: false });
  expect(await store.put('a/two.json', Buffer.from('3'), { ifAbsent: true })).toEqual({ stored: true });
  expect(fake.writes).toEqual(['PUT *', 'PUT true', 'PUT true', 'PUT true']);
  expect(Buffer.from(fake.objects.get('p/a/one.json')!).toString()).toBe('1');
});

test('a plain put carries no condition, also to a store that is asked in its own way', async () => {
  const { fake, store } = await openFake('oss');
  await store.put('a/one.json', Buffer.from('1'), { ifAbsent: true });
  await store.put('a/one.json', Buffer.from('2'));
  expect(fake.writes.at(-1)).toBe('PUT');
  expect(Buffer.from(fake.objects.get('p/a/one.json')!).toString()).toBe('2');
});

test('a body that can be sent only once finds out first how the store creates, and leaves no probe', async () => {
  const { fake, store } = await openFake('oss');
  const [first, second] = [randomBytes(11_000_000), randomBytes(11_000_000)];
  const stream = async function* (bytes: Uint8Array) {
    yield bytes;
  };
  expect(await store.put('videos/one.mp4', stream(first), { ifAbsent: true })).toEqual({ stored: true });
  expect(await store.put('videos/one.mp4', stream(second), { ifAbsent: true })).toEqual({ stored: false });
  expect(fake.writes).toEqual(['PUT *', 'PUT true', 'POST true', 'POST true']);
  expect([...fake.objects.keys()]).toEqual(['p/videos/one.mp4']);
  expect(Buffer.from(fake.objects.get('p/videos/one.mp4')!).equals(first)).toBe(true);
});

test('20 first writers to such a store find its way together, and one wins', async () => {
  const { fake, store } = await openFake('oss');
  const put = (_: unknown, i: number) => store.put('a/one.json', Buffer.from(`${i}`), { ifAbsent: true });
  const outcomes = await Promise.all(Array.from({ length: 20 }, put));
  expect(outcomes.filter(({ stored }) => stored)).toHaveLength(1);
  expect(fake.objects.size).toBe(1);
});

test('a conflict with another conditional write is tried again until the store has decided', async () => {
  const { fake, store } = await openFake('conflicts');
  expect(await store.put('a/one.json', Buffer.from('1'), { ifAbsent: true })).toEqual({ stored: true });
  expect(await store.put('a/one.json', Buffer.from('2'), { ifAbsent: true })).toEqual({ stored: false });
  expect(fake.writes).toEqual(['PUT *', 'PUT *', 'PUT *', 'PUT *']);
});

test('the proof accepts a store that creates in its own way', async () => {
  const { fake, store } = await openFake('oss');
  await verifyConditionalPut(store, { newId: randomUUID });
  expect(fake.objects.size).toBe(0);
});

test('the proof refuses a store that ignores If-None-Match, names it, and leaves nothing', async () => {
  const { fake, store } = await openFake('ignored');
  await expect(verifyConditionalPut(store, { newId: randomUUID })).rejects.toMatchObject({
    type: FailureType.ConfigurationInvalid,
    retryable: false,
    message: expect.stringContaining('s3://bucket/p'),
    nextStep: expect.stringContaining('ASSET_STORE'),
  });
  expect(fake.objects.size).toBe(0);
});

test.each([
  { status: 404, code: 'NoSuchBucket', says: 'bucket does not exist' },
  { status: 403, code: 'InvalidAccessKeyId', says: 'access key is unknown' },
  { status: 404, code: 'XAdminUserNotFound', says: 'access key is unknown' },
  { status: 403, code: 'SignatureDoesNotMatch', says: 'secret key does not match' },
  { status: 400, code: 'ExpiredToken', says: 'token has expired' },
  { status: 403, code: 'RequestTimeTooSkewed', says: 'clocks differ' },
  { status: 400, code: 'AuthorizationHeaderMalformed', says: 'region is another one' },
  { status: 301, code: 'PermanentRedirect', says: 'bucket is in another region' },
  { status: 403, code: 'AccessDenied', says: 'access is denied' },
  { status: 501, code: 'NotImplemented', says: 'does not implement a header' },
  { status: 400, code: 'XAmzContentChecksumMismatch', says: 'does not implement a header' },
])('$status $code says that the $says, for any request', async ({ status, code, says }) => {
  const { fake, store } = await openFake('ignored');
  fake.refuseWith(status, code);
  const calls = [
    () => store.get('a/one.json'),
    () => store.put('a/one.json', Buffer.from('1'), { ifAbsent: true }),
    () => store.delete('a/one.json'),
    () => store.list('a/')[Symbol.asyncIterator]().next(),
    () => verifyConditionalPut(store, { newId: randomUUID }),
  ];
  for (const call of calls) {
    const error = (await call().catch((e: unknown) => e)) as Error;
    expect(error).toMatchObject({
      type: FailureType.ConfigurationInvalid,
      code,
      message: expect.stringContaining(says),
      nextStep: expect.stringMatching(/\.$/),
    });
    expect(error.message).toContain('s3://bucket/p');
    // The SDK's errors carry the exchange itself; nothing of it may reach a log.
    expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(
      /Signature=|Credential=|a-secret|authorization:/i,
    );
  }
});

test('a store that refuses the checksums of the SDK is reported with the setting that leaves them out', async () => {
  const { fake, store } = await openFake('ignored');
  fake.refuseWith(501, 'NotImplemented');
  await expect(store.put('a/one.json', Buffer.from('1'))).rejects.toMatchObject({
    nextStep: expect.stringContaining('AWS_REQUEST_CHECKSUM_CALCULATION=WHEN_REQUIRED'),
  });
});

test.each([
  { status: 503, code: 'SlowDown' },
  { status: 500, code: 'InternalError' },
  { status: 418, code: 'SomethingNew' },
])('$status $code is an outage that may be tried again', async ({ status, code }) => {
  const { fake, store } = await openFake('ignored');
  fake.refuseWith(status, code);
  const outage = { type: FailureType.StoreUnavailable, retryable: true, code };
  await expect(store.get('a/one.json')).rejects.toMatchObject(outage);
  await expect(store.put('a/one.json', Buffer.from('1'))).rejects.toMatchObject(outage);
  await expect(store.head('a/one.json')).rejects.toMatchObject({ ...outage, code: expect.any(String) });
});

test('a server that is down is an outage that may be tried again', async () => {
  const { fake, store } = await openFake('ignored');
  await fake.close();
  await expect(store.get('a/one.json')).rejects.toMatchObject({
    type: FailureType.StoreUnavailable,
    retryable: true,
    message: expect.stringContaining('ECONNREFUSED'),
  });
});

describe('the address of an object', () => {
  /** Host and path of the request that a head would send. */
  async function addressed(client: S3ClientConfig): Promise<string> {
    let seen = '';
    const handle = async ({ hostname, path }: { hostname: string; path: string }) => {
      seen = hostname + path;
      throw new Error('only looked at');
    };
    const requestHandler = { handle } as unknown as NonNullable<S3ClientConfig['requestHandler']>;
    const config = { region: 'eu-west-1', credentials: CREDENTIALS, maxAttempts: 1, ...client, requestHandler };
    await new S3Store({ bucket: 'bucket', prefix: 'p', client: config }).head('a/one.json').catch(() => undefined);
    return seen;
  }

  test.each([
    {
      endpoint: undefined,
      address: 'bucket.s3.eu-west-1.amazonaws.com/p/a/one.json',
      why: 'Amazon S3 has a host per bucket',
    },
    {
      endpoint: 'https://minio.example.com',
      address: 'minio.example.com/bucket/p/a/one.json',
      why: 'others seldom have',
    },
    {
      endpoint: 'https://oss-cn-beijing.aliyuncs.com',
      address: 'bucket.oss-cn-beijing.aliyuncs.com/p/a/one.json',
      why: 'Alibaba OSS refuses the bucket in the path',
    },
  ])('with the endpoint $endpoint is $address, because $why', async ({ endpoint, address }) => {
    expect(await addressed({ ...(endpoint !== undefined && { endpoint }) })).toBe(address);
    vi.stubEnv('AWS_ENDPOINT_URL_S3', endpoint);
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await addressed({})).toBe(address);
  });
});

test('keys are addressed as s3:// below the prefix, without any connection', () => {
  const at = (bucket: string, prefix?: string) => new S3Store({ bucket, prefix });
  expect(at('bucket', 'a/b').url('videos/one.mp4')).toBe('s3://bucket/a/b/videos/one.mp4');
  expect(at('bucket').url('videos/one.mp4')).toBe('s3://bucket/videos/one.mp4');
  expect(at('bucket', 'a/b').name).toBe('s3://bucket/a/b');
  expect(at('bucket', '').name).toBe('s3://bucket');
});
