import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../src/dev/temporal-server.js';
import { findPart, partIsMissing } from '../structure/parts.js';
import { queriesOf, readDashboard } from '../support/dashboard.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { ROOT } from '../support/root.js';
import { type Stack, startStack } from '../support/stack.js';

const PROMETHEUS = findPart('prometheus');
if (PROMETHEUS === undefined) partIsMissing('prometheus', "Debian's package prometheus has it");

let stack: Stack;
let worker: WorkerProcess;
let folder: string;
let stop: () => Promise<void> = async () => undefined;
let api: string;
beforeAll(async () => {
  if (PROMETHEUS === undefined) return;
  stack = await startStack({ settings: { speed: 60 }, worker: false });
  const metrics = `127.0.0.1:${await freePort()}`;
  const times = { ...QUICK_LEDGER, metricsEveryMs: 300 };
  worker = await startWorkerProcess(stack, times, { env: { WAN_VIDEO_METRICS: metrics } });
  folder = await mkdtemp(join(tmpdir(), 'wan-video-prometheus-'));
  await copyFile(join(ROOT, 'docs', 'alerts.yml'), join(folder, 'alerts.yml'));
  const config = [
    'global: { scrape_interval: 1s, evaluation_interval: 1s }',
    'rule_files: [alerts.yml]',
    `scrape_configs: [{ job_name: wan-video, static_configs: [{ targets: ['${metrics}'] }] }]`,
  ];
  await writeFile(join(folder, 'prometheus.yml'), config.join('\n'));
  const address = `127.0.0.1:${await freePort()}`;
  api = `http://${address}/api/v1`;
  const flags = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`];
  const child = spawn(PROMETHEUS, [...flags, `--web.listen-address=${address}`], { cwd: folder, stdio: 'ignore' });
  stop = async () => {
    child.kill('SIGTERM');
    await once(child, 'close');
  };
  while ((await ask('up')).length === 0) await new Promise((resolve) => setTimeout(resolve, 100));
  stack.emulator.queueFaults([
    { on: 'submit', fault: 'status', status: 400, code: 'DataInspectionFailed', match: 'refused' },
    { on: 'submit', fault: 'task-failed', code: 'InvalidParameter', match: 'fails late' },
  ]);
  const prompts = ['one', 'two', 'refused', 'fails late'];
  await Promise.all(prompts.map((prompt) => stack.videos.generate(stack.request(prompt)).catch(() => undefined)));
});
afterAll(async () => {
  await stop();
  if (worker?.process.exitCode === null) await worker.end('SIGKILL');
  await stack?.close();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

/** The series that a query has now. @throws with what Prometheus says against it. */
async function ask(expr: string): Promise<readonly { readonly value: readonly [number, string] }[]> {
  const answer = await fetch(`${api}/query?query=${encodeURIComponent(expr)}`).catch(() => undefined);
  if (answer === undefined) return [];
  const { status, error, data } = (await answer.json()) as {
    readonly status: string;
    readonly error?: string;
    readonly data: { readonly result: readonly { readonly value: readonly [number, string] }[] };
  };
  if (status !== 'success') throw new Error(`${expr}: ${error}`);
  return data.result;
}

/** Panels that are empty on a good day. */
const EMPTY = ['Odd answers', 'Billed seconds', 'Amount of the last 24 h'];

test.skipIf(PROMETHEUS === undefined)(
  'each query of the dashboard has a value in a Prometheus that scraped a worker, and every alert rule is loaded',
  async () => {
    for (const { title, expr } of queriesOf(readDashboard())) {
      if (EMPTY.includes(title)) await ask(expr);
      else
        await expect
          .poll(async () => (await ask(expr)).length, { message: `${title}: ${expr}`, timeout: 30_000 })
          .toBeGreaterThan(0);
    }
    const rules = (await (await fetch(`${api}/rules`)).json()) as {
      readonly data: { readonly groups: readonly { readonly rules: readonly { readonly health: string }[] }[] };
    };
    const healths = rules.data.groups.flatMap((group) => group.rules.map(({ health }) => health));
    expect(healths.length).toBeGreaterThan(10);
    expect(healths).not.toContain('err');
  },
);
