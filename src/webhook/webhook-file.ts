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
import type { Issue } from '../contract/video-error.js';
import { WEBHOOK_EVENT_TYPES, type WebhookEvents } from '../contract/webhook.js';
import { SECRET_HINT, webhookKey } from './signature.js';

/** The settings in the file that `WAN_VIDEO_WEBHOOK` names. */
export interface WebhookSettings {
  /** A secret, because its path and its query may hold a token. */
  readonly url: Secret;
  /** Host and port, as messages name the receiver. */
  readonly host: string;
  /** Every message is signed with each of them. */
  readonly secrets: readonly Secret[];
  readonly events: WebhookEvents;
}

const FILE: NamedFile = {
  variable: 'WAN_VIDEO_WEBHOOK',
  title: 'webhook file',
  nextStep:
    'Write it as {"url":"https://hooks.example.com/wan-video","secret_file":"webhook.secret"}, ' +
    `or unset WAN_VIDEO_WEBHOOK. ${SECRET_HINT}`,
};
const URL_FAULT = 'must be an http or https address without user, password or fragment';
const EVENTS_FAULT = `must be a list of some of ${WEBHOOK_EVENT_TYPES.join(', ')}`;
const webhookFile = z.strictObject(
  {
    url: z.string({ error: URL_FAULT }).refine(isUsable, { error: URL_FAULT }),
    secret: z.string({ error: 'must be a text' }).optional(),
    secret_file: z.string({ error: 'must be the path of a file' }).min(1, 'must be the path of a file').optional(),
    events: z
      .array(z.enum(WEBHOOK_EVENT_TYPES, { error: EVENTS_FAULT }), { error: EVENTS_FAULT })
      .min(1, { error: EVENTS_FAULT })
      .optional(),
  },
  { error: unlessUnknown('must be one JSON object with url and secret_file') },
);

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
export async function readWebhook(file: string): Promise<WebhookSettings> {
  const { value, data, issues: faults } = parseNamedFile(FILE, file, await readNamedFile(FILE, file), webhookFile);
  const secrets: Secret[] = [];
  const issues = [
    ...faults,
    // Faults of the secret are reported even when the URL is invalid.
    ...(typeof value === 'object' && value !== null && !Array.isArray(value)
      ? await readSecrets(value as SecretFields, file, secrets)
      : []),
  ];
  if (data === undefined || issues.length > 0) throw unusable(FILE, file, issues);
  const { url, events = WEBHOOK_EVENT_TYPES } = data;
  return { url: new Secret(url, file), host: new URL(url).host, secrets, events: [...new Set(events)] };
}

interface SecretFields {
  readonly secret?: unknown;
  readonly secret_file?: unknown;
}

const SECRET_FAULT = 'must be whsec_ followed by the base64 of 24 to 64 random bytes';

/** Adds the secrets that it reads to `secrets`, and returns their faults. */
async function readSecrets({ secret, secret_file }: SecretFields, file: string, secrets: Secret[]): Promise<Issue[]> {
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
