import { createHash, randomUUID } from 'node:crypto';
import { imageSize } from 'image-size';
import { type Clock, formatTime, HOUR } from './clock.js';
import { ACCESS_KEY_ID, type Signer } from './signature.js';
import { type Answer, type Json, StoreError } from './wire.js';

/** A file behind an `oss://` address. */
export interface Upload {
  key: string;
  model: string;
  account: string;
  expires_ms: number;
  bytes: number;
  /** Size in pixels; null when the bytes are no readable image. */
  image: { width: number; height: number } | null;
  /** SHA-256 under which the bytes are kept for the result; null: they are not. */
  picture: string | null;
}

/** Largest upload that a policy allows, in MiB. */
export const MAX_UPLOAD_MB = 100;

/** Documented life of an `oss://` address. */
const UPLOAD_LIFE = 48 * HOUR;
/** Documented `expire_in_seconds` of a policy. */
const POLICY_SECONDS = 300;

interface Conditions {
  upload_dir: string;
  model: string;
  account: string;
}

/** Upload policies, the object store's form upload, and what was uploaded. The bytes are kept only where `keep` does so. */
export class UploadStore {
  readonly #uploads = new Map<string, Upload>();
  readonly #now: Clock;
  readonly #signer: Signer;
  readonly #changed: () => void;
  readonly #keep: (bytes: Buffer) => string | null;

  constructor(now: Clock, signer: Signer, changed: () => void, keep: (bytes: Buffer) => string | null) {
    this.#now = now;
    this.#signer = signer;
    this.#changed = changed;
    this.#keep = keep;
  }

  all(): Upload[] {
    return [...this.#uploads.values()];
  }

  /** Takes over the uploads of an earlier process. */
  restore(uploads: readonly Upload[]): void {
    this.clear();
    for (const upload of uploads) this.#uploads.set(upload.key, upload);
  }

  clear(): void {
    this.#uploads.clear();
  }

  /** An upload that has not expired. */
  get(key: string): Upload | undefined {
    const upload = this.#uploads.get(key);
    return upload !== undefined && upload.expires_ms > this.#now() ? upload : undefined;
  }

  /** `data` of a getPolicy answer. */
  policy(model: string, account: string, origin: string): Json {
    const t = this.#now();
    const day = formatTime(t).slice(0, 10);
    const upload_dir = `dashscope-instant/${createHash('md5').update(account).digest('hex')}/${day}/${randomUUID()}`;
    const conditions: Conditions = { upload_dir, model, account };
    const expiration = new Date(t + POLICY_SECONDS * 1000).toISOString();
    const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString('base64');
    return {
      policy,
      signature: this.#signer.sign(policy),
      upload_dir,
      upload_host: `${origin}/oss-upload`,
      expire_in_seconds: POLICY_SECONDS,
      max_file_size_mb: MAX_UPLOAD_MB,
      capacity_limit_mb: 999_999_999,
      oss_access_key_id: ACCESS_KEY_ID,
      x_oss_object_acl: 'private',
      x_oss_forbid_overwrite: 'true',
    };
  }

  /** Takes a form upload. @throws StoreError for a bad form, signature, policy, key or size, and for a name that exists. */
  store(contentType: string, body: Buffer): Answer {
    const parts = multipart(contentType, body);
    const file = parts.at(-1);
    if (file?.name !== 'file') throw new StoreError(400, 'InvalidArgument', 'The file must be the last form field.');
    const fields = new Map(parts.slice(0, -1).map((part) => [part.name, part.data.toString('utf8')]));
    const { model, account, upload_dir } = this.#conditions(fields);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the store's own placeholder
    const key = (fields.get('key') ?? '').replaceAll('${filename}', file.filename ?? 'file');
    if (!key.startsWith(`${upload_dir}/`)) {
      throw denied('Invalid according to Policy: Policy Condition failed: starts-with $key.');
    }
    if (file.data.length > MAX_UPLOAD_MB * 1024 * 1024) {
      throw new StoreError(400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size.');
    }
    if (this.get(key) !== undefined) {
      const message = 'The object you specified already exists and can not be overwritten.';
      throw new StoreError(409, 'FileAlreadyExists', message);
    }
    const expires_ms = this.#now() + UPLOAD_LIFE;
    const bytes = file.data.length;
    const [image, picture] = [imageDimensions(file.data), this.#keep(file.data)];
    this.#uploads.set(key, { key, model, account, expires_ms, bytes, image, picture });
    this.#changed();
    const status = Number(fields.get('success_action_status') ?? 204);
    return { status: [200, 201, 204].includes(status) ? status : 204, body: '' };
  }

  #conditions(fields: ReadonlyMap<string, string>): Conditions {
    if (fields.get('OSSAccessKeyId') !== ACCESS_KEY_ID) {
      const message = 'The OSS Access Key Id you provided does not exist in our records.';
      throw new StoreError(403, 'InvalidAccessKeyId', message);
    }
    const policy = fields.get('policy') ?? '';
    if (!this.#signer.verified(policy, fields.get('Signature') ?? '')) {
      throw new StoreError(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match.');
    }
    const { expiration, conditions } = JSON.parse(Buffer.from(policy, 'base64').toString('utf8')) as {
      expiration: string;
      conditions: Conditions;
    };
    if (Date.parse(expiration) <= this.#now()) throw denied('Invalid according to Policy: Policy expired.');
    return conditions;
  }
}

/** Size in pixels of a JPEG, PNG, BMP or WEBP image; null for anything else. */
export function imageDimensions(bytes: Buffer): { width: number; height: number } | null {
  const start = bytes.subarray(0, 12).toString('latin1');
  if (!/^(\xff\xd8\xff|\x89PNG\r\n|BM|RIFF[\s\S]{4}WEBP)/.test(start)) return null;
  try {
    const { width, height } = imageSize(bytes);
    return width > 0 && height > 0 ? { width, height } : null;
  } catch {
    return null;
  }
}

function denied(message: string): StoreError {
  return new StoreError(403, 'AccessDenied', message);
}

interface Part {
  name: string;
  filename: string | undefined;
  data: Buffer;
}

/** Splits a multipart/form-data body. */
function multipart(contentType: string, body: Buffer): Part[] {
  const match = /boundary=(?:"([^"]+)"|([^;]+))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2]?.trim();
  const malformed = new StoreError(400, 'MalformedPOSTRequest', 'The body is not well-formed multipart/form-data.');
  if (boundary === undefined) throw malformed;
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const all = Buffer.concat([Buffer.from('\r\n'), body]); // so that the first delimiter looks like the others
  const parts: Part[] = [];
  let at = all.indexOf(delimiter);
  for (;;) {
    if (at < 0) throw malformed;
    const start = at + delimiter.length;
    if (all.toString('latin1', start, start + 2) === '--') return parts;
    const head = all.indexOf('\r\n\r\n', start);
    at = all.indexOf(delimiter, start);
    if (head < 0 || at < 0) throw malformed;
    const headers = all.toString('utf8', start, head);
    parts.push({
      name: /[; ]name="?([^";\r\n]*)"?/i.exec(headers)?.[1] ?? '',
      filename: /filename="?([^";\r\n]*)"?/i.exec(headers)?.[1],
      data: all.subarray(head + 4, Math.max(head + 4, at)),
    });
  }
}
