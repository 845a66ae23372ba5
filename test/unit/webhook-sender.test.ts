import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { Secret } from '../../src/config/credentials.js';
import type { WebhookTestEvent } from '../../src/contract/webhook.js';
import { endedRun } from '../../src/contract/webhook-data.js';
import { NO_PROXIES } from '../../src/net/proxies.js';
import { verifyWebhook } from '../../src/webhook/signature.js';
import type { WebhookFormat } from '../../src/webhook/webhook-file.js';
import { WebhookSender } from '../../src/webhook/webhook-sender.js';
import { type Reply, startReceiver, type WebhookReceiver } from '../support/webhook-receiver.js';

const EVENT: WebhookTestEvent = {
  id: 'msg_1',
  type: 'webhook.test',
  timestamp: '2026-03-01T00:00:00.000Z',
  data: { text: 'Grüße, 世界' },
};
let receiver: WebhookReceiver;
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(() => receiver.close());

function sender(timeoutMs = 5_000, url = receiver.url, format: WebhookFormat = 'standard'): WebhookSender {
  const secrets = format === 'slack' ? [] : [new Secret(receiver.secret, 'a test')];
  const settings = {
    url: new Secret(url, 'a test'),
    host: new URL(url).host,
    secrets,
    events: [],
    format,
    linkSeconds: undefined,
  };
  const made = new WebhookSender({ settings, proxies: NO_PROXIES, timeoutMs, now: Date.now });
  onTestFinished(() => made.close());
  return made;
}
const failureOf = (sending: Promise<number>) =>
  sending.then(
    () => expect.unreachable(),
    (error) => error,
  );

test('an event arrives as it is, signed, at the path and query of the address', async () => {
  await expect(sender().send(EVENT)).resolves.toBe(204);
  const [{ body, headers } = expect.unreachable()] = receiver.deliveries;
  expect(verifyWebhook(body, headers, receiver.secret)).toEqual(EVENT);
  expect(headers).toMatchObject({ 'content-type': 'application/json', 'webhook-id': 'msg_1' });
});

test('a chat gets the text at the top level, without markup of others and without a signature', async () => {
  const event = {
    ...EVENT,
    type: 'run.ended',
    data: endedRun(
      { workflowId: 'video/<@everyone>', batchId: null },
      { state: 'failed', failure: { type: 'TaskFailed', message: 'a & b', next_step: 'Start it again.' } },
    ),
  } as const;
  await sender(5_000, receiver.url, 'slack').send(event);
  const [{ body, headers } = expect.unreachable()] = receiver.deliveries;
  expect(JSON.parse(body)).toEqual({
    text: 'Run video/&lt;@everyone&gt; has failed: a &amp; b\nStart it again.',
  });
  expect(headers).not.toHaveProperty('webhook-signature');
  expect(headers).toMatchObject({ 'webhook-id': 'msg_1' });
});

const LATER = { status: 503, headers: { 'retry-after': '7' } };
const MUCH_LATER = { status: 429, headers: { 'retry-after': '86400' } };
const MOVED = { status: 308, headers: { location: '/elsewhere' } };
test.each([
  { reply: 500, type: 'WebhookUnavailable', retryable: true },
  { reply: 501, type: 'WebhookUnavailable', retryable: true },
  { reply: 408, type: 'WebhookUnavailable', retryable: true },
  { reply: 425, type: 'WebhookUnavailable', retryable: true },
  { reply: 429, type: 'WebhookUnavailable', retryable: true },
  { reply: LATER, type: 'WebhookUnavailable', retryable: true, retryAfterMs: 7_000 },
  { reply: MUCH_LATER, type: 'WebhookUnavailable', retryable: true, retryAfterMs: 3_600_000 },
  { reply: 'drop' as const, type: 'WebhookUnavailable', retryable: true },
  { reply: 400, type: 'WebhookRefused', retryable: false },
  { reply: 401, type: 'WebhookRefused', retryable: false },
  { reply: 404, type: 'WebhookRefused', retryable: false },
  { reply: 410, type: 'WebhookRefused', retryable: false },
  { reply: MOVED, type: 'WebhookRefused', retryable: false },
])('$reply is $type, named by host alone', async ({ reply, ...failure }) => {
  receiver.meet(() => reply as Reply);
  const error = await failureOf(sender().send(EVENT));
  expect(error).toMatchObject(failure);
  expect(receiver.deliveries).toHaveLength(1); // neither sent again nor sent on
  expect(error.message).toContain(receiver.host);
  expect(`${error.message} ${error.nextStep} ${error.stack}`).not.toMatch(/private|whsec/);
});

test('a receiver that is not there, or does not answer in time, may be there later', async () => {
  receiver.meet(() => 'silence');
  const slow = await failureOf(sender(200).send(EVENT));
  expect(slow).toMatchObject({
    type: 'WebhookUnavailable',
    message: expect.stringContaining('no status within 0.2 s'),
  });
  await receiver.down();
  const gone = await failureOf(sender().send(EVENT));
  expect(gone).toMatchObject({ type: 'WebhookUnavailable', message: expect.stringContaining('ECONNREFUSED') });
});

test('an abort ends the sending with its own reason', async () => {
  receiver.meet(() => 'silence');
  const stop = new AbortController();
  const sending = failureOf(sender().send(EVENT, { signal: stop.signal }));
  await expect.poll(() => receiver.deliveries.length).toBe(1);
  stop.abort(new Error('shut down'));
  expect(await sending).toBe(stop.signal.reason);
});
