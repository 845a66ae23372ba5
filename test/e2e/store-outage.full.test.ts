import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { command } from '../support/command.js';
import { type FaultyProxy, type ProxyFault, startFaultyProxy } from '../support/faulty-proxy.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { type Stack, startStack } from '../support/stack.js';
import { startWorkerCommand } from '../support/worker-command.js';

// Longer than the first step of a run once waited for its store.
const OUTAGE_MS = 100_000;

const missing = s3ServerMissing();
const before = { ...process.env };
let s3: S3Server;
let proxy: FaultyProxy;
let stack: Stack;
let fault: ProxyFault;
beforeAll(async () => {
  if (missing !== undefined) return;
  s3 = await startS3Server();
  proxy = await startFaultyProxy(s3.endpoint, () => fault);
  const at = { ...s3.env, AWS_ENDPOINT_URL_S3: proxy.endpoint };
  Object.assign(process.env, at);
  const env = { ...at, ASSET_STORE: `s3://${await s3.newBucket()}/store` };
  stack = await startStack({ settings: { speed: 20 }, worker: false, env });
});
afterAll(async () => {
  await stack?.close();
  await proxy?.close();
  await s3?.close();
  process.env = before;
});

test.skipIf(missing !== undefined)(
  'runs wait for a store that is away for longer than a step, and a batch is paused and resumed meanwhile',
  { timeout: 400_000 },
  async () => {
    const worker = startWorkerCommand(stack);
    await worker.ready;
    const run = (...args: string[]) => command(args, { env: stack.env, cwd: stack.outputDir });
    const line = { ...stack.request(`of a batch ${randomUUID()}`), duration: 15, item_id: 'one' };
    await writeFile(join(stack.outputDir, 'long.jsonl'), `${JSON.stringify(line)}\n`);
    expect(await run('batch', 'start', 'long.jsonl', '--id', 'long')).toMatchObject({ code: 0 });
    await expect.poll(() => stack.emulator.state().tasks.length, { timeout: 60_000 }).toBe(1);

    fault = 'reset';
    const awayMs = performance.now();
    const { id } = await stack.videos.start(stack.request(`meanwhile ${randomUUID()}`));
    for (const act of ['pause', 'resume']) expect(await run('batch', act, 'long')).toMatchObject({ code: 0 });
    await delay(OUTAGE_MS - (performance.now() - awayMs));
    expect((await stack.videos.describe(id)).status).toBe('running');
    expect(stack.emulator.state().tasks).toHaveLength(1); // nothing is bought without a ledger
    expect(worker.child.exitCode).toBeNull();

    fault = undefined;
    expect(await stack.videos.result(id)).toMatchObject({ source: 'generated' });
    expect(await run('batch', 'start', 'long.jsonl', '--id', 'long', '--wait')).toMatchObject({ code: 0 });
    expect(stack.emulator.state().tasks).toHaveLength(2);
  },
);
