import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { type FaultyProxy, type ProxyFault, startFaultyProxy } from '../support/faulty-proxy.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { type Stack, startStack } from '../support/stack.js';

const missing = process.env['REQUIRE_PARTS'] === '1' ? undefined : s3ServerMissing();
if (missing !== undefined) {
  console.warn(`skipped: ${missing}`);
  test.skip(missing, () => undefined);
}

describe.skipIf(missing !== undefined)('with the ledger on a real S3 server', () => {
  let server: S3Server;
  let proxy: FaultyProxy;
  let stack: Stack;
  let fault: ((method: string, path: string) => ProxyFault) | undefined;
  beforeAll(async () => {
    server = await startS3Server();
    proxy = await startFaultyProxy(server.endpoint, ({ method, url }) => fault?.(method ?? '', url ?? ''));
    // The store reads the AWS SDK's own environment, as a deployed worker does.
    Object.assign(process.env, server.env, { AWS_ENDPOINT_URL_S3: proxy.endpoint });
    const env = { ASSET_STORE: `s3://${await server.newBucket()}/some/prefix` };
    stack = await startStack({ settings: { speed: 40 }, times: QUICK_LEDGER, env });
  }, COMPILE_TIMEOUT_MS); // with REQUIRE_PARTS=1 the server may have to be built first
  afterAll(async () => {
    await stack?.close();
    await proxy?.close();
    await server?.close();
  });
  const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);

  test('twenty runs with twenty ids and one request make one purchase and have twenty results', async () => {
    const prompt = `a boat ${randomUUID()}`;
    const ids = Array.from({ length: 20 }, () => `twenty/${randomUUID()}`);
    const results = await Promise.all(ids.map((id) => stack.videos.generate(stack.request(prompt), { id })));
    expect(tasksOf(prompt)).toHaveLength(1);
    expect(new Set(results.map(({ sha256 }) => sha256)).size).toBe(1);
    expect(results[0]?.video_url).toMatch(/^s3:\/\/.*\/some\/prefix\/videos\//);
    expect((await stack.videos.generate(stack.request(prompt))).source).toBe('cache');
  });

  test.each(['intent', 'claim', 'closed'])(
    'a lost reply to the put of %s.json neither buys again nor loses anything',
    async (record) => {
      const prompt = `a boat ${randomUUID()}`;
      let dropped = 0;
      fault = (method, path) => {
        if (method !== 'PUT' || !path.includes(`/${record}.json`) || dropped > 0) return undefined;
        dropped += 1;
        return 'drop-reply';
      };
      const result = await stack.videos.generate(stack.request(prompt));
      fault = undefined;
      expect(dropped).toBe(1);
      expect(tasksOf(prompt).map(({ task_id }) => task_id)).toEqual([result.task_id]);
    },
  );

  test('a lost reply to a submit is reconciled as on any store', async () => {
    const prompt = `a boat ${randomUUID()}`;
    stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });
    const result = await stack.videos.generate(stack.request(prompt));
    expect(tasksOf(prompt).map(({ task_id }) => task_id)).toEqual([result.task_id]);
  });
});
