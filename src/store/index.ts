export type {
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
} from '../storage/asset-store.js';
export { type OpenStoreOptions, openStore } from './open-store.js';
