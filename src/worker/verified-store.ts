import { randomUUID } from 'node:crypto';
import type { TemporalTarget } from '../client/temporal-target.js';
import type { Config } from '../config/config.js';
import type { AssetStore } from '../storage/asset-store.js';
import { openStore } from '../storage/open-store.js';
import { checkSharedFileStore } from '../storage/shared-file-store.js';
import { storeId } from '../storage/store-id.js';
import { verifyConditionalPut } from '../storage/verify-conditional-put.js';
import type { ClockWatch } from './clock-watch.js';

/** A store of which it is shown that one of many concurrent writers wins. */
export interface VerifiedStore {
  readonly store: AssetStore;
  readonly storeId: string;
}

/**
 * Opens the asset store and verifies at every start that of many concurrent writers one wins: buying once rests on it.
 */
export async function verifiedStore(
  config: Config,
  temporal: TemporalTarget,
  clocks: ClockWatch,
): Promise<VerifiedStore> {
  const { store: configured, sharedFileStore, proxies } = config;
  const temporalAddress = temporal.connection.address ?? 'localhost:7233';
  checkSharedFileStore({ store: configured.kind, temporalAddress, sharedFileStore });
  const store = openStore(configured, { proxies, onMoment: (moment) => clocks.observe('store', moment) });
  await verifyConditionalPut(store, { newId: randomUUID });
  return { store, storeId: await storeId(store, { newId: randomUUID }) };
}
