import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { Secret } from '../config/credentials.js';
import {
  type NamedFile,
  parseNamedFile,
  readNamedFile,
  textOf,
  unlessUnknown,
  unusable,
} from '../config/named-file.js';
import { PRESIGN_SECONDS_MAX } from '../contract/bounds.js';
import type { Issue } from '../contract/video-error.js';
import {
  DEFAULT_RECEIVER,
  DEFAULT_WEBHOOK_EVENTS,
  RECEIVER_NAME,
  WEBHOOK_EVENT_TYPES,
  type WebhookEventType,
} from '../contract/webhook.js';
import { SECRET_HINT, webhookKey } from './signature.js';

/** One receiver in the file that `WAN_VIDEO_WEBHOOK` names. */
export interface WebhookSettings {
  /** A secret, because its path and its query may hold a token. */
  readonly url: Secret;
  /** Host and port, as messages name the receiver. */
  readonly host: string;
  /** Every message is signed with each of them; empty: messages are not signed. */
  readonly secrets: readonly Secret[];
  readonly events: readonly WebhookEventType[];
  /** `standard`: the event as Standard Webhooks; `slack`: its text, as chats take it. */
  readonly format: WebhookFormat;
  /** How long a signed address of a video is valid that goes with its event, in seconds; undefined: none goes. */
  readonly linkSeconds: number | undefined;
}

/** How an event is written. */
export type WebhookFormat = 'standard' | 'slack';

/** The receivers by name; runs that name none report to `default`. */
export type WebhookReceiverSettings = ReadonlyMap<string, WebhookSettings>;

const FILE: NamedFile = {
  variable: 'WAN_VIDEO_WEBHOOK',
  title: 'webhook file',
  nextStep:
    'Write it as {"url":"https://hooks.example.com/wan-video","secret_file":"webhook.secret"}, ' +
    `or unset WAN_VIDEO_WEBHOOK. ${SECRET_HINT}`,
};
const URL_FAULT = 'must be an http or https address without user, password or fragment';
const LINK_FAULT = `must be a whole number of seconds from 1 to ${PRESIGN_SECONDS_MAX}`;
const EVENTS_FAULT = `must be a list of some of ${WEBHOOK_EVENT_TYPES.join(', ')}`;
const receiverFields = z.strictObject(
  {
    url: z.string({ error: URL_FAULT }).refine(isUsable, { error: URL_FAULT }),
    secret: z.string({ error: 'must be a text' }).optional(),
    secret_file: z.string({ error: 'must be the path of a file' }).min(1, 'must be the path of a file').optional(),
    events: z
      .array(z.enum(WEBHOOK_EVENT_TYPES, { error: EVENTS_FAULT }), { error: EVENTS_FAULT })
      .min(1, { error: EVENTS_FAULT })
      .optional(),
    format: z.enum(['standard', 'slack'], { error: 'must be standard or slack' }).optional(),
    link_seconds: z.int({ error: LINK_FAULT }).min(1, LINK_FAULT).max(PRESIGN_SECONDS_MAX, LINK_FAULT).optional(),
  },
  { error: unlessUnknown('must be one JSON object with url and secret_file') },
);

const NAME_FAULT = 'must be 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first';
const receiversFile = z.strictObject({
  receivers: z
    .record(z.string().regex(RECEIVER_NAME, NAME_FAULT), receiverFields, {
      error: 'must be an object of receivers by name',
    })
    .refine((receivers) => Object.keys(receivers).length > 0, { error: 'must name a receiver' }),
});

function isUsable(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, hash } = new URL(text);
  return /^https?:$/.test(protocol) && username === '' && password === '' && hash === '';
}

/**
 * Reads the file that `WAN_VIDEO_WEBHOOK` names, and the file with the secret.
 * @throws VideoError `ConfigurationInvalid` with all faults together, each with its field; no message holds a secret or
 * the URL.
 */
export async function readWebhook(file: string): Promise<WebhookReceiverSettings> {
  const text = await readNamedFile(FILE, file);
  // One receiver is the whole file, several are by name.
  const several = /"receivers"\s*:/.test(text) ? parseNamedFile(FILE, file, text, receiversFile) : undefined;
  const one = several === undefined ? parseNamedFile(FILE, file, text, receiverFields) : undefined;
  const issues = [...(several?.issues ?? one?.issues ?? [])];
  const given =
    several === undefined ? { [DEFAULT_RECEIVER]: one?.value } : membersOf(membersOf(several.value)['receivers']);
  const receivers = new Map<string, WebhookSettings>();
  for (const [name, value] of Object.entries(given)) {
    // Faults of a secret are reported even when another field is invalid.
    const secrets: Secret[] = [];
    const faults = isObject(value) ? await readSecrets(value as SecretFields, file, secrets) : [];
    const within = several === undefined ? '' : `receivers.${name}.`;
    issues.push(...faults.map(({ path, message }) => ({ path: within + path, message })));
    const fields = several === undefined ? one?.data : several.data?.receivers[name];
    if (fields === undefined) continue;
    const { url, events = DEFAULT_WEBHOOK_EVENTS, format = 'standard', link_seconds: linkSeconds } = fields;
    const host = new URL(url).host;
    receivers.set(name, {
      url: new Secret(url, file),
      host,
      secrets,
      events: [...new Set(events)],
      format,
      linkSeconds,
    });
  }
  if (issues.length > 0) throw unusable(FILE, file, issues);
  return receivers;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const membersOf = (value: unknown): Readonly<Record<string, unknown>> => (isObject(value) ? value : {});

interface SecretFields {
  readonly secret?: unknown;
  readonly secret_file?: unknown;
  readonly format?: unknown;
}

const SECRET_FAULT = 'must be whsec_ followed by the base64 of 24 to 64 random bytes';

/** Adds the secrets that it reads to `secrets`, and returns their faults. */
async function readSecrets(
  { secret, secret_file, format }: SecretFields,
  file: string,
  secrets: Secret[],
): Promise<Issue[]> {
  // The address of a chat's receiver is its secret.
  if (format === 'slack' && secret === undefined && secret_file === undefined) return [];
  if ((secret === undefined) === (secret_file === undefined)) {
    const message =
      secret === undefined
        ? 'is missing: name the file that holds it'
        : 'cannot be combined with secret; leave one of them out';
    return [{ path: 'secret_file', message }];
  }
  if (typeof secret === 'string') {
    if (webhookKey(secret.trim()) === undefined) return [{ path: 'secret', message: SECRET_FAULT }];
    secrets.push(new Secret(secret.trim(), file));
  }
  if (typeof secret_file !== 'string' || secret_file === '') return [];
  const path = resolve(dirname(file), secret_file);
  const { text, why } = await textOf(path);
  if (text === undefined) return [{ path: 'secret_file', message: `names ${path}, which ${why}` }];
  const lines = text.split(/\r?\n/).flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
  secrets.push(...lines.map((line) => new Secret(line, path)));
  const isGood = lines.length > 0 && lines.every((line) => webhookKey(line) !== undefined);
  return isGood ? [] : [{ path: 'secret_file', message: `names ${path}, whose every line ${SECRET_FAULT}` }];
}
