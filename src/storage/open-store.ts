import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from './asset-store.js';
import { FileStore } from './file-store.js';

/** Opens the configured store. S3 follows with its own adapter; until then it is refused by name. */
export function openStore(
  store: { readonly kind: 'file'; readonly path: string } | { readonly kind: 's3' },
): AssetStore {
  if (store.kind === 'file') return new FileStore(store.path);
  throw new VideoError(FailureType.ConfigurationInvalid, 'ASSET_STORE: s3:// is not supported yet; use file:PATH');
}
