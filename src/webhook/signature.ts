import { createHmac, timingSafeEqual } from 'node:crypto';
import { FailureType } from '../contract/failure-type.js';
import { A_FUNCTION, AN_OBJECT, checkOptions, type OptionRules, required } from '../contract/options.js';
import { VideoError } from '../contract/video-error.js';
import type { WebhookDelivery } from '../contract/webhook.js';

/** Names of the three headers (https://www.standardwebhooks.com, version 1.0.0). */
export const WEBHOOK_HEADERS = {
  id: 'webhook-id',
  timestamp: 'webhook-timestamp',
  signature: 'webhook-signature',
} as const;

/** 192 to 512 bits, by the same specification. */
const KEY_BYTES_MIN = 24;
const KEY_BYTES_MAX = 64;
/** The specification's libraries allow the same difference between the two clocks. */
const TOLERANCE_SECONDS = 300;

/** The key inside `whsec_<base64>`; undefined when the text is no such secret. */
export function webhookKey(secret: string): Buffer | undefined {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1];
  if (encoded === undefined) return undefined;
  const key = Buffer.from(encoded, 'base64');
  return key.length >= KEY_BYTES_MIN && key.length <= KEY_BYTES_MAX ? key : undefined;
}

const VERIFY_OPTIONS: OptionRules = {
  body: required({
    must: 'must be the body as it was received: text or bytes, not what was parsed from it',
    isValid: (value) => typeof value === 'string' || value instanceof Uint8Array,
  }),
  headers: required(AN_OBJECT),
  secret: required({
    must: 'must be a secret, or a list of secrets',
    isValid: (value) => [value].flat().every((one) => typeof one === 'string'),
  }),
  toleranceSeconds: { must: 'must be a number of seconds', isValid: (value) => typeof value === 'number' },
  now: A_FUNCTION,
};

/** The parts of a message that its signature covers. */
export interface SignedMessage {
  readonly id: string;
  /** When it is sent, in seconds since the epoch. */
  readonly timestampSeconds: number;
  /** Exactly as it is sent. */
  readonly body: string | Uint8Array;
}

/** The value of `webhook-signature`: one signature for each secret, so that a secret can be replaced without a gap. */
export const signatureOf = (message: SignedMessage, secrets: readonly string[]): string =>
  secrets.map((secret) => `v1,${digest(message, keyOf(secret)).toString('base64')}`).join(' ');

/** How strictly a message is verified. */
export interface VerifyOptions {
  /** Greatest difference between the message's time and this clock, in seconds; default 300. */
  readonly toleranceSeconds?: number | undefined;
  /** The current time in milliseconds since the epoch; default: this machine's clock. */
  readonly now?: (() => number) | undefined;
}

/** Headers as Node's `http` or `fetch` provide them; the case of their names does not matter. */
export type WebhookRequestHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Verifies that a message was signed with the secret, is unchanged, and is not an old message sent again.
 * @param body - The request's body exactly as received; a body that was parsed and serialized again does not verify.
 * @param secret - `whsec_…`; several while a secret is being replaced.
 * @returns the event. Its `id` is the same at every delivery, so a receiver that stores the ids processes each event
 * once.
 * @throws {@link VideoError} `WebhookNotVerified`; `ConfigurationInvalid` for a malformed secret.
 * @example
 * ```ts
 * async function receive(request: Request): Promise<Response> {
 *   try {
 *     const event = verifyWebhook(await request.text(), request.headers, process.env['WEBHOOK_SECRET'] ?? '');
 *     console.log(event.id, event.type, event.data.text);
 *     return new Response(null, { status: 204 });
 *   } catch {
 *     return new Response(null, { status: 401 });
 *   }
 * }
 * ```
 */
export function verifyWebhook(
  body: string | Uint8Array,
  headers: WebhookRequestHeaders,
  secret: string | readonly string[],
  options: VerifyOptions = {},
): WebhookDelivery {
  checkOptions('verifyWebhook', { body, headers, secret, ...options }, VERIFY_OPTIONS);
  const { toleranceSeconds = TOLERANCE_SECONDS, now = Date.now } = options;
  const keys = [secret].flat().map(keyOf);
  const id = headerOf(headers, WEBHOOK_HEADERS.id);
  const timestamp = headerOf(headers, WEBHOOK_HEADERS.timestamp);
  const signatures = headerOf(headers, WEBHOOK_HEADERS.signature).split(' ');
  if (!/^\d{1,12}$/.test(timestamp)) throw notVerified(`${WEBHOOK_HEADERS.timestamp} is not a time in seconds`);
  const timestampSeconds = Number(timestamp);
  const ageSeconds = now() / 1000 - timestampSeconds;
  const isSigned = keys.some((key) =>
    signatures.some((given) => isEqual(given, digest({ id, timestampSeconds, body }, key))),
  );
  if (!isSigned) throw notVerified('no signature matches this secret and this body');
  if (!(Math.abs(ageSeconds) <= toleranceSeconds)) {
    throw notVerified(`it was sent ${Math.round(ageSeconds)} s ago by this clock; the limit is ${toleranceSeconds} s`);
  }
  try {
    return JSON.parse(Buffer.from(body).toString('utf8')) as WebhookDelivery;
  } catch (cause) {
    throw notVerified('the body is not JSON', cause);
  }
}

function digest({ id, timestampSeconds, body }: SignedMessage, key: Buffer): Buffer {
  return createHmac('sha256', key).update(`${id}.${timestampSeconds}.`).update(body).digest();
}

/** Compares in constant time, so that the duration does not reveal how much of a guess is right. */
function isEqual(given: string, digested: Buffer): boolean {
  const encoded = /^v1,([A-Za-z0-9+/]{43}=)$/.exec(given)?.[1];
  return encoded !== undefined && timingSafeEqual(Buffer.from(encoded, 'base64'), digested);
}

function keyOf(secret: string): Buffer {
  const key = webhookKey(secret.trim());
  if (key !== undefined) return key;
  throw new VideoError(
    FailureType.ConfigurationInvalid,
    'The webhook secret is not usable: it must be whsec_ followed by base64',
    { nextStep: SECRET_HINT },
  );
}

/** How to create a secret. */
export const SECRET_HINT = 'Create one: printf \'whsec_%s\\n\' "$(openssl rand -base64 32)"';

function headerOf(headers: WebhookRequestHeaders, name: string): string {
  const value =
    headers instanceof Headers
      ? headers.get(name)
      : Object.entries(headers).find(([given]) => given.toLowerCase() === name)?.[1];
  if (typeof value === 'string' && value !== '') return value;
  throw notVerified(`the header ${name} is ${value == null || value === '' ? 'missing' : 'present more than once'}`);
}

const notVerified = (why: string, cause?: unknown): VideoError =>
  new VideoError(FailureType.WebhookNotVerified, `The message is not verified: ${why}`, { cause });
