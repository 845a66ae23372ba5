import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { Semaphore } from '../async/semaphore.js';
import { ServerClock, type ServerMoment } from '../async/server-clock.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type {
  AssetInfo,
  AssetStore,
  ByteStream,
  CopyOutcome,
  GetOptions,
  ListOptions,
  PresignOptions,
  PutOptions,
  PutOutcome,
  StoreOptions,
} from './asset-store.js';
import { forwardStream, VerifyingStream } from './body.js';
import { copyParts, type PutTarget } from './s3-copy.js';
import { causeOf, faultOf, isConflict, isTaken, s3Error } from './s3-errors.js';
import { type CreateOnly, makeSdk, type S3StoreOptions, type SdkHooks } from './s3-sdk.js';
import { isKeySegment, keySegments } from './store-key.js';

/** Up to here a body is one request: a 5 s video has 5 to 6 MB. */
const WHOLE_BYTES = 8 * 1024 * 1024;
/** S3's least; its 10,000 parts then carry 48 GiB, and a video has at most some 200 MB. */
const PART_BYTES = 5 * 1024 * 1024;
/** Two keep the line busy while the next part fills; more only cost memory. */
const PARTS_AT_ONCE = 2;
/**
 * Each streamed put holds 10 MiB and leaves as much to the garbage collector: 20 at a time grow the process by 494 MiB
 * (measured), 4 at a time by 140.
 */
const STREAMS_AT_ONCE = 4;
/** Retries after a conflict, 50, 100, 200 and 400 ms apart: one of the writers wins each round, so few are needed. */
const CONFLICT_RETRIES = 4;
/** A renewed credentials file is used within this time; at once after the store has refused the earlier ones. */
const RENEW_MS = 60_000;
/** Metadata (`x-amz-meta-…`) that distinguishes our own put from another one after a reply was lost. */
const PUT_ID = 'put-id';

/** Signing sends nothing. */
const NO_HOOKS: SdkHooks = {
  requestHandler: undefined,
  createOnly: () => undefined,
  onMoment: () => undefined,
  onRefused: () => undefined,
};

/**
 * Stores assets as objects below a prefix of an S3 bucket.
 *
 * Endpoint, region and credentials come from the AWS SDK's own environment (`AWS_ENDPOINT_URL_S3`, `AWS_REGION`, keys,
 * profiles, roles). Static credentials are read again every minute, because the SDK would keep them until the process
 * ends; those with an expiry are renewed by the SDK. The caller's SHA-256 is kept as metadata `sha256`. A process that
 * dies in the middle of a large put leaves invisible parts: give the bucket a lifecycle rule
 * `AbortIncompleteMultipartUpload` of one day.
 *
 * A conditional put sends `If-None-Match: *`. Alibaba OSS answers that with 501 and receives its own
 * `x-oss-forbid-overwrite` from then on. When the SDK repeats a put because the reply was lost, the second one meets
 * the first; the metadata `put-id` then shows that the object is ours. A put that ends with `StoreUnavailable` may have
 * been stored all the same.
 */
export class S3Store implements AssetStore {
  readonly name: string;
  readonly #options: S3StoreOptions;
  readonly #prefix: string;
  readonly #streams = new Semaphore(STREAMS_AT_ONCE);
  readonly #clock = new ServerClock();
  #sdk: Promise<Sdk> | undefined;
  #signer: { readonly of: Promise<Sdk>; readonly sdk: Promise<Sdk> } | undefined;
  /** Monotonic milliseconds from which on the credentials are read again. */
  #renewAtMs = 0;
  #refused = false;
  #createOnly: CreateOnly | undefined;

  constructor(options: S3StoreOptions) {
    const { bucket, prefix = '' } = options;
    this.#options = options;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.name = `s3://${bucket}/${prefix}`.replace(/\/$/, '');
  }

  async head(key: string, { signal }: StoreOptions = {}): Promise<AssetInfo | undefined> {
    return (await this.#head(key, signal))?.info;
  }

  async get(key: string, { signal, from = 0, to }: GetOptions = {}): Promise<Readable> {
    const object = this.#object(key);
    const range = from === 0 && to === undefined ? {} : { Range: `bytes=${from}-${to ?? ''}` };
    try {
      const { client, s3 } = await this.#open(signal);
      const answer = await client.send(new s3.GetObjectCommand({ ...object, ...range }), abortOptions(signal));
      return forwardStream(answer.Body as Readable, (cause) => s3Error(this.name, 'read', key, cause), signal);
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      const { name, status } = faultOf(cause);
      if (status === 416) return Readable.from([]); // the range begins at or beyond the end
      if (name !== 'NoSuchKey') throw s3Error(this.name, 'read', key, cause);
      throw new VideoError(FailureType.AssetNotFound, `${key} is not in the asset store ${this.name}`, {
        cause: causeOf(cause),
      });
    }
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<PutOutcome> {
    const { signal, ifAbsent = false } = options;
    const { target, putId } = this.#targetOf(key, options);
    const verifying = new VerifyingStream(key, body, options);
    try {
      if (body instanceof Uint8Array && body.length <= WHOLE_BYTES) {
        for await (const _ of verifying); // verifies only: the body is in memory
        await this.#putWhole(target, body, signal);
      } else {
        if (ifAbsent && this.#createOnly === undefined) await this.#learnCreateOnly(signal);
        const partSize = (options.bytes ?? Infinity) <= WHOLE_BYTES ? WHOLE_BYTES : PART_BYTES;
        await this.#streams.run(() => this.#putParts(target, verifying, partSize, signal), signal);
      }
      return { stored: true };
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      if (verifying.fault !== undefined) throw verifying.fault.error;
      const outcome = await this.#outcomeBehind(cause, key, putId, signal);
      if (outcome !== undefined) return outcome;
      throw s3Error(this.name, 'write', key, cause);
    } finally {
      if (body instanceof Readable) body.destroy(); // also one that was never read
    }
  }

  async copy(from: string, to: string, options: PutOptions = {}): Promise<CopyOutcome> {
    const { signal, ifAbsent = false } = options;
    const { target, putId } = this.#targetOf(to, options);
    try {
      if (ifAbsent && this.#createOnly === undefined) await this.#learnCreateOnly(signal);
      const { client, s3 } = await this.#open(signal);
      const source = this.#object(from);
      const verified = await copyParts({ client, s3, source, target, partBytes: PART_BYTES, signal });
      if (verified !== undefined) return { stored: true, verified };
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      const outcome = await this.#outcomeBehind(cause, to, putId, signal);
      if (outcome !== undefined) return { ...outcome, verified: false };
      throw s3Error(this.name, 'write', to, cause);
    }
    return {
      ...(await this.put(to, await this.get(from, { signal }), options)),
      verified: options.sha256 !== undefined,
    };
  }

  async *list(prefix: string, { signal, after }: ListOptions = {}): AsyncGenerator<AssetInfo> {
    const StartAfter = after === undefined ? undefined : this.#prefix + after;
    const where = { Bucket: this.#options.bucket, Prefix: this.#prefix + prefix, StartAfter };
    try {
      const { client, s3 } = await this.#open(signal);
      let ContinuationToken: string | undefined;
      do {
        const command = new s3.ListObjectsV2Command({ ...where, ContinuationToken });
        const page = await client.send(command, abortOptions(signal));
        for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
          const key = Key.slice(this.#prefix.length);
          // Folder markers, and other objects that this program did not write.
          if (!key.split('/').every(isKeySegment)) continue;
          yield { key, bytes: Size, modifiedAtMs: LastModified?.getTime() ?? 0 };
          signal?.throwIfAborted();
        }
        ContinuationToken = page.NextContinuationToken;
      } while (ContinuationToken !== undefined);
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      throw s3Error(this.name, 'list', prefix, cause);
    }
  }

  async delete(key: string, { signal }: StoreOptions = {}): Promise<void> {
    const object = this.#object(key);
    try {
      const { client, s3 } = await this.#open(signal);
      await client.send(new s3.DeleteObjectCommand(object), abortOptions(signal));
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      if (faultOf(cause).name !== 'NoSuchKey') throw s3Error(this.name, 'delete', key, cause);
    }
  }

  now(): number | undefined {
    return this.#clock.now();
  }

  url(key: string): string {
    const { Bucket, Key } = this.#object(key);
    return `s3://${Bucket}/${Key}`;
  }

  async presign(key: string, { seconds, signal }: PresignOptions): Promise<string> {
    const object = this.#object(key);
    try {
      const [{ client, s3 }, { getSignedUrl }] = await Promise.all([
        this.#openSigner(signal),
        import('@aws-sdk/s3-request-presigner').catch(refuseWithoutSdk),
      ]);
      return await getSignedUrl(client, new s3.GetObjectCommand(object), { expiresIn: seconds });
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      throw s3Error(this.name, 'read', key, cause);
    }
  }

  /** Where and how an object is written, with an id by which the put recognizes it. */
  #targetOf(key: string, { ifAbsent = false, sha256, contentType = 'application/octet-stream' }: PutOptions) {
    const putId = randomUUID();
    const target: PutTarget = {
      ...this.#object(key),
      ContentType: contentType,
      Metadata: { ...(sha256 !== undefined && { sha256 }), [PUT_ID]: putId },
      ...(ifAbsent && { IfNoneMatch: '*' }),
    };
    return { target, putId };
  }

  #object(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#options.bucket, Key: this.#prefix + keySegments(key).join('/') };
  }

  /** The SDK that signs addresses. The signature covers the host, so that another one needs a client of its own. */
  async #openSigner(signal: AbortSignal | undefined): Promise<Sdk> {
    const { presignEndpoint: endpoint, client } = this.#options;
    const opened = this.#open(signal);
    if (endpoint === undefined) return opened;
    // With the renewed credentials, whenever there are some.
    if (this.#signer?.of !== opened) {
      this.#signer = { of: opened, sdk: openSdk({ ...this.#options, client: { ...client, endpoint } }, NO_HOOKS) };
    }
    return this.#signer.sdk;
  }

  #open(signal: AbortSignal | undefined): Promise<Sdk> {
    signal?.throwIfAborted();
    if (this.#sdk === undefined || performance.now() >= this.#renewAtMs) {
      this.#renewAtMs = performance.now() + RENEW_MS;
      this.#sdk = this.#renew(this.#sdk);
    }
    return this.#sdk;
  }

  /** Opens the SDK with the credentials that are configured now, over the connections that are open already. */
  async #renew(earlier: Promise<Sdk> | undefined): Promise<Sdk> {
    const before = await earlier?.catch(() => undefined);
    const isKept = this.#options.client?.credentials !== undefined || (!this.#refused && (await before?.expires()));
    this.#refused = false;
    if (before !== undefined && isKept) return before;
    return openSdk(this.#options, {
      requestHandler: before?.client.config.requestHandler,
      createOnly: () => this.#createOnly,
      onMoment: (moment) => this.#observe(moment),
      onRefused: () => {
        this.#refused = true;
        this.#renewAtMs = 0;
      },
    });
  }

  #observe(moment: ServerMoment): void {
    this.#clock.observe(moment);
    this.#options.onMoment?.(moment);
  }

  async #head(key: string, signal: AbortSignal | undefined): Promise<{ info: AssetInfo; putId?: string } | undefined> {
    const object = this.#object(key);
    try {
      const { client, s3 } = await this.#open(signal);
      const answer = await client.send(new s3.HeadObjectCommand(object), abortOptions(signal));
      const { sha256, [PUT_ID]: putId } = answer.Metadata ?? {};
      const info: AssetInfo = {
        key,
        bytes: answer.ContentLength ?? 0,
        modifiedAtMs: answer.LastModified?.getTime() ?? 0,
        ...(sha256 !== undefined && { sha256 }),
        ...(answer.ContentType !== undefined && { contentType: answer.ContentType }),
      };
      return { info, ...(putId !== undefined && { putId }) };
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      // A HEAD has no body: 404 may also mean a wrong bucket or access key, which the listing at start-up detects.
      if (faultOf(cause).status === 404) return undefined;
      throw s3Error(this.name, 'read', key, cause);
    }
  }

  /** Sends the body in one request; the SDK may repeat it, because the body is in memory. */
  async #putWhole(target: PutTarget, body: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const { client, s3 } = await this.#open(signal);
    const createsOnly = target.IfNoneMatch !== undefined;
    for (let retries = 0; ; ) {
      const mode = this.#createOnly;
      try {
        await client.send(new s3.PutObjectCommand({ ...target, Body: body }), abortOptions(signal));
        if (createsOnly) this.#createOnly ??= 'if-none-match';
        return;
      } catch (cause) {
        const fault = faultOf(cause);
        // Only as the first answer: a store that has accepted the header keeps receiving it.
        if (createsOnly && fault.status === 501 && mode === undefined) {
          this.#createOnly ??= 'oss-forbid-overwrite';
        } else if (isConflict(fault) && retries < CONFLICT_RETRIES) {
          await delay(50 * 2 ** retries++, undefined, signal && { signal });
        } else {
          if (createsOnly && isTaken(fault)) this.#createOnly ??= 'if-none-match';
          throw cause;
        }
      }
    }
  }

  /** Streams the body, in parts unless it fits into one. Rejects only after the parts already sent are removed. */
  async #putParts(
    target: PutTarget,
    body: VerifyingStream,
    partSize: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { client, s3, Upload } = await this.#open(signal);
    // The library's own abort may keep parts in the bucket, and may still complete. Instead the body ends with the
    // signal's reason; then the library removes the parts and waits for that. The transfers alone end at once.
    const transfer = Object.create(client, {
      send: {
        value: (command: Parameters<S3Client['send']>[0]) =>
          client.send(
            command,
            command instanceof s3.UploadPartCommand || command instanceof s3.PutObjectCommand
              ? abortOptions(signal)
              : {},
          ),
      },
    }) as S3Client;
    const source = Readable.from(body, { objectMode: false });
    const params = { ...target, Body: source };
    await new Upload({ client: transfer, params, partSize, queueSize: PARTS_AT_ONCE }).done();
  }

  /** Finds out which header the store accepts, before a body that cannot be sent twice. */
  async #learnCreateOnly(signal: AbortSignal | undefined): Promise<void> {
    const probe = this.#object(`probes/${randomUUID()}`);
    await this.#putWhole({ ...probe, IfNoneMatch: '*' }, new Uint8Array(), signal);
    const { client, s3 } = await this.#open(signal);
    await client.send(new s3.DeleteObjectCommand(probe), abortOptions(signal));
  }

  /** What became of a failed put, if it can be known: the key was taken, or our object is stored and the reply lost. */
  async #outcomeBehind(
    cause: unknown,
    key: string,
    putId: string,
    signal: AbortSignal | undefined,
  ): Promise<PutOutcome | undefined> {
    const fault = faultOf(cause);
    // NoSuchUpload: a repeated completion finds that the first one has used the parts up.
    if (!isTaken(fault) && !isConflict(fault) && fault.name !== 'NoSuchUpload') return undefined;
    const there = await this.#head(key, signal);
    if (there?.putId === putId) return { stored: true };
    return isTaken(fault) || (isConflict(fault) && there !== undefined) ? { stored: false } : undefined;
  }
}

type Sdk = Awaited<ReturnType<typeof openSdk>>;

/** Loads the AWS SDK with the first call: it takes a tenth of a second, which a `file:` store need not spend. */
async function openSdk(options: S3StoreOptions, hooks: SdkHooks) {
  const [s3, { Upload }] = await Promise.all([import('@aws-sdk/client-s3'), import('@aws-sdk/lib-storage')]).catch(
    refuseWithoutSdk,
  );
  return { ...makeSdk(s3, options, hooks), Upload };
}

function abortOptions(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}

/** The thin client comes without the AWS SDK. */
function refuseWithoutSdk(cause: unknown): never {
  if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
  throw new VideoError(FailureType.ConfigurationInvalid, 'A store in S3 needs the AWS SDK, which is not installed', {
    cause,
    nextStep: 'Install it: npm install @aws-sdk/client-s3 @aws-sdk/lib-storage @aws-sdk/s3-request-presigner',
  });
}
