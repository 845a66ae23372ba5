import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { type Stack, startStack } from '../support/stack.js';
import {
  startTemporalOnPostgres,
  type TemporalOnPostgres,
  temporalPostgresMissing,
} from '../support/temporal-postgres.js';

const missing = temporalPostgresMissing() ?? s3ServerMissing();
if (missing !== undefined) {
  if (process.env['REQUIRE_PARTS'] === '1') throw new Error(missing);
  console.warn(`skipped: ${missing}`);
  test.skip(missing, () => undefined);
}

describe.skipIf(missing !== undefined)(
  'Temporal on PostgreSQL, an S3 server and two workers as plain processes',
  () => {
    let s3: S3Server;
    let temporal: TemporalOnPostgres;
    let stack: Stack;
    let workers: WorkerProcess[] = [];
    beforeAll(async () => {
      // one after the other: everything that was started is ended, also when the next one fails
      s3 = await startS3Server();
      temporal = await startTemporalOnPostgres();
      Object.assign(process.env, s3.env); // the store reads the AWS SDK's own environment, as a deployed worker does
      const env = { ASSET_STORE: `s3://${await s3.newBucket()}/videos`, ...s3.env };
      stack = await startStack({ settings: { speed: 8 }, times: QUICK_LEDGER, env, worker: false, server: temporal });
      const times = { ...QUICK_LEDGER, heartbeatTimeoutMs: 3_000, heartbeatThrottleMs: 1_000 };
      workers = await Promise.all([startWorkerProcess(stack, times), startWorkerProcess(stack, times)]);
    }, 240_000);
    afterAll(async () => {
      await Promise.all(workers.map((worker) => worker.end('SIGKILL')));
      await stack?.close();
      await temporal?.stop();
      await s3?.close();
    });

    test('a generation and a batch complete with one purchase each although one of the workers is killed', async () => {
      const words = randomUUID();
      const batches = new WanBatchClient({
        client: stack.client,
        store: stack.store,
        taskQueue: stack.config.taskQueues.generate,
      });
      const single = await stack.videos.start(stack.request(`alone ${words}`));
      const lines = [1, 2, 3].map((line) => ({ item_id: `line-${line}`, ...stack.request(`line ${line} ${words}`) }));
      const batch = await batches.start({ lines }, { id: `topology-${words}` });
      await expect
        .poll(() => stack.emulator.state().tasks.filter(({ status }) => status === 'RUNNING').length, {
          timeout: 60_000,
        })
        .toBeGreaterThan(1);
      await workers[0]?.end('SIGKILL');

      const result = await stack.videos.result(single.id);
      expect(result.video_url).toMatch(/^s3:\/\//);
      expect(await batches.result(batch.batch_id)).toMatchObject({ outcome: 'completed', counts: { generated: 3 } });
      const prompts = stack.emulator.state().tasks.map(({ prompt }) => prompt);
      expect(prompts.sort()).toEqual([`alone ${words}`, ...lines.map(({ prompt }) => prompt)].sort());
    }, 180_000);
  },
);
