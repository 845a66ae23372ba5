import { expect, test } from 'vitest';
import { signatureOf, verifyWebhook } from '../../src/webhook/signature.js';
import { newSecret } from '../support/webhook-receiver.js';

// The vector that the implementations of the specification share (https://www.standardwebhooks.com).
const VECTOR = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  message: { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestampSeconds: 1_614_265_330, body: '{"test": 2432232314}' },
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
};

test('a message is signed as the specification says', () => {
  expect(signatureOf(VECTOR.message, [VECTOR.secret])).toBe(VECTOR.signature);
});

const { secret, message, signature } = VECTOR;
const NOW = message.timestampSeconds * 1000;
const HEADERS = {
  'webhook-id': message.id,
  'webhook-timestamp': String(message.timestampSeconds),
  'webhook-signature': signature,
};
const verify = (
  changes: {
    headers?: object;
    body?: string | Uint8Array;
    secret?: string | string[];
    atMs?: number;
    tolerance?: number;
  } = {},
) =>
  verifyWebhook(changes.body ?? message.body, { ...HEADERS, ...changes.headers }, changes.secret ?? secret, {
    now: () => changes.atMs ?? NOW,
    toleranceSeconds: changes.tolerance,
  });
const other = newSecret();

test.each([
  ['text', {}],
  ['bytes', { body: Buffer.from(message.body) }],
  ['with a signature of another secret before ours', { headers: { 'webhook-signature': `v1,bm9wZQ== ${signature}` } }],
  ['with another kind of signature next to ours', { headers: { 'webhook-signature': `v1a,bm9wZQ== ${signature}` } }],
  ['to a receiver that knows the new secret and the old one', { secret: [other, secret] }],
  ['from a clock 300 s behind', { atMs: NOW + 300_000 }],
  ['from a clock 300 s ahead', { atMs: NOW - 300_000 }],
] as const)('a whole message is taken: %s', (_what, changes) => {
  expect(verify(changes as Parameters<typeof verify>[0])).toEqual({ test: 2432232314 });
});

test('headers are read as fetch gives them, and in any case', () => {
  const options = { now: () => NOW };
  expect(verifyWebhook(message.body, new Headers(HEADERS), secret, options)).toEqual({ test: 2432232314 });
  const loud = Object.fromEntries(Object.entries(HEADERS).map(([name, value]) => [name.toUpperCase(), value]));
  expect(verifyWebhook(message.body, loud, secret, options)).toEqual({ test: 2432232314 });
});

test.each([
  ['whose body was changed', { body: '{"test": 2432232315}' }, /no signature/],
  ['whose body was parsed and serialised again', { body: '{"test":2432232314}' }, /no signature/],
  ['under another id', { headers: { 'webhook-id': 'msg_other' } }, /no signature/],
  ['with another time', { headers: { 'webhook-timestamp': String(message.timestampSeconds + 1) } }, /no signature/],
  ['of another secret', { secret: other }, /no signature/],
  [
    'with a signature of another version',
    { headers: { 'webhook-signature': signature.replace('v1,', 'v2,') } },
    /no signature/,
  ],
  ['with a signature that is cut', { headers: { 'webhook-signature': signature.slice(0, -5) } }, /no signature/],
  ['without a signature', { headers: { 'webhook-signature': undefined } }, /webhook-signature is missing/],
  ['with an empty signature', { headers: { 'webhook-signature': '' } }, /webhook-signature is missing/],
  ['without an id', { headers: { 'webhook-id': undefined } }, /webhook-id is missing/],
  ['with two ids', { headers: { 'webhook-id': [message.id, message.id] } }, /webhook-id is present more than once/],
  ['whose time is none', { headers: { 'webhook-timestamp': '1e9' } }, /not a time in seconds/],
  ['sent 301 s ago', { atMs: NOW + 301_000 }, /301 s ago by this clock; the limit is 300 s/],
  ['sent 301 s ahead', { atMs: NOW - 301_000 }, /-301 s ago/],
  ['older than a receiver with less patience allows', { atMs: NOW + 11_000, tolerance: 10 }, /11 s ago/],
] as const)('a message %s is not verified', (_what, changes, why) => {
  const verifying = () => verify(changes as unknown as Parameters<typeof verify>[0]);
  expect(verifying).toThrow(
    expect.objectContaining({ type: 'WebhookNotVerified', message: expect.stringMatching(why) }),
  );
});

test.each(['', 'secret', 'whsec_', 'whsec_c2hvcnQ=', `whsec_${'A'.repeat(100)}`])(
  'a secret that is none (%j) is the mistake of who gives it, and is not shown',
  (wrong) => {
    const verifying = () => verify({ secret: wrong });
    expect(verifying).toThrow(expect.objectContaining({ type: 'ConfigurationInvalid' }));
    if (wrong !== '' && wrong !== 'whsec_' && wrong !== 'secret') expect(verifying).not.toThrow(wrong);
  },
);

test('a message is signed with every secret while they are changed', () => {
  const both = signatureOf(message, [secret, other]);
  expect(both.split(' ')).toHaveLength(2);
  for (const known of [secret, other])
    expect(verify({ headers: { 'webhook-signature': both }, secret: known })).toBeTruthy();
});
