import { createHash } from 'node:crypto';
import type { AssetStore, StoreOptions } from './asset-store.js';

/** SHA-256 (hex) of an object, computed from its bytes because not every store keeps it. */
export async function contentHash(store: AssetStore, key: string, options: StoreOptions): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of await store.get(key, options)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
