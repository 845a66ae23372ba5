import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { BatchRow } from '../../src/batch/batch-files.js';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { WanScheduleClient } from '../../src/client/schedule-client.js';
import { batchItemWorkflowId, batchWorkflowId, webhookWorkflowId } from '../../src/contract/names.js';
import type { WebhookRun } from '../../src/contract/webhook.js';
import { contentHash } from '../../src/storage/content-hash.js';
import { verifyWebhook } from '../../src/webhook/index.js';
import { command } from '../support/command.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.js';
import { startWorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { type Stack, startStack } from '../support/stack.js';
import { receiversFile, startReceiver, type WebhookReceiver } from '../support/webhook-receiver.js';

const ITEMS = 500;
/** The receiver goes away when so many ends were taken, and comes back once the batch has reported its own end. */
const TAKEN_BEFORE = 400;
/** The worker dies on this copy. */
const KILLED_AT = 200;
const LINK_SECONDS = 3_600;
const TIMES = {
  ...QUICK_LEDGER,
  heartbeatTimeoutMs: 5_000,
  heartbeatThrottleMs: 500,
  submitHttpMs: 10_000,
  submitStartToCloseMs: 15_000,
};

const missing = process.env['REQUIRE_PARTS'] === '1' ? undefined : s3ServerMissing();
if (missing !== undefined) {
  console.warn(`skipped: ${missing}`);
  test.skip(missing, () => undefined);
}

describe.skipIf(missing !== undefined)('a scheduled batch on a real S3 server', () => {
  let server: S3Server;
  let proxy: FaultyProxy;
  let receiver: WebhookReceiver;
  let stack: Stack;
  let folder: string;
  /** Called with each copy inside the server. */
  let onCopy: (nth: number) => void = () => undefined;
  beforeAll(async () => {
    server = await startS3Server();
    let copies = 0;
    proxy = await startFaultyProxy(server.endpoint, ({ headers }) => {
      if (headers['x-amz-copy-source'] !== undefined) onCopy(++copies);
      return undefined;
    });
    folder = await mkdtemp(join(tmpdir(), 'wan-video-night-'));
    receiver = await startReceiver();
    const s3 = { ...server.env, AWS_ENDPOINT_URL_S3: proxy.endpoint };
    Object.assign(process.env, s3);
    stack = await startStack({
      settings: { speed: 400, slots: 50, submit_rate: 0, query_rate: 0 },
      times: TIMES,
      env: {
        ...s3,
        ASSET_STORE: `s3://${await server.newBucket()}/films`,
        WAN_VIDEO_SUBMIT_RATE: '100',
        WAN_VIDEO_QUERY_RATE: '100',
        WAN_VIDEO_MAX_RUNNING: '50',
        WAN_VIDEO_WEBHOOK: await receiversFile(folder, {
          night: [receiver, { events: ['run.ended', 'batch.ended'], link_seconds: LINK_SECONDS }],
        }),
      },
      worker: false,
    });
  }, COMPILE_TIMEOUT_MS); // with REQUIRE_PARTS=1 the server may have to be built first
  afterAll(async () => {
    await stack?.close();
    await Promise.all([receiver?.close(), proxy?.close()]);
    await server?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test(`of ${ITEMS} lines, its worker killed between two copies and its receiver away: as many named files, three reports, one message each`, async () => {
    const { client, store, config } = stack;
    const prompt = randomUUID();
    const items = Array.from({ length: ITEMS }, (_, n) => `clip-${String(n + 1).padStart(3, '0')}`);
    const lines = items.map((item_id) => JSON.stringify({ item_id, ...stack.request(`${prompt} ${item_id}`) }));
    await store.put('lists/night.jsonl', Buffer.from(`${lines.join('\n')}\n`));
    const deliver = ['--deliver', 'delivery/{date}/{item_id}.mp4', '--deliver-report', 'csv,html,json'];
    // It starts by itself, at the next full minute, and not again before a year has passed.
    const due = new Date(Math.ceil((Date.now() + 5_000) / 60_000) * 60_000);
    const cron = `${due.getUTCMinutes()} ${due.getUTCHours()} ${due.getUTCDate()} ${due.getUTCMonth() + 1} *`;
    const made = await command(
      [
        ...['schedule', 'create', 'night', '--cron', cron, '--timezone', 'UTC', '--manifest', 'lists/night.jsonl'],
        ...['--window', '50', '--receiver', 'night', ...deliver],
      ],
      { env: stack.env, cwd: folder },
    );
    expect(made).toMatchObject({ code: 0 });
    const schedules = new WanScheduleClient({ client, store, taskQueue: config.taskQueues.generate });
    onTestFinished(() => schedules.delete('night').catch(() => undefined));
    const batchId = `night-${due.toISOString().slice(0, 19)}Z`;
    const day = `delivery/${due.toISOString().slice(0, 10)}`;
    const copied = async () => {
      const keys: string[] = [];
      for await (const { key } of store.list(`${day}/`)) keys.push(key);
      return keys;
    };

    const first = await startWorkerProcess(stack, TIMES);
    onTestFinished(() => void first.end('SIGKILL'));
    const dead = new Promise<void>((resolve) => {
      onCopy = (nth) => {
        if (nth === KILLED_AT) void first.end('SIGKILL').then(() => resolve());
      };
    });
    const WAIT = { timeout: 600_000, interval: 500 };
    await expect.poll(() => receiver.deliveries.length, WAIT).toBeGreaterThanOrEqual(TAKEN_BEFORE);
    // First by its answers, so that none is cut off that counts here as taken.
    receiver.meet(() => 503);
    await expect.poll(() => receiver.deliveries.some(({ status }) => status === 503), WAIT).toBe(true);
    await receiver.down();
    receiver.meet(undefined);
    await dead;
    const before = (await copied()).length;
    const second = await startWorkerProcess(stack, TIMES);
    onTestFinished(() => void second.end('SIGKILL'));
    const batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
    const summary = await batches.result(batchId);
    const deliveries = async () => {
      const found: { id: string; isDone: boolean }[] = [];
      for await (const { workflowId: id, status } of client.workflow.list({
        query: 'WorkflowType = "deliverWebhook"',
      }))
        found.push({ id, isDone: status.name === 'COMPLETED' });
      return found;
    };
    // The batch has ended while its receiver is away: its own message is among those that wait.
    await expect.poll(async () => (await deliveries()).length, WAIT).toBe(ITEMS + 1);
    expect((await deliveries()).filter(({ isDone }) => !isDone).length).toBeGreaterThan(ITEMS - TAKEN_BEFORE - 50);
    expect(receiver.deliveries.some(({ event }) => event.type === 'batch.ended')).toBe(false);
    await receiver.up();
    await expect.poll(async () => (await deliveries()).filter(({ isDone }) => !isDone), WAIT).toEqual([]);

    // Files and reports.
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(ITEMS);
    expect(summary).toMatchObject({
      outcome: 'completed',
      counts: { total: ITEMS, generated: ITEMS, failed: 0 },
      billed: [{ seconds: ITEMS * 4 }],
      delivery: { files: ITEMS, missing: 0, undelivered: 0, problems: [], failure: null },
    });
    const reports = ['csv', 'html', 'json'].map((format) => `${day}/report-${batchId.replaceAll(':', '-')}.${format}`);
    expect((await copied()).sort()).toEqual([...items.map((item) => `${day}/${item}.mp4`), ...reports].sort());
    const rows: BatchRow[] = [];
    for await (const row of batches.report(batchId)) rows.push(row);
    expect(rows.map(({ item_id, file }) => [item_id, file])).toEqual(items.map((item) => [item, `${day}/${item}.mp4`]));
    for (const { file, sha256 } of rows) expect(await contentHash(store, file ?? '', {})).toBe(sha256);
    const page = Buffer.concat(await (await store.get(reports[1] ?? '')).toArray()).toString();
    const [, shown = ''] = /data-src="([^"]+clip-007\.mp4[^"]*)"/.exec(page) ?? [];
    expect(await hashOf(shown.replaceAll('&amp;', '&'))).toBe(rows[6]?.sha256);

    // Each video was bought once.
    const bought = stack.emulator.state().tasks.filter((task) => task.prompt.startsWith(prompt));
    expect(bought).toHaveLength(ITEMS);

    // Each end was taken once, under one id, also those that were sent again.
    const events = receiver.deliveries
      .filter(({ status }) => status === 204)
      .map(({ body, headers }) => verifyWebhook(body, headers, receiver.secret, { toleranceSeconds: 86_400 }));
    const about = events.map(({ data }) => ('workflow_id' in data ? data.workflow_id : '')).sort();
    expect(about).toEqual(
      [batchWorkflowId(batchId), ...items.map((item) => batchItemWorkflowId(batchId, item))].sort(),
    );
    expect(new Set(receiver.deliveries.map(({ id }) => id)).size).toBe(ITEMS + 1);
    expect((await deliveries()).map(({ id }) => id).sort()).toEqual(
      events.map(({ id }) => webhookWorkflowId(id)).sort(),
    );

    // An event brings an address of its video that anybody can open until the moment that it names.
    const ends = events.filter(({ type }) => type === 'run.ended').map(({ data }) => data as WebhookRun);
    for (const { link } of ends) {
      // The event never promises more time than its address has.
      expect(expiryOf(link?.url ?? '')).toBeGreaterThanOrEqual(secondsOf(link?.expires_at ?? ''));
      expect(link?.url).toContain(`X-Amz-Expires=${LINK_SECONDS}`);
    }
    const [some] = ends;
    expect(await hashOf(some?.link?.url ?? '')).toBe(some?.video?.sha256);
    const path = new URL(some?.link?.url ?? '');
    path.search = '';
    expect((await fetch(path)).ok).toBe(false);
    await second.end('SIGTERM');
  }, 1_500_000);
});

async function hashOf(url: string): Promise<string> {
  const answer = await fetch(url);
  expect(answer.status).toBe(200);
  return createHash('sha256')
    .update(Buffer.from(await answer.arrayBuffer()))
    .digest('hex');
}

/** When a signed address ends, as its own parameters say, in seconds. */
function expiryOf(url: string): number {
  const { searchParams } = new URL(url);
  const [, date = '', time = ''] = /^(\d{8})T(\d{6})Z$/.exec(searchParams.get('X-Amz-Date') ?? '') ?? [];
  const signed = `${date.replace(/(....)(..)(..)/, '$1-$2-$3')}T${time.replace(/(..)(..)(..)/, '$1:$2:$3')}Z`;
  return secondsOf(signed) + Number(searchParams.get('X-Amz-Expires'));
}

const secondsOf = (moment: string): number => Math.floor(Date.parse(moment) / 1000);
