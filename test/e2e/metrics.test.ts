import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parser } from '@prometheus-io/lezer-promql';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freePort } from '../../src/dev/temporal-server.js';
import { metricsTable, type Scrape, scrape } from '../support/metrics.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { ROOT } from '../support/root.js';
import { type Stack, startStack, TEST_KEY } from '../support/stack.js';

let stack: Stack;
let worker: WorkerProcess;
let address: string;
let log = '';
let seen: Scrape;
/**
 * What a careless provider says of a request: without it no secret comes near the log, and redacting nothing would
 * pass.
 */
const LEAKY =
  'refused: https://a.example/i.png?Signature=leaked with Bearer sk-leaked-0123456789 and data:image/png;base64,bGVha2Vk';
/** What Prometheus itself says of each scrape, by the name that the configuration gives to the job. */
const OF_PROMETHEUS = 'up';
/** Runs by what becomes of them. */
const ids: Record<string, string> = {};
/** The sources that callers got of their videos. */
const sources: string[] = [];

beforeAll(async () => {
  stack = await startStack({ settings: { speed: 60 }, worker: false });
  address = `127.0.0.1:${await freePort()}`;
  worker = await startWorkerProcess(
    stack,
    { ...QUICK_LEDGER, metricsEveryMs: 300 },
    {
      env: { WAN_VIDEO_METRICS: address, LOG_LEVEL: 'trace', LOG_FORMAT: 'json' },
      onLog: (text) => {
        log += text;
      },
    },
  );
  stack.emulator.queueFaults([
    { on: 'submit', fault: 'drop-reply', match: 'lost' },
    { on: 'submit', fault: 'status', status: 400, code: 'DataInspectionFailed', message: LEAKY, match: 'refused' },
    { on: 'submit', fault: 'task-failed', code: 'InvalidParameter', match: 'fails late' },
  ]);
  const run = async (what: string, prompt = what, id = `metrics/${what}`) => {
    ids[what] = (await stack.videos.start(stack.request(prompt), { id })).id;
    const result = await stack.videos.result(id).catch(() => undefined);
    if (result !== undefined) sources.push(result.source);
  };
  const cancelled = async () => {
    ids['cancelled'] = (await stack.videos.start(stack.request('cancelled'), { id: 'metrics/cancelled' })).id;
    await until(() => stack.emulator.state().tasks.some(({ prompt }) => prompt === 'cancelled'));
    await stack.videos.cancel('metrics/cancelled');
    await stack.videos.result('metrics/cancelled').catch(() => undefined);
  };
  await Promise.all([
    run('completed').then(() => run('again', 'completed')),
    ...[
      run('lost'),
      run('refused'),
      run('fails late'),
      run('twin', 'shared'),
      run('other twin', 'shared'),
      cancelled(),
    ],
  ]);
  // The salvage of the cancelled one ends later, and the look at the ledger comes by itself.
  await until(async () => {
    seen = await scrape(address);
    const closed = seen.value('wan_video_purchases_closed_total');
    return closed === 5 && seen.value('wan_video_oldest_open_purchase_age_seconds') === 0;
  });
});
afterAll(async () => {
  if (worker?.process.exitCode === null) await worker.end('SIGKILL');
  await stack?.close();
});

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const lateMs = Date.now() + 60_000; !(await isSo()); await delay(100)) {
    if (Date.now() > lateMs) throw new Error('it did not become so within a minute');
  }
}

test('billed seconds, purchases and ends are what the provider has counted, through a lost reply, a failure, a twin and a cache hit', () => {
  const tasks = stack.emulator.state().tasks;
  const billed = tasks.reduce((sum, task) => sum + task.billed_seconds, 0);
  expect(billed).toBe(16); // completed, lost, shared, and the cancelled one's salvage
  expect(seen.value('wan_video_billed_seconds_total')).toBe(billed);
  expect(seen.value('wan_video_purchases_total')).toBe(tasks.length);
  expect(seen.value('wan_video_purchases_total', { found_by: 'reconcile' })).toBe(1);
  expect(seen.value('wan_video_second_purchases_total') ?? 0).toBe(0);
  expect(seen.value('wan_video_purchases_closed_total', { how: 'archived' })).toBe(4);
  expect(seen.value('wan_video_purchases_closed_total', { how: 'failed' })).toBe(1);
  expect(seen.value('wan_video_submits_total', { outcome: 'unknown' })).toBe(1);
  expect(seen.value('wan_video_submit_refusals_total', { code: 'DataInspectionFailed' })).toBe(1);
  // A twin that comes while the video is bought adopts it, and one that comes later finds it in the cache: the callers
  // know.
  const count = (source: string) => sources.filter((one) => one === source).length;
  expect(count('cache') + count('adopted')).toBe(2); // the repeated one, and one of the twins
  for (const outcome of ['generated', 'cache', 'adopted']) {
    const runs = seen.value('wan_video_runs_ended_total', { workflow: 'videoGenerate', outcome }) ?? 0;
    expect([outcome, runs]).toEqual([outcome, count(outcome)]);
  }
  expect(seen.value('wan_video_runs_ended_total', { outcome: 'cancelled' })).toBe(1);
  expect(seen.value('wan_video_detection_delay_seconds_count')).toBe(4);
  expect(seen.value('wan_video_archived_bytes_total')).toBeGreaterThan(1000);
  expect(seen.value('wan_video_slots_limit')).toBe(5);
});

test('a worker exposes what docs/metrics.md names, with those types, and every alert rule asks for something that is exposed', async () => {
  const page = await readFile(join(ROOT, 'docs', 'metrics.md'), 'utf8');
  const table = metricsTable(page);
  const ours = [...seen.types].filter(([name]) => name.startsWith('wan_video_'));
  for (const [name, type] of ours) expect(table).toContainEqual(expect.objectContaining({ name, type }));
  expect(ours.length).toBe(table.length);

  const rules = parse(await readFile(join(ROOT, 'docs', 'alerts.yml'), 'utf8')).groups.flatMap(
    ({ rules }: { rules: readonly { alert: string; expr: string; annotations: { runbook: string } }[] }) => rules,
  );
  expect(rules.length).toBeGreaterThan(10);
  const exposed = new Set(
    [...seen.types].flatMap(([name, type]) => (type === 'histogram' ? [`${name}_bucket`] : [name])),
  );
  for (const { alert, expr, annotations } of rules) {
    const names: string[] = [];
    parser.parse(expr).iterate({
      enter({ type, from, to }) {
        expect(type.isError, `${alert}: ${expr.slice(from, to)}`).toBe(false);
        if (type.name === 'Identifier') names.push(expr.slice(from, to));
      },
    });
    expect(names.length, alert).toBeGreaterThan(0);
    for (const name of names) if (name !== OF_PROMETHEUS) expect(exposed, alert).toContain(name);
    // A value that no series has is no error to Prometheus: the rule would be silent for ever.
    for (const [, name = '', matchers = ''] of expr.matchAll(/(\w+)\{([^}]*)\}/g)) {
      if (name === OF_PROMETHEUS) {
        const job = /- job_name: (\S+)/.exec(page)?.[1];
        expect(matchers, alert).toBe(`job="${job}"`);
        continue;
      }
      if (name.startsWith('temporal_')) continue; // Temporal's own, with labels of its own
      const row = page.split('\n').find((line) => line.startsWith(`| \`${name.replace(/_bucket$/, '')}\` `));
      for (const [, label = '', values = ''] of matchers.matchAll(/(\w+)=~?"([^"]*)"/g)) {
        for (const word of [label, ...values.split('|')]) expect(row, alert).toContain(`\`${word}\``);
      }
    }
    const [file = '', anchor] = annotations.runbook.split('#');
    const headings = (await readFile(join(ROOT, file), 'utf8')).matchAll(/^#+ (.*)$/gm);
    const anchors = [...headings].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    if (anchor !== undefined) expect(anchors, alert).toContain(anchor);
  }
});

test('the log has one line for each transition of a run, with its ids, and no secret', () => {
  const lines = log
    .split('\n')
    .filter((line) => line.includes('"stage '))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const stagesOf = (what: string) =>
    lines.filter(({ workflowId }) => workflowId === ids[what]).map(({ stage }) => String(stage));
  for (const what of Object.keys(ids)) expect(new Set(stagesOf(what)).size, what).toBe(stagesOf(what).length);
  expect(stagesOf('completed')).toEqual(expect.arrayContaining(['preparing', 'submitting', 'queued', 'done']));
  expect(stagesOf('lost')).toContain('reconciling');
  expect(stagesOf('refused').at(-1)).toBe('failed');
  expect(stagesOf('cancelled').at(-1)).toBe('cancelled');
  const done = lines.find(({ workflowId, stage }) => workflowId === ids['completed'] && stage === 'done');
  const task = stack.emulator.state().tasks.find(({ prompt }) => prompt === 'completed');
  expect(done).toMatchObject({ taskId: task?.task_id, attempt: 1 });
  expect(log).toContain('refused: https://a.example/i.png?[redacted] with Bearer [secret] and data:[redacted]');
  for (const secret of [TEST_KEY, 'Signature=', 'sk-leaked', 'base64,']) expect(log).not.toContain(secret);
});

test('an odd answer is counted, logged once per kind with its type alone, and shown by the run and its result', async () => {
  const odd = (path: string, value: unknown) => ({ kind: 'set', path, value }) as const;
  const changes = [odd('usage.SR', 'a-secret-tier'), { kind: 'delete', path: 'usage.audio' } as const];
  stack.emulator.changeSettings({
    drift: [
      { on: 'query', match: 'an odd answer', task_status: 'SUCCEEDED', changes },
      { on: 'submit', match: 'an odd answer', changes: [{ kind: 'retype', path: 'request_id', to: 'object' }] },
    ],
  });
  const oddities = (now: Scrape, field: string) =>
    now.value('wan_video_provider_oddities_total', { operation: 'query', field }) ?? 0;
  for (const id of ['metrics/odd', 'metrics/odd again']) {
    await stack.videos.start(stack.request(`an odd answer: ${id}`), { id });
    const { usage, warnings } = await stack.videos.result(id);
    // What was not said is what was requested and measured.
    expect(usage).toEqual({ billed_seconds: 4, resolution: '720P', audio: false, estimated: true });
    const warning = warnings.find(({ code }) => code === 'provider_answer_odd');
    expect(warning?.message).toContain('usage.SR');
    const { notes } = await stack.videos.progress(id);
    expect(notes).toContain("the provider's answer is not as documented: usage.SR");
  }
  stack.emulator.changeSettings({ drift: [] });
  await until(async () => oddities(await scrape(address), 'usage.SR') >= 2);
  const estimated = (await scrape(address)).value('wan_video_estimated_seconds_total', { resolution: '720P' });
  expect(estimated).toBe(8);
  const lines = log.split('\n').filter((line) => line.includes("the provider's answer is not as documented"));
  const fields = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(fields.filter(({ field }) => field === 'usage.SR')).toMatchObject([{ operation: 'query', found: 'text' }]);
  expect(lines.join()).not.toContain('a-secret-tier');
});

test('a worker is ready while it polls, and not from SIGTERM on', async () => {
  const ready = await fetch(`http://${address}/readyz`);
  expect([ready.status, await ready.json()]).toEqual([200, expect.objectContaining({ ready: true })]);
  expect((await fetch(`http://${address}/healthz`)).status).toBe(200);
  await worker.end('SIGTERM');
  await expect(fetch(`http://${address}/readyz`)).rejects.toThrow();
});
