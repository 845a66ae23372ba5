import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { verifyWebhook } from '../../src/webhook/index.js';
import { command } from '../support/command.js';
import { ROOT } from '../support/root.js';
import { startReceiver, type WebhookReceiver, webhookFile } from '../support/webhook-receiver.js';

let folder: string;
let receiver: WebhookReceiver;
let env: Record<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-webhook-'));
  receiver = await startReceiver();
  env = { WAN_VIDEO_WEBHOOK: await webhookFile(folder, receiver) };
});
afterAll(async () => {
  await receiver?.close();
  await rm(folder, { recursive: true, force: true });
});

test('webhook test: a receiver that takes the event, refuses it, or is away: 0, 3, 3; never the address', async () => {
  const took = await command(['webhook', 'test', '--json'], { env });
  expect(took.code).toBe(0);
  const [delivery = expect.unreachable()] = receiver.deliveries;
  expect(verifyWebhook(delivery.body, delivery.headers, receiver.secret).type).toBe('webhook.test');
  expect(JSON.parse(took.stdout)).toEqual({ host: receiver.host, id: delivery.id, status: 204 });

  receiver.meet(() => 400);
  const refused = await command(['webhook', 'test'], { env });
  expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining(`${receiver.host} answered 400`) });
  receiver.meet(undefined);
  await receiver.down();
  onTestFinished(() => receiver.up());
  const away = await command(['webhook', 'test'], { env });
  expect(away).toMatchObject({ code: 3, stderr: expect.stringContaining(receiver.host) });
  for (const { stdout, stderr } of [took, refused, away]) expect(stdout + stderr).not.toMatch(/private-(path|token)/);
});

test('webhook test: no file, or one with faults: exit 3, all faults at once', async () => {
  expect(await command(['webhook', 'test'])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('WAN_VIDEO_WEBHOOK'),
  });
  const file = join(folder, 'faulty.json');
  await writeFile(file, JSON.stringify({ url: 'ftp://x', secret: 'short', colour: 'red' }));
  const faulty = await command(['webhook', 'test'], { env: { WAN_VIDEO_WEBHOOK: file } });
  expect(faulty.code).toBe(3);
  for (const fault of ['url', 'secret', 'colour']) expect(faulty.stderr).toContain(fault);
});

test('the receiver in TypeScript of docs/webhook.md takes what we sign, and nothing that was signed otherwise', async () => {
  const [, source = ''] = /```ts\n([\s\S]*?)```/.exec(await readFile(join(ROOT, 'docs', 'webhook.md'), 'utf8')) ?? [];
  // Within the package, so that it finds the package by its name; on a port that is free.
  const home = join(ROOT, '.wan-video');
  await mkdir(home, { recursive: true });
  const at = join(home, `receiver-${process.pid}.mjs`);
  onTestFinished(() => rm(at, { force: true }));
  const code = source.replace(
    'listen(8080)',
    "listen(0, '127.0.0.1', function () { console.log(this.address().port) })",
  );
  expect(code).not.toBe(source);
  await writeFile(at, ts.transpileModule(code, { compilerOptions: { module: ts.ModuleKind.ESNext } }).outputText);
  const child = spawn(process.execPath, [at], { env: { WEBHOOK_SECRET: receiver.secret }, stdio: 'pipe' });
  onTestFinished(() => void child.kill());
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += String(chunk);
  });
  await expect.poll(() => said).toMatch(/^\d+\n/);
  const port = Number.parseInt(said, 10);
  const other = await mkdtemp(join(folder, 'other-'));
  const url = `http://127.0.0.1:${port}/`;
  const ours = { WAN_VIDEO_WEBHOOK: await webhookFile(other, { url, secret: receiver.secret }) };
  expect(await command(['webhook', 'test'], { env: ours })).toMatchObject({ code: 0 });
  await expect.poll(() => said).toContain('webhook.test This is a test of the webhook');
  await webhookFile(other, { url, secret: `whsec_${Buffer.alloc(32, 7).toString('base64')}` });
  const strange = await command(['webhook', 'test'], { env: ours });
  expect(strange).toMatchObject({ code: 3, stderr: expect.stringContaining('401') });
});
