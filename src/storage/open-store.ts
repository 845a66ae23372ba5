import type { S3ClientConfig } from '@aws-sdk/client-s3';
import type { ServerMoment } from '../async/server-clock.js';
import type { Proxies } from '../net/proxies.js';
import type { AssetStore } from './asset-store.js';
import { FileStore } from './file-store.js';
import { S3Store } from './s3-store.js';

/** Where the asset store is; `ASSET_STORE` sets it. */
export type StoreLocation =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string };

/** How an S3 server is reached. */
interface Access {
  /** Which connections go through a proxy; default: none. */
  readonly proxies?: Proxies | undefined;
  /** Called with the time in each answer. */
  readonly onMoment?: ((moment: ServerMoment) => void) | undefined;
  /** Endpoint of signed addresses, where others reach the server under another one. */
  readonly presignEndpoint?: string | undefined;
  /** Overrides the settings that the AWS SDK reads from its environment. */
  readonly s3?: S3ClientConfig | undefined;
}

/** Opens a store; does no I/O. */
export function openStore(
  location: StoreLocation,
  { proxies, onMoment, presignEndpoint, s3 }: Access = {},
): AssetStore {
  if (location.kind === 'file') return new FileStore(location.path);
  return new S3Store({ ...location, proxies, onMoment, presignEndpoint, client: s3 });
}
