import type { Bill, Billable, BudgetReached, BudgetTerms, BudgetView } from './budget.js';
import { utcTime } from './utc.js';

/** Whether somebody waits for the video, or a batch works through it. Interactive requests are submitted first. */
export type SlotPriority = 'interactive' | 'batch';

/** Names what a slot is for: the purchases of one key that come after the `after`-th; only one of a key is ever open. */
export interface SlotName {
  /** The purchase key. */
  readonly key: string;
  /** Purchases of the key that were over when the slot was asked for. */
  readonly afterPurchase: number;
}

/** Whose turn it is counted as. */
export interface QueueIdentity {
  readonly tenant: string | null;
  readonly batch: string | null;
  readonly priority: SlotPriority;
}

/** Signal `requestSlot`: may be repeated, and is answered each time. */
export interface SlotRequestMessage extends SlotName, QueueIdentity {
  /** Workflow id of the run that the answer goes to. */
  readonly requesterId: string;
  /** How many tasks the asking worker was told to have at the provider at a time. */
  readonly limit: number;
  /** What the purchase is billed by, at most; absent from callers that know no budgets: nothing is reserved for them. */
  readonly cost?: Billable;
  /** The asking worker's budgets; absent: it has none, which changes nothing here. */
  readonly budget?: BudgetTerms;
}

/** Signal `setSlotLimit`, from a worker that starts. */
export interface SlotLimitMessage {
  readonly limit: number;
  /** Null: this worker was told no budgets; absent from workers that know none. */
  readonly budget?: BudgetTerms | null;
}

/** Signal `releaseSlot`: the `n`-th purchase of the key has ended, was not created, or waits for a person. */
export interface SlotReleaseMessage {
  readonly key: string;
  readonly n: number;
  /** What it came to; absent where that is not known yet: what is reserved for it stays reserved. */
  readonly settled?: {
    /** Null when nothing was billed. */
    readonly billed: Bill | null;
  };
}

/** Signal `withdrawSlotRequest`: a run that asked does not want to buy any more. */
export interface SlotWithdrawalMessage {
  readonly key: string;
  readonly requesterId: string;
  /** The run is certain that it has bought nothing. */
  readonly nothingBought?: boolean;
}

/** Signal `slot` to the asking run: its request is known; granted, or how far ahead the grant is. */
export interface SlotAnswer extends SlotName {
  /** Null when granted. */
  readonly waiting: SlotPlace | null;
  /** A budget has no room: the request is forgotten. */
  readonly reached?: BudgetReached;
}

/** A place among those who wait, at one moment. */
export interface SlotPlace {
  /** 1 is next. */
  readonly position: number;
  /** Of those ahead, by what they are. */
  readonly ahead_interactive: number;
  readonly ahead_batch: number;
  /** Slots that are taken, of how many. */
  readonly running: number;
  readonly limit: number;
  /** Milliseconds since the epoch. */
  readonly as_of_ms: number;
  /** The budget that has room only once what is under way has come to less than it may; absent when it waits for its turn alone. */
  readonly budget?: BudgetReached['scope'];
}

/** A place for people: `position 3 at 17:03:10 UTC: 1 interactive and 1 of batches ahead, 5 of 5 slots taken`. */
export function placeText(place: SlotPlace): string {
  const { position, ahead_interactive, ahead_batch, running, limit, as_of_ms } = place;
  const ahead = `${ahead_interactive} interactive and ${ahead_batch} of batches ahead`;
  const asOf = utcTime(as_of_ms);
  return `position ${position} at ${asOf} UTC: ${ahead}, ${running} of ${limit} slots taken`;
}

/** Answer of the query `slots`: complete by itself, for callers in any language. */
export interface AccountSlotsView {
  readonly limit: number;
  readonly holders: readonly SlotView[];
  /** In the order in which they will be granted. */
  readonly waiting: readonly SlotView[];
  /** Present when budgets are configured. */
  readonly currency?: string;
  /** Those that are spent from or reserved in, and the day's. */
  readonly budgets?: readonly BudgetView[];
}

/** One slot, or one place among those who wait. */
export interface SlotView extends QueueIdentity {
  readonly purchase_key: string;
  /** Workflow ids of the runs that asked for it. */
  readonly runs: readonly string[];
  /** Milliseconds since the epoch at which it was granted, or first asked for. */
  readonly since_ms: number;
}
