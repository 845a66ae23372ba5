import { createHash } from 'node:crypto';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore, PutOptions, PutOutcome, StoreOptions } from './asset-store.js';

/** A record is a request, a result and some times: a few kB. A larger one was not written by this program. */
export const RECORD_BYTES_MAX = 256 * 1024;

/** A JSON object as it was stored; its reader checks the fields. */
export type JsonRecord = Readonly<Record<string, unknown>>;

/**
 * Reads a small JSON object.
 * @returns `undefined` when nothing is at `key`.
 * @throws {@link VideoError} `RecordDamaged` when it is no JSON object, or larger than {@link RECORD_BYTES_MAX}.
 */
export async function readRecord(
  store: Pick<AssetStore, 'get' | 'name'>,
  key: string,
  options: StoreOptions = {},
): Promise<JsonRecord | undefined> {
  const chunks: Uint8Array[] = [];
  try {
    let bytes = 0;
    for await (const chunk of (await store.get(key, options)) as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > RECORD_BYTES_MAX) throw damaged(store, key, `is larger than ${RECORD_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof VideoError && error.type === FailureType.AssetNotFound) return undefined;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    // Without the parser's error as the cause: its message quotes the content.
    throw damaged(store, key, 'is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw damaged(store, key, 'is not a JSON object');
  }
  return value as JsonRecord;
}

/**
 * Writes a small JSON object.
 * @throws {@link VideoError} `InvalidRequest` when it would be larger than {@link RECORD_BYTES_MAX}, which no reader
 * accepts.
 */
export async function writeRecord(
  store: Pick<AssetStore, 'put' | 'name'>,
  key: string,
  record: object,
  options: Pick<PutOptions, 'ifAbsent' | 'signal'> = {},
): Promise<PutOutcome> {
  const body = Buffer.from(`${JSON.stringify(record)}\n`, 'utf8');
  if (body.length > RECORD_BYTES_MAX) {
    const message = `The record ${key} would have ${body.length} bytes; the maximum is ${RECORD_BYTES_MAX}`;
    throw new VideoError(FailureType.InvalidRequest, message, { nextStep: 'Shorten the labels and other free texts.' });
  }
  const sha256 = createHash('sha256').update(body).digest('hex');
  return store.put(key, body, { ...options, sha256, bytes: body.length, contentType: 'application/json' });
}

function damaged(store: Pick<AssetStore, 'name'>, key: string, fault: string): VideoError {
  return new VideoError(FailureType.RecordDamaged, `The record ${key} in the asset store ${store.name} ${fault}`, {
    nextStep: `Look at ${key}: restore it from a backup, or move it away if this program did not write it.`,
  });
}
