import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { S3Store } from '../../src/storage/s3-store.js';

/** An S3 server that accepts one access key, and dates its answers by a clock of its own. */
async function startServer(acceptedKey: string) {
  const state = { acceptedKey, refused: 0, clockAheadMs: 0 };
  const server = createServer((request, response) => {
    const key = /Credential=([^/]+)\//.exec(request.headers.authorization ?? '')?.[1];
    response.setHeader('date', new Date(Date.now() + state.clockAheadMs).toUTCString());
    if (key === state.acceptedKey) return void response.end('{}');
    state.refused += 1;
    const code = request.method === 'HEAD' ? '' : '<Error><Code>InvalidAccessKeyId</Code></Error>';
    response.writeHead(403, { 'content-type': 'application/xml' }).end(code);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { state, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const profile = (key: string) => `[default]\naws_access_key_id = ${key}\naws_secret_access_key = secret\n`;

async function credentialsFile(key: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-aws-'));
  const file = join(folder, 'credentials');
  await writeFile(file, profile(key));
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', file);
  vi.stubEnv('AWS_CONFIG_FILE', join(folder, 'config'));
  vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined);
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });
  return file;
}

const openAt = (endpoint: string) => new S3Store({ bucket: 'b', client: { endpoint, region: 'us-east-1' } });

test('a rotated credentials file is used by the next call after a refusal, without a new process', async () => {
  const { state, endpoint } = await startServer('old');
  const file = await credentialsFile('old');
  const store = openAt(endpoint);
  await store.put('a.json', Buffer.from('{}'));
  state.acceptedKey = 'new';
  await expect(store.put('a.json', Buffer.from('{}'))).rejects.toMatchObject({
    type: 'ConfigurationInvalid',
    retryable: true,
    code: 'InvalidAccessKeyId',
  });
  await writeFile(file, profile('new'));
  await store.put('a.json', Buffer.from('{}'));
  expect(state.refused).toBe(1);
});

test('a rotated credentials file is used within a minute while the earlier key is still accepted', async () => {
  const { state, endpoint } = await startServer('old');
  const file = await credentialsFile('old');
  const store = openAt(endpoint);
  await store.put('a.json', Buffer.from('{}'));
  await writeFile(file, profile('new'));
  await store.put('a.json', Buffer.from('{}'));
  state.acceptedKey = 'new';
  const later = performance.now() + 60_000;
  vi.spyOn(performance, 'now').mockImplementation(() => later);
  onTestFinished(() => void vi.restoreAllMocks());
  await store.put('a.json', Buffer.from('{}'));
  expect(state.refused).toBe(0);
});

test('the SDK prints nothing about the environment', async () => {
  const { endpoint } = await startServer('old');
  await credentialsFile('old');
  vi.stubEnv('AWS_PROFILE', 'default');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'other');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'other');
  const printed = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  onTestFinished(() => void vi.restoreAllMocks());
  await openAt(endpoint).put('a.json', Buffer.from('{}'));
  expect(printed).not.toHaveBeenCalled();
});

test("the store's clock is known from its answers, and does not follow this machine's", async () => {
  const { state, endpoint } = await startServer('old');
  await credentialsFile('old');
  const store = openAt(endpoint);
  expect(store.now()).toBeUndefined();
  state.clockAheadMs = -10_800_000;
  for (let n = 0; n < 3; n += 1) await store.put('a.json', Buffer.from('{}'));
  expect(Math.abs((store.now() ?? 0) - (Date.now() - 10_800_000))).toBeLessThan(1_500);
  const wrong = Date.now() + 7_200_000;
  vi.spyOn(Date, 'now').mockImplementation(() => wrong);
  onTestFinished(() => void vi.restoreAllMocks());
  expect(Math.abs((store.now() ?? 0) - (wrong - 7_200_000 - 10_800_000))).toBeLessThan(1_500);
});
