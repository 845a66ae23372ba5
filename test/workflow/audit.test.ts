import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AuditedTask, AuditReport } from '../../src/contract/audit.js';
import type { WebhookAudit } from '../../src/contract/webhook.js';
import { freePort } from '../../src/dev/temporal-server.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { LedgerPaths } from '../../src/ledger/paths.js';
import { videoKey } from '../../src/storage/keys.js';
import { command } from '../support/command.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';
import { startReceiver, type WebhookReceiver, webhookFile } from '../support/webhook-receiver.js';

let stack: Stack;
let ledger: Ledger;
let folder: string;
let receiver: WebhookReceiver;
let metrics: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-audit-'));
  receiver = await startReceiver();
  metrics = `127.0.0.1:${await freePort()}`;
  const env = { WAN_VIDEO_WEBHOOK: await webhookFile(folder, receiver), WAN_VIDEO_METRICS: metrics };
  stack = await startStack({ settings: { speed: 100 }, times: { ...QUICK_LEDGER }, env });
  const { providerId: provider, account } = stack.config.provider;
  ledger = new Ledger({ store: stack.store, scope: { provider, account }, now: Date.now });
});
afterAll(async () => {
  await stack?.close();
  await receiver?.close();
  await rm(folder, { recursive: true, force: true });
});

type Audit = AuditReport & { readonly explained: readonly AuditedTask[] };
const audit = async (): Promise<{ code: number | null; report: Audit }> => {
  const { code, stdout } = await command(['audit', '--json'], { env: stack.env });
  const report = JSON.parse(stdout) as Audit;
  expect(report).not.toHaveProperty('error');
  return { code, report };
};
const verdictsOf = ({ explained }: Audit): Record<string, string> =>
  Object.fromEntries(explained.map(({ task_id, verdict }) => [task_id, verdict]));

interface Size {
  readonly width: number;
  readonly height: number;
}

/** A purchase equal to that of a task, whose submit was taken for one that created nothing. */
async function plantNotCreated(taskId: string): Promise<{ key: string; n: number; image: Size }> {
  const owner = await ledger.findTask(taskId);
  const view = await ledger.requirePurchase({ key: owner?.purchase_key ?? '', n: owner?.n ?? 0 });
  const purchase = { key: randomUUID().replaceAll('-', '').padEnd(64, '0'), n: 1 };
  const own = ['kind', 'v', 'token', 'written_at_ms', 'purchase_key', 'n'];
  const fields = Object.fromEntries(Object.entries(view.intent).filter(([name]) => !own.includes(name)));
  await ledger.openIntent(purchase, fields as never);
  await ledger.decideNotCreated(purchase, { reason: 'none_found', failure: null });
  // The shape of the caller's image is part of the proof.
  const { width = 0, height = 0 } = view.intent.expects.image ?? {};
  return { ...purchase, image: { width, height } };
}

test('every task of the account is explained, planted orphans are found and rescued, and the seconds agree', async () => {
  const prompt = randomUUID();
  const kept = await stack.videos.generate(stack.request(`${prompt} kept`));
  const lost = await stack.videos.generate(stack.request(`${prompt} lost`));
  stack.emulator.queueFaults({
    on: 'submit',
    fault: 'task-failed',
    code: 'DataInspectionFailed',
    match: `${prompt} bad`,
  });
  await stack.videos.generate(stack.request(`${prompt} bad`)).catch(() => undefined);
  stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: `${prompt} found` });
  const found = await stack.videos.generate(stack.request(`${prompt} found`));
  const bad = stack.emulator.state().tasks.find((task) => task.prompt === `${prompt} bad`)?.task_id ?? '';
  const foreign = stack.emulator.addTask({ prompt: `${prompt} of other software` }).task_id;
  expect(await audit()).toMatchObject({ code: 0, report: { counts: { archived: 2, adopted: 1, free: 1, orphan: 0 } } });

  // One that a reconciliation missed, one whose claim was lost with its process, and one whose video was deleted.
  const parameters = { duration: 4, resolution: '720P', audio: false };
  const { image } = await plantNotCreated(kept.task_id);
  const missed = stack.emulator.addTask({ prompt: `${prompt} kept`, parameters, image }).task_id;
  const unclaimed = stack.emulator.addTask({ prompt: 'never shown', parameters, image }).task_id;
  const purchase = await plantNotCreated(found.task_id);
  const record = { ...(await ledger.findTask(found.task_id)), task_id: unclaimed, purchase_key: purchase.key, n: 1 };
  const paths = LedgerPaths.of(ledger.scope);
  await stack.store.put(paths.task(unclaimed), Readable.from([Buffer.from(JSON.stringify(record))]));
  await stack.store.delete(videoKey(lost.task_id));
  for (const task_id of [missed, unclaimed]) stack.emulator.changeTask(task_id, { status: 'SUCCEEDED' });

  const { code, report } = await audit();
  expect(code).toBe(1);
  expect(verdictsOf(report)).toEqual({
    [kept.task_id]: 'archived',
    [found.task_id]: 'adopted',
    [bad]: 'free',
    [foreign]: 'other_software',
    [missed]: 'orphan',
    [unclaimed]: 'orphan',
    [lost.task_id]: 'orphan',
  });
  expect(report.rescued).toHaveLength(2);
  for (const id of report.rescued) {
    await stack.client.workflow.getHandle(id).result();
  }
  for (const id of [missed, unclaimed]) expect(await stack.store.head(videoKey(id))).toBeDefined();
  // Perhaps deleted on purpose: an equal request fetches it, and the audit only says so.
  expect(await stack.store.head(videoKey(lost.task_id))).toBeUndefined();
  expect(report.findings.find(({ task_id }) => task_id === lost.task_id)?.why).toContain('an equal request fetches it');
  expect(await stack.videos.generate(stack.request(`${prompt} lost`))).toMatchObject({ task_id: lost.task_id });
  expect(await stack.store.head(videoKey(lost.task_id))).toBeDefined();

  const again = await audit();
  expect(again).toMatchObject({ code: 0, report: { counts: { orphan: 0, unclear: 0 } } });
  expect(again.report.seconds.provider).toBe(again.report.seconds.ledger);
  expect(again.report.seconds.provider).toBe(5 * 4);
});

test('`setup --audit` makes a schedule whose audit reports an orphan: to the webhook, in the metric and in its run', async () => {
  const prompt = randomUUID();
  const kept = await stack.videos.generate(stack.request(prompt));
  const { image } = await plantNotCreated(kept.task_id);
  const parameters = { duration: 4, resolution: '720P', audio: false };
  const missed = stack.emulator.addTask({ prompt, parameters, image }).task_id;
  stack.emulator.changeTask(missed, { status: 'SUCCEEDED' });

  const setUp = async () => JSON.parse((await command(['setup', '--audit', '--json'], { env: stack.env })).stdout);
  expect(await setUp()).toMatchObject({ audit_schedule: 'created' });
  expect(await setUp()).toMatchObject({ audit_schedule: 'updated' });
  const schedule = stack.client.schedule.getHandle('wan-video-audit');
  const { spec } = await schedule.describe();
  expect(spec.calendars?.[0]?.hour).toEqual([3, 15].map((hour) => expect.objectContaining({ start: hour })));
  await schedule.trigger();

  const reported = () =>
    receiver.deliveries.find(
      ({ event }) => event.type === 'audit.orphans' && event.data.findings.some(({ task_id }) => task_id === missed),
    );
  await expect.poll(reported).toBeDefined();
  const data = reported()?.event.data as WebhookAudit;
  expect(data).toMatchObject({ state: 'orphans', counts: { orphan: 1 }, batch_id: null });
  expect(data.text).toBe('An audit found 1 paid task of ours without a video in the store; 1 is rescued.');
  expect(data.workflow_id).toMatch(/^audit-\d{4}-/);
  expect(data.rescued).toHaveLength(1);
  for (const id of data.rescued) await stack.client.workflow.getHandle(id).result();
  expect(await stack.store.head(videoKey(missed))).toBeDefined();
  const exposed = await (await fetch(`http://${metrics}/metrics`)).text();
  expect(exposed).toMatch(/^wan_video_audited_tasks_total\{.*verdict="orphan".*\} [1-9]/m);
  const { status } = await stack.client.workflow.getHandle(data.workflow_id).describe();
  expect(status.name).toBe('COMPLETED');
});
