import { randomBytes, randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { ListMultipartUploadsCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { readRecord, writeRecord } from '../../src/storage/json-record.js';
import { S3Store } from '../../src/storage/s3-store.js';
import { storeId } from '../../src/storage/store-id.js';
import { verifyConditionalPut } from '../../src/storage/verify-conditional-put.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { type FaultyProxy, type ProxyFault, startFaultyProxy } from '../support/faulty-proxy.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';

const missing = process.env['REQUIRE_PARTS'] === '1' ? undefined : s3ServerMissing();
if (missing !== undefined) {
  console.warn(`skipped: ${missing}`);
  test.skip(missing, () => undefined);
}

const MIB = 1024 * 1024;

async function* stream(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 64 * 1024) yield bytes.subarray(at, at + 64 * 1024);
}

describe.skipIf(missing !== undefined)('S3Store with a real S3 server', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startS3Server();
  }, COMPILE_TIMEOUT_MS); // with REQUIRE_PARTS=1 it may have to be built first
  afterAll(() => server?.close());

  /** A store whose connection fails as `faultOf` says, and a second one that never does. */
  async function openBehindFaults(faultOf: (request: IncomingMessage) => ProxyFault) {
    const bucket = await server.newBucket();
    const proxy: FaultyProxy = await startFaultyProxy(server.endpoint, faultOf);
    onTestFinished(() => proxy.close());
    const store = new S3Store({ bucket, prefix: 'p', client: { ...server.client, endpoint: proxy.endpoint } });
    return { bucket, proxy, store, direct: new S3Store({ bucket, prefix: 'p', client: server.client }) };
  }

  /** The first request that matches has the fault, the others none. */
  function once(fault: ProxyFault, matches: (request: IncomingMessage) => boolean) {
    let left = 1;
    return (request: IncomingMessage) => (matches(request) && left-- > 0 ? fault : undefined);
  }

  async function openUploads(bucket: string): Promise<number> {
    const client = new S3Client({ ...server.client, forcePathStyle: true });
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    client.destroy();
    return Uploads?.length ?? 0;
  }

  const isPut = ({ method }: IncomingMessage) => method === 'PUT';
  const isCompletion = ({ method, url }: IncomingMessage) => method === 'POST' && /uploadId=/.test(url ?? '');
  const isPart = ({ method, url }: IncomingMessage) => method === 'PUT' && /partNumber=/.test(url ?? '');

  test.each<{ fault: ProxyFault }>([{ fault: 'drop-reply' }, { fault: 'reset' }, { fault: 'slow-down' }])(
    'a put if absent that meets $fault is sent again and knows that it won',
    async ({ fault }) => {
      const { store, direct, proxy } = await openBehindFaults(once(fault, isPut));
      expect(await writeRecord(store, 'a/one.json', { writer: 1 }, { ifAbsent: true })).toEqual({ stored: true });
      expect(await writeRecord(store, 'a/one.json', { writer: 2 }, { ifAbsent: true })).toEqual({ stored: false });
      expect(await readRecord(direct, 'a/one.json')).toEqual({ writer: 1 });
      expect(proxy.requests.filter((line) => line.startsWith('PUT'))).toHaveLength(3);
    },
  );

  test('a put if absent whose reply is lost knows that another had won before', async () => {
    const { store, direct } = await openBehindFaults(once('drop-reply', isPut));
    await writeRecord(direct, 'a/one.json', { writer: 1 });
    expect(await writeRecord(store, 'a/one.json', { writer: 2 }, { ifAbsent: true })).toEqual({ stored: false });
    expect(await readRecord(direct, 'a/one.json')).toEqual({ writer: 1 });
  });

  test.each<{ what: string; fault: ProxyFault; matches: (request: IncomingMessage) => boolean }>([
    { what: 'the reply to a part is lost', fault: 'drop-reply', matches: isPart },
    { what: 'a part is refused by 503', fault: 'slow-down', matches: isPart },
    { what: 'a part is cut off', fault: 'reset', matches: isPart },
    { what: 'the reply to the completion is lost', fault: 'drop-reply', matches: isCompletion },
    { what: 'the completion is cut off', fault: 'reset', matches: isCompletion },
  ])('a large put if absent is stored whole when $what', async ({ fault, matches }) => {
    const { bucket, store, direct } = await openBehindFaults(once(fault, matches));
    const body = randomBytes(11 * MIB);
    expect(await store.put('videos/one.mp4', stream(body), { ifAbsent: true })).toEqual({ stored: true });
    expect(Buffer.concat(await (await direct.get('videos/one.mp4')).toArray()).equals(body)).toBe(true);
    expect(await openUploads(bucket)).toBe(0);
  });

  test('when the server refuses for good, a put ends as an outage and removes its parts', async () => {
    const { bucket, store, direct } = await openBehindFaults((request) =>
      isCompletion(request) ? 'slow-down' : undefined,
    );
    const put = store.put('videos/one.mp4', stream(randomBytes(11 * MIB)), { ifAbsent: true });
    await expect(put).rejects.toMatchObject({ type: FailureType.StoreUnavailable, retryable: true, code: 'SlowDown' });
    expect(await direct.head('videos/one.mp4')).toBeUndefined();
    expect(await openUploads(bucket)).toBe(0);
  });

  test('a large put that is aborted has removed its parts when it rejects', async () => {
    const { bucket, store } = await openBehindFaults(() => undefined);
    const controller = new AbortController();
    const reason = new Error('the worker shuts down');
    const body = async function* () {
      yield* stream(randomBytes(16 * MIB));
      controller.abort(reason);
      await new Promise(() => undefined);
    };
    await expect(store.put('videos/one.mp4', body(), { signal: controller.signal })).rejects.toBe(reason);
    expect(await openUploads(bucket)).toBe(0);
  });

  test('of many large puts at once only four are under way at a time, and all arrive', async () => {
    let [underWay, most] = [0, 0];
    const { store, direct } = await openBehindFaults((request) => {
      if (request.method === 'POST') underWay += isCompletion(request) ? -1 : 1;
      most = Math.max(most, underWay);
      return undefined;
    });
    const bodies = Array.from({ length: 8 }, (_, i) => Buffer.alloc(5.5 * MIB, i));
    await Promise.all(bodies.map((body, i) => store.put(`videos/${i}.mp4`, stream(body))));
    for (const [i, body] of bodies.entries()) {
      expect(await direct.head(`videos/${i}.mp4`)).toMatchObject({ bytes: body.length });
    }
    expect(most).toBe(4);
  });

  test('a read that is cut in the middle ends with an error, and the next one is whole', async () => {
    const { store } = await openBehindFaults(once('cut-body', ({ method }) => method === 'GET'));
    const body = randomBytes(MIB);
    await store.put('videos/one.mp4', body);
    const reading = store.get('videos/one.mp4').then((source) => source.toArray());
    await expect(reading).rejects.toMatchObject({ type: FailureType.StoreUnavailable, retryable: true });
    expect(Buffer.concat(await (await store.get('videos/one.mp4')).toArray()).equals(body)).toBe(true);
  });

  test('the proof accepts the server and leaves nothing, and the store has one id for everybody', async () => {
    const { store, direct } = await openBehindFaults(() => undefined);
    await verifyConditionalPut(store, { newId: randomUUID });
    for await (const { key } of direct.list('')) expect.fail(`left ${key}`);
    const ids = await Promise.all([store, direct, store, direct].map((one) => storeId(one, { newId: randomUUID })));
    expect(new Set(ids).size).toBe(1);
  });

  test.each<{ what: string; client: S3ClientConfig; bucket?: string; says: string }>([
    { what: 'bucket', client: {}, bucket: 'no-such-bucket', says: 'bucket does not exist' },
    {
      what: 'key',
      client: { credentials: { accessKeyId: 'no', secretAccessKey: 'no' } },
      says: 'access key is unknown',
    },
    { what: 'clock', client: { systemClockOffset: 3_600_000 }, says: 'clocks differ' },
    { what: 'region', client: { region: 'eu-north-1' }, says: 'region is another one' },
  ])('a wrong $what is named at start, with what to correct', async ({ client, bucket, says }) => {
    const config = { ...server.client, ...client };
    const store = new S3Store({ bucket: bucket ?? (await server.newBucket()), client: config });
    await expect(verifyConditionalPut(store, { newId: randomUUID })).rejects.toMatchObject({
      type: FailureType.ConfigurationInvalid,
      message: expect.stringContaining(says),
    });
  });

  test('a wrong secret is named at start, and does not show', async () => {
    const credentials = { ...server.credentials, secretAccessKey: 'a-wrong-secret' };
    const store = new S3Store({ bucket: await server.newBucket(), client: { ...server.client, credentials } });
    const error = (await verifyConditionalPut(store, { newId: randomUUID }).catch((e: unknown) => e)) as Error;
    expect(error).toMatchObject({ type: FailureType.ConfigurationInvalid, code: 'SignatureDoesNotMatch' });
    expect(String(error) + String(error.cause)).not.toContain('a-wrong-secret');
  });
});
