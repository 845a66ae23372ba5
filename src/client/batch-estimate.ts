import type { Client } from '@temporalio/client';
import {
  type EstimateOptions,
  type EstimateSlots,
  estimateManifest,
  type ManifestEstimate,
} from '../batch/estimate.js';
import { type Prices, totalAmount } from '../config/prices.js';
import { BATCH_WINDOW } from '../contract/batch.js';
import { Ledger } from '../ledger/ledger.js';
import { readRenderTimes } from '../polling/render-times.js';
import type { AssetStore } from '../storage/asset-store.js';
import { readAccountSlots } from './account-slots.js';

/** Whose ledger, slots and render times an estimate rests on, and at which prices. */
export interface EstimateAccount {
  /** Name of the provider in the ledger: the region of its address, or `emulator`. */
  readonly provider: string;
  /** `WAN_VIDEO_ACCOUNT` of the workers. */
  readonly account: string;
  /** Tasks at a time, while the account's slots say nothing yet; default 5. */
  readonly maxRunning?: number | undefined;
  readonly prices?: Prices | undefined;
}

/** What a batch would do, cost and take, as of now. */
export interface BatchEstimate extends ManifestEstimate {
  /** Of `billed`, at most; null without prices. */
  readonly price: { readonly amount: number; readonly currency: string } | null;
  readonly slots: EstimateSlots;
  readonly window: number;
}

/** Five tasks of an account render at a time (limits of Model Studio). */
const MAX_RUNNING = 5;

/**
 * Estimates a manifest; reads only.
 * @param soon - Whether it would start now: then those who hold the slots or wait for them come first.
 */
export async function estimateBatch(
  { client, store }: { readonly client: Client; readonly store: AssetStore },
  open: () => Promise<AsyncIterable<Uint8Array>>,
  {
    account: { provider, account, maxRunning = MAX_RUNNING, prices },
    window = BATCH_WINDOW,
    soon,
    ...options
  }: Pick<EstimateOptions, 'name' | 'images' | 'allowInvalid' | 'signal'> & {
    readonly account: EstimateAccount;
    readonly window?: number | undefined;
    readonly soon: boolean;
  },
): Promise<BatchEstimate> {
  const scope = { provider, account };
  const slots = await slotsNow(client, scope, maxRunning, soon);
  const estimate = await estimateManifest(open, {
    ...options,
    slots,
    window,
    ledger: new Ledger({ store, scope, now: Date.now }),
    renderTimes: await readRenderTimes(store, scope, options.signal),
  });
  return {
    ...estimate,
    price: prices === undefined ? null : totalAmount(prices, estimate.billed),
    slots,
    window,
  };
}

async function slotsNow(
  client: Client,
  { provider, account }: { readonly provider: string; readonly account: string },
  maxRunning: number,
  soon: boolean,
): Promise<EstimateSlots> {
  // Without a worker nobody answers, and the estimate is worth having all the same.
  const slots = await readAccountSlots(client, provider, account).catch(() => undefined);
  if (slots === undefined) return { limit: maxRunning, ahead: 0 };
  return { limit: slots.limit, ahead: soon ? slots.holders.length + slots.waiting.length : 0 };
}
