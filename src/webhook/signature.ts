import { createHmac, timingSafeEqual } from 'node:crypto';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { WebhookEvent, WebhookTestEvent } from '../contract/webhook.js';

/** Names of the three headers (https://www.standardwebhooks.com, version 1.0.0). */
export const WEBHOOK_HEADERS = {
  id: 'webhook-id',
  timestamp: 'webhook-timestamp',
  signature: 'webhook-signature',
} as const;

/** 192 to 512 bits, by the same specification. */
const KEY_BYTES_MIN = 24;
const KEY_BYTES_MAX = 64;
/** The specification's libraries allow as much between sender and receiver. */
const TOLERANCE_SECONDS = 300;

/** The key inside `whsec_<base64>`; undefined when the text is no such secret. */
export function webhookKey(secret: string): Buffer | undefined {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1];
  if (encoded === undefined) return undefined;
  const key = Buffer.from(encoded, 'base64');
  return key.length >= KEY_BYTES_MIN && key.length <= KEY_BYTES_MAX ? key : undefined;
}

/** What a signature is made over. */
export interface SignedMessage {
  readonly id: string;
  /** Seconds since the epoch at which it is sent. */
  readonly timestampSeconds: number;
  /** Exactly as it is sent. */
  readonly body: string | Uint8Array;
}

/** The value of `webhook-signature`: one signature for each secret, so that secrets can be changed without a gap. */
export const signatureOf = (message: SignedMessage, secrets: readonly string[]): string =>
  secrets.map((secret) => `v1,${digest(message, keyOf(secret)).toString('base64')}`).join(' ');

/** What a receiver decides by, in addition to the message. */
export interface VerifyOptions {
  /** How old, or how far ahead of this clock, a message may be, in seconds; default 300. */
  readonly toleranceSeconds?: number | undefined;
  /** Milliseconds since the epoch; default this machine's clock. */
  readonly now?: (() => number) | undefined;
}

/** Headers as Node's `http` or `fetch` give them; names in any case. */
export type WebhookRequestHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Checks that a message comes from who knows the secret, is whole, and is not an old one sent again.
 * @param body - The request's body, exactly as it came: parsed and serialised again it does not verify.
 * @param secret - `whsec_…`; several while a secret is being changed.
 * @returns the event. Its `id` is the same at every delivery: a receiver that keeps it counts no event twice.
 * @throws {@link VideoError} `WebhookNotVerified`, and `ConfigurationInvalid` for a secret that is none.
 */
export function verifyWebhook(
  body: string | Uint8Array,
  headers: WebhookRequestHeaders,
  secret: string | readonly string[],
  { toleranceSeconds = TOLERANCE_SECONDS, now = Date.now }: VerifyOptions = {},
): WebhookEvent | WebhookTestEvent {
  const keys = [secret].flat().map(keyOf);
  const id = headerOf(headers, WEBHOOK_HEADERS.id);
  const timestamp = headerOf(headers, WEBHOOK_HEADERS.timestamp);
  const signatures = headerOf(headers, WEBHOOK_HEADERS.signature).split(' ');
  if (!/^\d{1,12}$/.test(timestamp)) throw notVerified(`${WEBHOOK_HEADERS.timestamp} is no time in seconds`);
  const timestampSeconds = Number(timestamp);
  const ageSeconds = now() / 1000 - timestampSeconds;
  const isSigned = keys.some((key) =>
    signatures.some((given) => isEqual(given, digest({ id, timestampSeconds, body }, key))),
  );
  if (!isSigned) throw notVerified('no signature is that of this secret and this body');
  if (!(Math.abs(ageSeconds) <= toleranceSeconds)) {
    throw notVerified(
      `it was sent ${Math.round(ageSeconds)} s ago by this clock, and ${toleranceSeconds} s are allowed`,
    );
  }
  try {
    return JSON.parse(Buffer.from(body).toString('utf8')) as WebhookEvent | WebhookTestEvent;
  } catch (cause) {
    throw notVerified('the body is not JSON', cause);
  }
}

function digest({ id, timestampSeconds, body }: SignedMessage, key: Buffer): Buffer {
  return createHmac('sha256', key).update(`${id}.${timestampSeconds}.`).update(body).digest();
}

/** In constant time: how far a guess is right must not show. */
function isEqual(given: string, digested: Buffer): boolean {
  const encoded = /^v1,([A-Za-z0-9+/]{43}=)$/.exec(given)?.[1];
  return encoded !== undefined && timingSafeEqual(Buffer.from(encoded, 'base64'), digested);
}

function keyOf(secret: string): Buffer {
  const key = webhookKey(secret.trim());
  if (key !== undefined) return key;
  throw new VideoError(
    FailureType.ConfigurationInvalid,
    'The webhook secret is not usable: it must be whsec_ and base64',
    {
      nextStep: SECRET_NEXT_STEP,
    },
  );
}

/** How to make a secret. */
export const SECRET_NEXT_STEP = 'Make one: printf \'whsec_%s\\n\' "$(openssl rand -base64 32)"';

function headerOf(headers: WebhookRequestHeaders, name: string): string {
  const value =
    headers instanceof Headers
      ? headers.get(name)
      : Object.entries(headers).find(([given]) => given.toLowerCase() === name)?.[1];
  if (typeof value === 'string' && value !== '') return value;
  throw notVerified(`the header ${name} is ${value == null || value === '' ? 'missing' : 'there more than once'}`);
}

const notVerified = (why: string, cause?: unknown): VideoError =>
  new VideoError(FailureType.WebhookNotVerified, `The message is not verified: ${why}`, { cause });
