import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { type Stack, startStack } from '../support/stack.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Runs one of the container's programs in an environment of nothing but `env`. */
async function runProgram(name: string, env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [`docker/${name}`], { cwd: ROOT, env: { PATH: process.env['PATH'], ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, output };
}

describe('the health command of the container', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.close());

  test('succeeds while a worker of this host polls the queue', async () => {
    expect(await runProgram('worker-health.mjs', stack.env)).toEqual({ code: 0, output: '' });
  });

  test('fails when no worker polls, and says which queue it looked at', async () => {
    const { code, output } = await runProgram('worker-health.mjs', { ...stack.env, WAN_VIDEO_TASK_QUEUE: 'idle' });
    expect(code).toBe(1);
    expect(output).toMatch(/^No poller of .+ on idle-generate\.\n$/);
  });

  test('with WAN_VIDEO_METRICS succeeds when /readyz says so, and else passes on what it says', async () => {
    let status = 200;
    const server = createServer(({ url }, response) => response.writeHead(status).end(`${url} says ${status}\n`));
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const health = (address: string) => runProgram('worker-health.mjs', { ...stack.env, WAN_VIDEO_METRICS: address });
    expect(await health(`0.0.0.0:${port}`)).toEqual({ code: 0, output: '' });
    status = 503;
    expect(await health(`127.0.0.1:${port}`)).toEqual({ code: 1, output: 'Not ready: /readyz says 503\n' });
    server.close();
    server.closeAllConnections();
    const { code, output } = await health(`127.0.0.1:${port}`);
    expect([code, output]).toEqual([1, expect.stringMatching(/^Nothing answers at 127\.0\.0\.1:/)]);
  });
});

test.skipIf(s3ServerMissing() !== undefined)(
  'the bucket job creates the bucket once and is content when it is there',
  async () => {
    const server = await startS3Server();
    onTestFinished(() => server.close());
    const env = { ...server.env, ASSET_STORE: 's3://wan-video/some/prefix' };
    expect(await runProgram('create-bucket.mjs', env)).toEqual({ code: 0, output: 'Created the bucket wan-video.\n' });
    expect(await runProgram('create-bucket.mjs', env)).toEqual({ code: 0, output: 'The bucket wan-video is there.\n' });
    const s3 = new S3Client(server.client);
    expect((await s3.send(new HeadBucketCommand({ Bucket: 'wan-video' }))).$metadata.httpStatusCode).toBe(200);
    s3.destroy();
    const wrongKey = await runProgram('create-bucket.mjs', { ...env, AWS_SECRET_ACCESS_KEY: 'wrong' });
    expect(wrongKey.code).toBe(1);
  },
);
