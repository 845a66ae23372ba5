import type { Readable } from 'node:stream';

/** Bytes to store, whole or as a stream. */
export type ByteStream = Uint8Array | AsyncIterable<Uint8Array>;

/** Options of every call. */
export interface StoreOptions {
  /** Ends the call with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Which part of an object is read. */
export interface GetOptions extends StoreOptions {
  /** First byte wanted; default 0. */
  readonly from?: number | undefined;
  /** Last byte wanted, inclusive; default: to the end. */
  readonly to?: number | undefined;
}

/** How an object is written. */
export interface PutOptions extends StoreOptions {
  /** Store only when the key is free; default false: replace what is there. */
  readonly ifAbsent?: boolean | undefined;
  /** SHA-256 (hex) of the whole body when it is known; a body with another one is refused and stays invisible. */
  readonly sha256?: string | undefined;
  /** Length of the body in bytes when it is known; a body of another length is refused and stays invisible. */
  readonly bytes?: number | undefined;
  /** MIME type; default `application/octet-stream`. */
  readonly contentType?: string | undefined;
}

/** Where a list begins. */
export interface ListOptions extends StoreOptions {
  /** Only keys behind this one, itself excluded; default: from the start of the prefix. */
  readonly after?: string | undefined;
}

/** How an address is signed. */
export interface PresignOptions extends StoreOptions {
  /** How long the address is valid, in seconds; at most seven days. */
  readonly seconds: number;
}

/** `stored: false` means that `ifAbsent` was set and the key was taken. */
export interface PutOutcome {
  readonly stored: boolean;
}

/** A put whose content may have been compared without reading it. */
export interface CopyOutcome extends PutOutcome {
  /** Whether the store has proved that the bytes are those of the source. */
  readonly verified: boolean;
}

/** Keys that one request lists at most (S3's own limit). */
export const LIST_PAGE = 1_000;

/** What is known of a stored object. */
export interface AssetInfo {
  readonly key: string;
  readonly bytes: number;
  /** SHA-256 (hex) that the writer gave; undefined where the store keeps none. */
  readonly sha256?: string | undefined;
  readonly contentType?: string | undefined;
  /** Milliseconds since the epoch, by the store's clock. */
  readonly modifiedAtMs: number;
}

/**
 * Where references, videos, records and manifests live. Keys are relative, `/`-separated, made by `keys.ts`.
 *
 * Every promise and stream rejects with a `VideoError` that names key and store: `StoreUnavailable`, retryable, on I/O
 * faults; `ConfigurationInvalid` where the store is set up wrongly (bucket, credentials, permission, clock), retryable
 * too, because it can be fixed while a paid task waits; `InvalidRequest` for a malformed key. On abort it rejects,
 * unchanged, with the signal's reason.
 */
export interface AssetStore {
  /** Describes what is at `key`; `undefined` when nothing is there. */
  head(key: string, options?: StoreOptions): Promise<AssetInfo | undefined>;
  /** Streams `key`; a range beyond its end is empty. Rejects with a `VideoError` `AssetNotFound` if there is none. */
  get(key: string, options?: GetOptions): Promise<Readable>;
  /**
   * Writes `key`; visible only when whole, on disk, and right in length and checksum.
   *
   * A fault of the body itself is rethrown unchanged, and a `Readable` body is destroyed in any case. A put that
   * rejects with `StoreUnavailable` may have been stored all the same, so a repeated conditional put can lose against
   * the first one. A caller that must know writes a token of its own and reads it back.
   */
  put(key: string, body: ByteStream, options?: PutOptions): Promise<PutOutcome>;
  /**
   * Every object whose key begins with `prefix`, in ascending order of keys, page by page behind the scenes; the infos
   * may lack checksum and type. A page holds 1,000 keys at most, and none is requested before it is needed.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<AssetInfo>;
  /** Removes `key`; no error when nothing is there. */
  delete(key: string, options?: StoreOptions): Promise<void>;
  /** The stable address of `key` (`file:` or `s3:`; never signed); does no I/O. */
  url(key: string): string;
  /**
   * The store's own clock, as its answers have shown it: milliseconds since the epoch. Undefined where a store has no
   * clock of its own, or before its first answer.
   */
  now?(): number | undefined;
  /**
   * Signs an address under which anyone can read `key` until it expires; it is a secret until then. Sends no request.
   * Absent where nothing has an https address.
   */
  presign?(key: string, options: PresignOptions): Promise<string>;
  /**
   * Copies `from` to `to` inside the store, as {@link put} writes, without passing the bytes through this process where
   * the server can do so. Absent where that saves nothing; `copyAsset` copies in any store, and verifies.
   */
  copy?(from: string, to: string, options?: PutOptions): Promise<CopyOutcome>;
  /** Names the store in messages, such as its directory or bucket; holds no secret. */
  readonly name: string;
}
