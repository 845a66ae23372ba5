import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/config.js';
import { DEFAULT_WEBHOOK_EVENTS } from '../../src/contract/webhook.js';
import { readWebhook } from '../../src/webhook/webhook-file.js';
import { readNamedFiles } from '../../src/worker/config-files.js';
import { newSecret } from '../support/webhook-receiver.js';

const [secret, next] = [newSecret(), newSecret()];
const URL_GIVEN = 'https://hooks.example.com/T0/private?token=private';
let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-webhook-'));
  file = join(folder, 'webhook.json');
  await writeFile(join(folder, 'one.secret'), `${secret}\n`);
  await writeFile(join(folder, 'two.secret'), `${next}\r\n\r\n${secret}\r\n`);
  await writeFile(join(folder, 'empty.secret'), '\n');
  await writeFile(join(folder, 'bad.secret'), `${secret}\nswordfish-swordfish\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const read = async (content: unknown) => {
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  const receivers = await readWebhook(file);
  return receivers.get('default') ?? expect.unreachable();
};

test('a file names the receiver, and its secret next to it; every event is delivered', async () => {
  const settings = await read({ url: URL_GIVEN, secret_file: 'one.secret' });
  expect(settings).toMatchObject({ host: 'hooks.example.com', events: DEFAULT_WEBHOOK_EVENTS, format: 'standard' });
  expect(settings.url.reveal()).toBe(URL_GIVEN);
  expect(settings.secrets.map((one) => one.reveal())).toEqual([secret]);
  expect(JSON.stringify(settings)).not.toMatch(/private|whsec/);
});

test('two secrets, one per line, are both signed with', async () => {
  const { secrets } = await read({ url: URL_GIVEN, secret_file: join(folder, 'two.secret') });
  expect(secrets.map((one) => one.reveal())).toEqual([next, secret]);
});

test('a file may name several receivers, each with its own secret, events and format', async () => {
  await writeFile(
    file,
    JSON.stringify({
      receivers: {
        default: { url: URL_GIVEN, secret_file: 'one.secret' },
        'team-a': { url: 'https://chat.example.com/x', format: 'slack', events: ['run.ended'], link_seconds: 3600 },
      },
    }),
  );
  const receivers = await readWebhook(file);
  expect([...receivers.keys()]).toEqual(['default', 'team-a']);
  expect(receivers.get('default')).toMatchObject({ format: 'standard', events: DEFAULT_WEBHOOK_EVENTS });
  expect(receivers.get('team-a')).toMatchObject({
    format: 'slack',
    events: ['run.ended'],
    linkSeconds: 3600,
    secrets: [],
  });
});

test('every fault of every receiver is reported at once, with its name', async () => {
  const receivers = {
    a: { url: 'ftp://x/', format: 'teams', link_seconds: 604_801 },
    'b/..': { url: URL_GIVEN, secret },
    c: { url: URL_GIVEN, secret_file: 'bad.secret', events: [] },
  };
  await writeFile(file, JSON.stringify({ receivers, url: URL_GIVEN }));
  const error = await readWebhook(file).catch((fault) => fault);
  expect(error.issues.map(({ path }: { path: string }) => path).sort()).toEqual([
    'receivers.a.format',
    'receivers.a.link_seconds',
    'receivers.a.secret_file',
    'receivers.a.url',
    'receivers.b/..',
    'receivers.c.events',
    'receivers.c.secret_file',
    'url',
  ]);
  await writeFile(file, JSON.stringify({ receivers: {} }));
  await expect(readWebhook(file)).rejects.toMatchObject({ issues: [{ path: 'receivers' }] });
});

test('a file may hold the secret itself, and name the events', async () => {
  const settings = await read({ url: 'http://127.0.0.1:9/', secret, events: ['batch.ended', 'batch.ended'] });
  expect(settings).toMatchObject({ host: '127.0.0.1:9', events: ['batch.ended'] });
});

test('every fault is reported at once, with its field, and neither secret nor address', async () => {
  const url = 'ftp://user:password@private.example.com/';
  const error = await read({ url, secret_file: 'bad.secret', events: ['batch.started'], method: 'PUT' }).catch(
    (fault) => fault,
  );
  expect(error).toMatchObject({ type: 'ConfigurationInvalid', billed: false });
  expect(error.issues.map(({ path }: { path: string }) => path).sort()).toEqual([
    'events.0',
    'method',
    'secret_file',
    'url',
  ]);
  expect(`${error.message} ${error.nextStep}`).not.toMatch(/private|swordfish|password@/);
});

test.each([
  ['is not JSON', '{', 'WAN_VIDEO_WEBHOOK', /is not JSON/],
  [
    'says a field twice',
    '{"url":"https://a.example","url":"https://b.example","secret_file":"one.secret"}',
    'url',
    /more than once/,
  ],
  ['is a list', '[]', 'WAN_VIDEO_WEBHOOK', /one JSON object/],
  ['has no address', { secret_file: 'one.secret' }, 'url', /http or https/],
  ['has an address with a user', { url: 'https://me@example.com', secret_file: 'one.secret' }, 'url', /without user/],
  ['has an address with a fragment', { url: 'https://example.com/#a', secret_file: 'one.secret' }, 'url', /fragment/],
  ['has no secret', { url: URL_GIVEN }, 'secret_file', /is missing/],
  [
    'has two secrets',
    { url: URL_GIVEN, secret, secret_file: 'one.secret' },
    'secret_file',
    /cannot be combined with secret/,
  ],
  ['has a secret that is none', { url: URL_GIVEN, secret: 'swordfish' }, 'secret', /whsec_ followed by the base64/],
  ['has a secret of 16 bytes', { url: URL_GIVEN, secret: `whsec_${'A'.repeat(22)}==` }, 'secret', /24 to 64/],
  ['names a secret that is not there', { url: URL_GIVEN, secret_file: 'gone' }, 'secret_file', /does not exist/],
  ['names a folder as secret', { url: URL_GIVEN, secret_file: '.' }, 'secret_file', /cannot be read/],
  ['names an empty secret', { url: URL_GIVEN, secret_file: 'empty.secret' }, 'secret_file', /every line/],
  ['names no event', { url: URL_GIVEN, secret_file: 'one.secret', events: [] }, 'events', /batch\.ended/],
])('a file that %s is refused', async (_what, content, path, message) => {
  const error = await read(content).catch((fault) => fault);
  expect(error.issues).toEqual([{ path, message: expect.stringMatching(message) }]);
});

test('a worker names the faults of all files that it was given at once', async () => {
  const env = { WAN_VIDEO_WEBHOOK: 'no-webhook.json', WAN_VIDEO_PRICES: 'no-prices.json' };
  const config = loadConfig(env, { cwd: folder, homeDir: folder });
  const error = await readNamedFiles(config).catch((fault) => fault);
  expect(error).toMatchObject({ type: 'ConfigurationInvalid' });
  expect(error.issues.map(({ path }: { path: string }) => path).sort()).toEqual([
    'WAN_VIDEO_PRICES',
    'WAN_VIDEO_WEBHOOK',
  ]);
});
