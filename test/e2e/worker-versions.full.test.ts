import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { slotsWorkflowId } from '../../src/contract/names.js';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';

let stack: Stack;
let cli: string;
const workers: WorkerProcess[] = [];
beforeAll(async () => {
  stack = await startStack({
    worker: false,
    settings: { speed: 1, slots: 2 },
    env: { WAN_VIDEO_MAX_RUNNING: '2' },
    // Instead of the three minutes that the server leaves between two looks at a version that drains.
    dynamicConfig: {
      'matching.wv.VersionDrainageStatusVisibilityGracePeriod': '"3s"',
      'matching.wv.VersionDrainageStatusRefreshInterval': '"2s"',
    },
  });
  cli = await findTemporalCli(process.env);
});
afterAll(async () => {
  for (const worker of workers) if (worker.process.exitCode === null) await worker.end('SIGKILL');
  await stack?.close();
});

const startVersion = async (buildId: string): Promise<WorkerProcess> => {
  const version = { TEMPORAL_DEPLOYMENT_NAME: 'wan-video', TEMPORAL_WORKER_BUILD_ID: buildId };
  const worker = await startWorkerProcess(stack, {}, { env: version });
  workers.push(worker);
  return worker;
};
/** Runs one command line as a person would type it. */
const type = async (line: string): Promise<string> => {
  const env = { PATH: process.env['PATH'], HOME: stack.outputDir, TEMPORAL_ADDRESS: stack.env['TEMPORAL_ADDRESS'] };
  const command = line.replace(/^(until )?temporal /, `$1"${cli}" `).replace('sleep 15', 'sleep 1');
  return (await promisify(execFile)('sh', ['-c', command], { env })).stdout;
};
/** The version that a run is on, or ended on. */
const versionOf = async (workflowId: string, runId?: string): Promise<string | undefined> => {
  const { raw } = await stack.client.workflow.getHandle(workflowId, runId).describe();
  return raw.workflowExecutionInfo?.versioningInfo?.deploymentVersion?.buildId ?? undefined;
};

test('a new version takes over in the middle of a batch: runs end where they began, nothing is bought twice', async () => {
  const text = await readFile(join(ROOT, 'docs', 'versioning.md'), 'utf8');
  const lines = text.split('\n').filter((line) => /^(until )?temporal /.test(line));
  const makeCurrent = lines.find((line) => line.includes('set-current-version'))!;
  const drainOf = lines.find((line) => line.startsWith('temporal worker deployment describe-version'))!;
  const untilDrained = lines.find((line) => line.startsWith('until '))!;
  const openOn = lines.find((line) => line.includes('workflow list'))!;

  const v1 = await startVersion('v1');
  await expect.poll(() => type(makeCurrent.replace('v2', 'v1')).catch(() => ''), { timeout: 20_000 }).not.toBe('');
  const batches = new WanBatchClient({ client: stack.client, store: stack.store });
  const manifest = [1, 2, 3, 4, 5, 6].map((n) => ({ ...stack.request(`versions ${n}`), item_id: `i${n}` }));
  const jsonl = manifest.map((line) => `${JSON.stringify(line)}\n`).join('');
  await stack.store.put('manifests/versions.jsonl', Buffer.from(jsonl));
  const handle = await stack.client.workflow.start('videoBatch', {
    workflowId: 'batch/versions',
    taskQueue: stack.config.taskQueues.generate,
    args: [{ manifest_key: 'manifests/versions.jsonl', window: 2 }],
  });
  for (const item of ['i1', 'i2']) {
    await expect
      .poll(
        () =>
          stack.videos.progress(`batch/versions/${item}`).then(
            ({ stage }) => stage,
            () => '',
          ),
        { timeout: 30_000 },
      )
      .toBe('rendering');
  }

  await startVersion('v2');
  await expect.poll(() => type(makeCurrent).catch(() => ''), { timeout: 20_000 }).not.toBe('');
  // It is not drained while it has runs, also when the server has looked at it again.
  const lookedAgain = async () => {
    const { drainageInfo } = JSON.parse(await type(`${drainOf} --output json`)) as {
      drainageInfo: { lastChangedTime: string; lastCheckedTime: string };
    };
    return drainageInfo.lastCheckedTime > drainageInfo.lastChangedTime;
  };
  await expect.poll(lookedAgain, { timeout: 20_000, interval: 500 }).toBe(true);
  expect(await type(drainOf)).toMatch(/DrainageStatus +draining/);
  expect(await type(openOn)).toContain('batch/versions/i1');

  stack.emulator.changeSettings({ speed: 100 }); // until now nothing could end
  const summary = (await stack.client.workflow.getHandle('batch/versions').result()) as { counts: object };
  expect(summary.counts).toMatchObject({ generated: 6 });
  expect(stack.emulator.state().submits).toBe(6);
  expect(await Promise.all(manifest.map(({ item_id }) => versionOf(`batch/versions/${item_id}`)))).toEqual([
    ...['v1', 'v1'],
    ...['v2', 'v2', 'v2', 'v2'],
  ]);
  expect(await versionOf('batch/versions', handle.firstExecutionRunId)).toBe('v1');
  expect(await versionOf('batch/versions')).toBe('v2');
  expect(await versionOf(slotsWorkflowId('emulator', 'default'))).toBe('v2');
  expect((await batches.status('versions')).summary).toMatchObject({ counts: { generated: 6 } });

  // Nothing is open on the old version any more; its worker can go, and the new one is alone.
  await type(untilDrained);
  expect(await type(drainOf)).toMatch(/DrainageStatus +drained/);
  expect(await type(openOn)).not.toContain('Running');
  expect(await v1.end('SIGTERM')).toBe(0);
  expect((await stack.videos.generate(stack.request('after the change'))).source).toBe('generated');
  for (const line of lines) await type(line);
});

test('a batch that is held on its version by hand stays there, without continuing as new for ever', async () => {
  const current = (build: string) =>
    type(`temporal worker deployment set-current-version --deployment-name wan-video --build-id ${build} --yes`);
  stack.emulator.changeSettings({ speed: 1 });
  await startVersion('v3');
  await expect.poll(() => current('v3').catch(() => ''), { timeout: 20_000 }).not.toBe('');
  const lines = [1, 2, 3, 4, 5].map((n) => `${JSON.stringify({ ...stack.request(`held ${n}`), item_id: `h${n}` })}\n`);
  await stack.store.put('manifests/held.jsonl', Buffer.from(lines.join('')));
  await stack.client.workflow.start('videoBatch', {
    workflowId: 'batch/held',
    taskQueue: stack.config.taskQueues.generate,
    args: [{ manifest_key: 'manifests/held.jsonl', window: 1 }],
  });
  await expect
    .poll(
      () =>
        stack.videos.progress('batch/held/h1').then(
          ({ stage }) => stage,
          () => '',
        ),
      { timeout: 30_000 },
    )
    .toBe('rendering');
  const options = 'temporal workflow update-options --workflow-id batch/held --versioning-override-behavior';
  await type(`${options} pinned --versioning-override-deployment-name wan-video --versioning-override-build-id v3`);
  await startVersion('v4');
  await expect.poll(() => current('v4').catch(() => ''), { timeout: 20_000 }).not.toBe('');
  stack.emulator.changeSettings({ speed: 100 });
  await stack.client.workflow.getHandle('batch/held').result();
  const runs: string[] = [];
  for await (const { runId } of stack.client.workflow.list({ query: "WorkflowId = 'batch/held'" })) runs.push(runId);
  expect(runs.length).toBeLessThanOrEqual(2); // one try to leave
  expect(await versionOf('batch/held/h5')).toBe('v3');
});
