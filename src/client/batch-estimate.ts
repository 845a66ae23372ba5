import type { Client } from '@temporalio/client';
import { BudgetRoom } from '../batch/budget-room.js';
import {
  type EstimateOptions,
  type EstimateSlots,
  estimateManifest,
  type ManifestEstimate,
} from '../batch/estimate.js';
import { type Prices, totalAmount } from '../config/prices.js';
import { DOCUMENTED_QUOTA } from '../config/quotas.js';
import { BATCH_WINDOW } from '../contract/batch.js';
import type { BudgetTerms, BudgetView, Money } from '../contract/budget.js';
import { utcDay } from '../contract/utc.js';
import { Ledger } from '../ledger/ledger.js';
import { batchOf } from '../ledger/records.js';
import { readRenderTimes } from '../polling/render-times.js';
import type { AssetStore } from '../storage/asset-store.js';
import { readAccountSlots } from './account-slots.js';
import { newBatchId } from './batch-options.js';

/** The account whose ledger, slots and render times an estimate is based on, and its prices. */
export interface EstimateAccount {
  /** Name of the provider in the ledger: the region of its base URL, or `emulator`. */
  readonly provider: string;
  /** `WAN_VIDEO_ACCOUNT` of the workers. */
  readonly account: string;
  /** Tasks at a time, used when the account's slots do not answer; default 5. */
  readonly maxRunning?: number | undefined;
  readonly prices?: Prices | undefined;
  /** Budgets with their prices, as the workers have them; default: none. */
  readonly budgets?: BudgetTerms | undefined;
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
  /** Id of the batch, which may have a budget; default: one as it would be made. */
  readonly id?: string | undefined;
}

/** Estimates a manifest; reads only. */
export async function estimateBatch(
  { client, store }: EstimateSources,
  {
    open,
    account: { provider, account, maxRunning = DOCUMENTED_QUOTA.maxRunning, prices, budgets },
    window = BATCH_WINDOW,
    startsNow,
    id = newBatchId(new Date()),
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
  const ledger = new Ledger({ store, scope, now: Date.now });
  // Slots that run without budgets keep to none.
  const isLimited = budgets !== undefined && (current === undefined || current.budgets !== undefined);
  const room = isLimited ? await roomIn(budgets, current?.budgets, ledger, startsNow) : undefined;
  const estimate = await estimateManifest(open, {
    ...options,
    slots,
    window,
    ledger,
    budget: room && { room, batch: id },
    renderTimes: await readRenderTimes(store, scope, options.signal),
  });
  const price = prices === undefined ? null : totalAmount(prices, estimate.billed);
  return { ...estimate, price, slots, window };
}

/** What is left in the budgets: what the slots show, and of the others what the ledger has billed today. */
async function roomIn(
  terms: BudgetTerms,
  shown: readonly BudgetView[] | undefined,
  ledger: Ledger,
  startsNow: boolean,
): Promise<BudgetRoom> {
  if (!startsNow) return new BudgetRoom(terms); // a later day, which begins with all of its money
  const room = new BudgetRoom(terms, shown);
  for await (const bill of ledger.listBills(utcDay(Date.now()), { damaged: [] })) {
    room.addSpent({ ...bill, seconds: bill.billed_seconds, batch: batchOf(bill.memo) });
  }
  return room;
}
