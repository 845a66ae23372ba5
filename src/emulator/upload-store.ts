import { createHash, randomUUID } from 'node:crypto';
import { type Clock, formatTime, HOUR } from './clock.js';
import { type ImageSize, imageSizeOf } from './image.js';
import { readForm } from './multipart.js';
import { ACCESS_KEY_ID, type Signer } from './signer.js';
import { type HttpResponse, type Json, StoreError } from './wire.js';

/** A file at an `oss://` address. */
export interface Upload {
  key: string;
  model: string;
  account: string;
  expires_ms: number;
  bytes: number;
  /** Size in pixels; null when the bytes are not a readable image. */
  image: ImageSize | null;
  /** SHA-256 of the bytes when they are stored for the result, else null. */
  picture: string | null;
}

/** Dependencies of an {@link UploadStore}. */
interface UploadStoreOptions {
  readonly now: Clock;
  readonly signer: Signer;
  readonly onChange: () => void;
  /** Stores the bytes if results show them, and returns their name. */
  readonly storePicture: (bytes: Buffer) => string | null;
}

/** Largest upload that a policy allows, in MiB. */
export const MAX_UPLOAD_MB = 100;

/** Documented lifetime of an `oss://` address. */
const UPLOAD_LIFETIME_MS = 48 * HOUR;
/** Documented `expire_in_seconds` of a policy. */
const POLICY_SECONDS = 300;

/** Conditions that a policy sets for an upload. */
interface Conditions {
  upload_dir: string;
  model: string;
  account: string;
}

/** Upload policies, the object store's form upload, and the properties (not the bytes) of the uploads. */
export class UploadStore {
  readonly #uploads = new Map<string, Upload>();
  readonly #options: UploadStoreOptions;

  constructor(options: UploadStoreOptions) {
    this.#options = options;
  }

  all(): Upload[] {
    return [...this.#uploads.values()];
  }

  /** Continues with the uploads of an earlier process. */
  restore(uploads: readonly Upload[]): void {
    for (const upload of uploads) this.#uploads.set(upload.key, upload);
  }

  clear(): void {
    this.#uploads.clear();
  }

  /** Returns an upload that has not expired. */
  get(key: string): Upload | undefined {
    const upload = this.#uploads.get(key);
    return upload !== undefined && upload.expires_ms > this.#options.now() ? upload : undefined;
  }

  /** Returns `data` of a getPolicy answer. */
  createPolicy(model: string, account: string, origin: string): Json {
    const t = this.#options.now();
    const day = formatTime(t).slice(0, 10);
    const upload_dir = `dashscope-instant/${createHash('md5').update(account).digest('hex')}/${day}/${randomUUID()}`;
    const conditions: Conditions = { upload_dir, model, account };
    const expiration = new Date(t + POLICY_SECONDS * 1000).toISOString();
    const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString('base64');
    return {
      policy,
      signature: this.#options.signer.sign(policy),
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

  /**
   * Stores a form upload.
   * @throws StoreError for a malformed form, an invalid signature, policy or key, a key that exists, or a large file.
   */
  async store(contentType: string, body: Buffer): Promise<HttpResponse> {
    const { now, onChange, storePicture } = this.#options;
    const parts = readForm(contentType, body);
    const file = parts.at(-1);
    if (file?.name !== 'file') throw new StoreError(400, 'InvalidArgument', 'The file must be the last form field.');
    const fields = new Map(parts.slice(0, -1).map((part) => [part.name, part.data.toString('utf8')]));
    const { model, account, upload_dir } = this.#readPolicy(fields);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the store's own placeholder
    const key = (fields.get('key') ?? '').replaceAll('${filename}', file.filename ?? 'file');
    if (!key.startsWith(`${upload_dir}/`)) {
      throw accessDenied('Invalid according to Policy: Policy Condition failed: starts-with $key.');
    }
    if (file.data.length > MAX_UPLOAD_MB * 1024 * 1024) {
      throw new StoreError(400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size.');
    }
    const image = await imageSizeOf(file.data);
    if (this.get(key) !== undefined) {
      const message = 'The object you specified already exists and can not be overwritten.';
      throw new StoreError(409, 'FileAlreadyExists', message);
    }
    this.#uploads.set(key, {
      key,
      model,
      account,
      expires_ms: now() + UPLOAD_LIFETIME_MS,
      bytes: file.data.length,
      image,
      picture: storePicture(file.data),
    });
    onChange();
    const status = Number(fields.get('success_action_status') ?? 204);
    return { status: [200, 201, 204].includes(status) ? status : 204, body: '' };
  }

  /** Returns the conditions of the form's policy. @throws StoreError for a policy that is not valid. */
  #readPolicy(fields: ReadonlyMap<string, string>): Conditions {
    if (fields.get('OSSAccessKeyId') !== ACCESS_KEY_ID) {
      const message = 'The OSS Access Key Id you provided does not exist in our records.';
      throw new StoreError(403, 'InvalidAccessKeyId', message);
    }
    const policy = fields.get('policy') ?? '';
    if (!this.#options.signer.isValid(policy, fields.get('Signature') ?? '')) {
      throw new StoreError(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match.');
    }
    const { expiration, conditions } = JSON.parse(Buffer.from(policy, 'base64').toString('utf8')) as {
      expiration: string;
      conditions: Conditions;
    };
    if (Date.parse(expiration) <= this.#options.now()) {
      throw accessDenied('Invalid according to Policy: Policy expired.');
    }
    return conditions;
  }
}

function accessDenied(message: string): StoreError {
  return new StoreError(403, 'AccessDenied', message);
}
