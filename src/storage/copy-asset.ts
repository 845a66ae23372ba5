import { VideoError } from '../contract/video-error.js';
import type { AssetInfo, AssetStore, CopyOutcome, PutOptions, StoreOptions } from './asset-store.js';
import { contentHash } from './content-hash.js';

/** A copy inside a store. */
export interface AssetCopy {
  readonly from: string;
  readonly to: string;
  /** SHA-256 (hex) of the content. */
  readonly sha256: string;
  readonly contentType: string;
}

/**
 * `present`: the same content is there, from an earlier attempt; `taken`: another object is there, and stays;
 * `damaged`: the source, or the copy of it, has another content than it should; `missing`: there is no source.
 */
export type CopyResult = 'copied' | 'present' | 'taken' | 'damaged' | 'missing';

/**
 * Copies an object to another key of the store, and verifies it; never replaces another object. Doing it again changes
 * nothing.
 * @throws what the store rejects with, when it is away.
 */
export async function copyAsset(store: AssetStore, copy: AssetCopy, options: StoreOptions = {}): Promise<CopyResult> {
  const { from, to, sha256, contentType } = copy;
  const there = await store.head(to, options);
  const source = await store.head(from, options);
  if (there !== undefined) {
    const isSame =
      (source === undefined || there.bytes === source.bytes) && (await hasContent(store, there, sha256, options));
    return isSame ? 'present' : 'taken';
  }
  if (source === undefined) return 'missing';
  const { bytes } = source;
  const how = { ...options, ifAbsent: true, sha256, bytes, contentType } as const;
  try {
    // Equal tags prove only that the copy is the source; so the source must be the one that is meant.
    const inside = source.sha256 === sha256 ? store.copy?.(from, to, how) : undefined;
    const { stored, verified } = await (inside ?? streamed(store, from, to, how));
    const made = await store.head(to, options);
    // A lost reply hides our own copy, so the content decides and not who wrote it.
    const isRight =
      made?.bytes === bytes &&
      ((stored && verified) || (await hasContent(store, { ...made, sha256: undefined }, sha256, options)));
    if (isRight) return stored ? 'copied' : 'present';
    if (!stored) return 'taken';
    // It says that it has the content, and the next look would believe it.
    await store.delete(to, options);
    return 'damaged';
  } catch (error) {
    if (error instanceof VideoError && error.code === 'BodyMismatch') return 'damaged';
    throw error;
  }
}

/** Copies through this process. The put itself verifies what passes. */
async function streamed(store: AssetStore, from: string, to: string, how: PutOptions): Promise<CopyOutcome> {
  return { ...(await store.put(to, await store.get(from, { signal: how.signal }), how)), verified: true };
}

/** Whether an object has this content; it is read where the store keeps no checksum. */
async function hasContent(store: AssetStore, info: AssetInfo, sha256: string, options: StoreOptions): Promise<boolean> {
  return (info.sha256 ?? (await contentHash(store, info.key, options))) === sha256;
}
