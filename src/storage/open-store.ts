import type { ServerMoment } from '../async/server-clock.js';
import type { Proxies } from '../net/proxies.js';
import type { AssetStore } from './asset-store.js';
import { FileStore } from './file-store.js';
import { S3Store } from './s3-store.js';

/** Where the asset store is; `ASSET_STORE` sets it. */
export type StoreLocation =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string };

/**
 * Opens the configured store; does no I/O.
 * @param proxies - Which connections to an S3 server go through a proxy; default: none.
 * @param onMoment - Called with the time in each answer of an S3 server.
 */
export function openStore(
  location: StoreLocation,
  proxies?: Proxies,
  onMoment?: (moment: ServerMoment) => void,
): AssetStore {
  return location.kind === 'file' ? new FileStore(location.path) : new S3Store({ ...location, proxies, onMoment });
}
