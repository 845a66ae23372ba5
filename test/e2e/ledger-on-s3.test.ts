import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WanVideoClient } from '../../src/client/video-client.js';
import { command } from '../support/command.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { type FaultyProxy, type ProxyFault, startFaultyProxy } from '../support/faulty-proxy.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { type Stack, startStack } from '../support/stack.js';
import { startWorkerCommand } from '../support/worker-command.js';

const missing = process.env['REQUIRE_PARTS'] === '1' ? undefined : s3ServerMissing();
if (missing !== undefined) {
  console.warn(`skipped: ${missing}`);
  test.skip(missing, () => undefined);
}

describe.skipIf(missing !== undefined)('with the ledger on a real S3 server', () => {
  let server: S3Server;
  let proxy: FaultyProxy;
  let stack: Stack;
  let fault: ((method: string, path: string, headers: IncomingHttpHeaders) => ProxyFault) | undefined;
  beforeAll(async () => {
    server = await startS3Server();
    proxy = await startFaultyProxy(server.endpoint, ({ method, url, headers }) =>
      fault?.(method ?? '', url ?? '', headers),
    );
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

  test('a store that refuses the checksums of the SDK is reported with the setting that leaves them out, which works', async () => {
    fault = (_method, _path, headers) =>
      Object.keys(headers).some((name) => /checksum|trailer/.test(name)) ? 'not-implemented' : undefined;
    onTestFinished(() => {
      fault = undefined;
    });
    const setting = 'AWS_REQUEST_CHECKSUM_CALCULATION=WHEN_REQUIRED';
    const env = { ...server.env, AWS_ENDPOINT_URL_S3: proxy.endpoint, WAN_VIDEO_TASK_QUEUE: 'older-store' };
    const refused = startWorkerCommand(stack, { env });
    expect(await refused.ended).toEqual({ code: 3, signal: null });
    expect(refused.lastWords()).toContain('it does not implement a header of the request');
    expect(refused.lastWords()).toContain(setting);
    expect(refused.out.stdout).toBe('');
    const doctor = await command(['doctor'], { env: { ...stack.env, DASHSCOPE_API_KEY: 'sk-any' } });
    expect(doctor.code).toBe(3);
    expect(doctor.stdout).toContain(setting);

    const settings = Object.fromEntries(
      ['AWS_REQUEST_CHECKSUM_CALCULATION', 'AWS_RESPONSE_CHECKSUM_VALIDATION'].map((name) => [name, 'WHEN_REQUIRED']),
    );
    await startWorkerCommand(stack, { env: { ...env, ...settings } }).ready;
    const videos = new WanVideoClient({ client: stack.client, taskQueue: 'older-store-generate' });
    const prompt = `a boat ${randomUUID()}`;
    expect(await videos.generate(stack.request(prompt))).toMatchObject({ source: 'generated' });
    expect(tasksOf(prompt)).toHaveLength(1);
  });
});
