import type { Client } from '@temporalio/client';
import {
  type EstimateOptions,
  type EstimateSlots,
  estimateManifest,
  type ManifestEstimate,
} from '../batch/estimate.js';
import { type Prices, totalAmount } from '../config/prices.js';
import { DOCUMENTED_QUOTA } from '../config/quotas.js';
import { BATCH_WINDOW } from '../contract/batch.js';
import type { Money } from '../contract/budget.js';
import { Ledger } from '../ledger/ledger.js';
import { readRenderTimes } from '../polling/render-times.js';
import type { AssetStore } from '../storage/asset-store.js';
import { readAccountSlots } from './account-slots.js';

/** The account whose ledger, slots and render times an estimate is based on, and its prices. */
export interface EstimateAccount {
  /** Name of the provider in the ledger: the region of its base URL, or `emulator`. */
  readonly provider: string;
  /** `WAN_VIDEO_ACCOUNT` of the workers. */
  readonly account: string;
  /** Tasks at a time, used when the account's slots do not answer; default 5. */
  readonly maxRunning?: number | undefined;
  readonly prices?: Prices | undefined;
}

/** What a batch would do, what it would cost and how long it would take, started now. */
export interface BatchEstimate extends ManifestEstimate {
  /** The most that `billed` can cost; null without prices. */
  readonly price: Money | null;
  readonly slots: EstimateSlots;
  readonly window: number;
}

/** Where an estimate reads: Temporal for the slots, the store for the ledger and the render times. */
interface EstimateSources {
  readonly client: Client;
  readonly store: AssetStore;
}

/** How a batch is estimated: its manifest and the account that would run it. */
interface BatchEstimateOptions
  extends Pick<EstimateOptions, 'name' | 'images' | 'allowInvalid' | 'deliver' | 'signal'> {
  /** Streams the manifest from its beginning; called twice. */
  readonly open: () => Promise<AsyncIterable<Uint8Array>>;
  readonly account: EstimateAccount;
  readonly window?: number | undefined;
  /** Whether the batch would start now, behind the current holders of slots and those that wait for one. */
  readonly startsNow: boolean;
}

/** Estimates a manifest; reads only. */
export async function estimateBatch(
  { client, store }: EstimateSources,
  {
    open,
    account: { provider, account, maxRunning = DOCUMENTED_QUOTA.maxRunning, prices },
    window = BATCH_WINDOW,
    startsNow,
    ...options
  }: BatchEstimateOptions,
): Promise<BatchEstimate> {
  const scope = { provider, account };
  // An estimate without the current slots is still useful, so a missing worker is no error.
  const current = await readAccountSlots(client, provider, account).catch(() => undefined);
  const slots = {
    limit: current?.limit ?? maxRunning,
    ahead: startsNow && current !== undefined ? current.holders_count + current.waiting_count : 0,
  };
  const estimate = await estimateManifest(open, {
    ...options,
    slots,
    window,
    ledger: new Ledger({ store, scope, now: Date.now }),
    renderTimes: await readRenderTimes(store, scope, options.signal),
  });
  const price = prices === undefined ? null : totalAmount(prices, estimate.billed);
  return { ...estimate, price, slots, window };
}
