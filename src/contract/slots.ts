import type { Bill, Billable, BudgetReached, BudgetTerms, BudgetView, Payer, SecondsByName } from './budget.js';
import type { StepTimes } from './times.js';
import { utcTime } from './utc.js';

/** `interactive` when somebody waits for the video, `batch` for an item of a batch. Interactive requests go first. */
export type SlotPriority = 'interactive' | 'batch';

/**
 * Names a slot: it is for the purchases of one key that come after the `afterPurchase`-th. At most one purchase of a
 * key is open at any time, so this is exactly one purchase, and it can be named before it is made.
 */
export interface SlotName {
  /** The purchase key. */
  readonly key: string;
  /** How many purchases of the key had ended when the slot was requested. */
  readonly afterPurchase: number;
}

/** The queue that a request waits in: tenants take turns, and within a tenant its batches. */
export interface QueueIdentity {
  readonly tenant: string | null;
  readonly batch: string | null;
  readonly priority: SlotPriority;
}

/** Argument of `accountSlots`, for its first run. */
export interface AccountSlotsInput {
  /** Tasks that the account may have at the provider at a time, until a message changes it. */
  readonly limit: number;
  /** Budgets until a message changes them; absent: none. */
  readonly budget?: BudgetTerms;
  readonly times: StepTimes;
  /** Events of history after which the workflow continues as new; absent: when Temporal suggests it. */
  readonly eventsMax?: number;
  /** Bytes of one page of the queue when it is handed on; default one megabyte. */
  readonly pageBytes?: number;
}

/** Signal `requestSlot`. It may be repeated, and each one is answered. */
export interface SlotRequestMessage extends SlotName, QueueIdentity {
  /** Workflow id of the run that the answer goes to. */
  readonly requesterId: string;
  /** Tasks that the account may have at the provider at a time, by the configuration of the sending worker. */
  readonly limit: number;
  /** The most that the purchase can be billed; absent when the sender knows no budgets: nothing is reserved then. */
  readonly cost?: Billable;
  /** The sending worker's budgets; absent: it has none, and those of the slots stay as they are. */
  readonly budget?: BudgetTerms;
}

/** Bytes of the requests of one message, in JSON; its budgets are added, and a payload may have 2 MB. */
export const SLOT_REQUESTS_BYTES_MAX = 500_000;

/** Requests of one message at most; each costs the slots less than a millisecond. */
export const SLOT_REQUESTS_MAX = 500;

/** Signal `requestSlots`: requests of several runs in one message, each as if it had come by itself. */
export interface SlotRequestsMessage extends Pick<SlotRequestMessage, 'limit' | 'budget'> {
  readonly requests: readonly Omit<SlotRequestMessage, 'limit' | 'budget'>[];
}

/** Signal `setSlotLimit`, sent by every worker when it starts. */
export interface SlotLimitMessage {
  readonly limit: number;
  /** Null: the worker has no budgets, and those of the slots are removed. Absent: they stay as they are. */
  readonly budget?: BudgetTerms | null;
}

/** Signal `releaseSlot`: the `n`-th purchase of the key has ended, was not created, or waits for a person. */
export interface SlotReleaseMessage {
  readonly key: string;
  readonly n: number;
  /** What the purchase cost; absent while that is not known: its money stays reserved. */
  readonly settled?: {
    /** Null when nothing was billed. */
    readonly billed: Bill | null;
  };
}

/** Signal `withdrawSlotRequest`: the run no longer wants to buy. */
export interface SlotWithdrawalMessage {
  readonly key: string;
  readonly requesterId: string;
  /** Whether the run is certain that it has bought nothing; absent: it is not. */
  readonly nothingBought?: boolean;
}

/** Signal `slot` to a requester: the slot is granted, its place in the queue, or the budget that has no room. */
export interface SlotAnswer extends SlotName {
  /** Null when the slot is granted. */
  readonly waiting: SlotPlace | null;
  /** Present when a budget has no room. The request is then no longer in the queue. */
  readonly reached?: BudgetReached;
}

/** A place in the queue at one moment. */
export interface SlotPlace {
  /** 1 is next. */
  readonly position: number;
  readonly ahead_interactive: number;
  readonly ahead_batch: number;
  /** Slots that are held, of `limit`. */
  readonly running: number;
  readonly limit: number;
  /** Milliseconds since the epoch. */
  readonly as_of_ms: number;
  /**
   * The budget that has room only if purchases under way cost less than their most; absent when only slots are missing.
   */
  readonly budget?: BudgetReached['scope'];
  /** Present when the queue is full. The run is not in it, and requests again later. */
  readonly queue_full?: true;
}

/**
 * Writes a place for people: `position 3 at 17:03:10 UTC: 1 interactive and 1 of batches ahead, 5 of 5 slots taken`.
 */
export function placeText(place: SlotPlace): string {
  const { position, ahead_interactive, ahead_batch, running, limit, as_of_ms } = place;
  const ahead = `${ahead_interactive} interactive and ${ahead_batch} of batches ahead`;
  const asOf = utcTime(as_of_ms);
  return `position ${position} at ${asOf} UTC: ${ahead}, ${running} of ${limit} slots taken`;
}

/** Why the slots do not answer. */
export interface SlotsHealth {
  /**
   * `busy`: a worker has them and is late, so they answer later; `unattended`: no worker polls their queue; `failing`:
   * their workflow task fails again and again; `not_running`: their workflow has ended, or never began.
   */
  readonly state: 'busy' | 'unattended' | 'failing' | 'not_running';
  /** The queue, the failure or the status; empty while they are busy. */
  readonly reason: string;
}

/** Argument of the query `slots`: which of the requests that wait to show. */
export interface SlotsPage {
  /** How many to leave out from the beginning; default 0. */
  readonly offset?: number;
  /** How many to show, at most 1,000; default 100. */
  readonly count?: number;
}

/** Answer of the query `slots`: all that is held or waits is counted, and a page of it is shown. */
export interface AccountSlotsView {
  readonly limit: number;
  /** Slots that are held. */
  readonly holders_count: number;
  /** All of them, up to 1,000. */
  readonly holders: readonly SlotView[];
  /** Requests that wait. */
  readonly waiting_count: number;
  /** How many of them come before the first that is shown. */
  readonly waiting_offset: number;
  /** In the order in which slots will be granted if no further request comes. */
  readonly waiting: readonly SlotView[];
  /** Present when budgets are configured. */
  readonly currency?: string;
  /**
   * The day's budget, those with reservations or requests, those that are configured by name, and those with spending;
   * up to 1,000.
   */
  readonly budgets?: readonly BudgetView[];
}

/** One slot that is held, or one request that waits. */
export interface SlotView extends QueueIdentity {
  readonly purchase_key: string;
  /** Workflow ids of the requesters, up to 20. */
  readonly runs: readonly string[];
  readonly runs_count: number;
  /** Milliseconds since the epoch at which the slot was granted, or first requested. */
  readonly since_ms: number;
}

/** A purchase that is open in the ledger and may have a task at the provider. */
export interface OpenSlot extends Payer {
  readonly key: string;
  readonly n: number;
  /** Workflow id of the run that bought it. */
  readonly workflowId: string;
  readonly cost: Billable;
}

/** A slot that is held, or money that is still reserved without one, as the audit of holders checks it. */
export interface HeldSlot extends SlotName {
  readonly requesters: readonly string[];
  /** Milliseconds since the epoch; distinguishes it from a later slot of the same name. */
  readonly sinceMs: number;
  /** Whether only its money is still reserved, because its bill is not known yet. */
  readonly slotIsFree?: boolean;
}

/** A slot that no purchase needs any more. */
export interface DeadSlot extends SlotName {
  readonly sinceMs: number;
  /** Whether the ledger already shows everything that can be billed for it. */
  readonly settled: boolean;
  /** Whether the ledger may have a bill for it. */
  readonly paid: boolean;
}

/** Which spending to read from the ledger. */
export interface SpendingQuery {
  /** UTC day, `YYYY-MM-DD`. */
  readonly day: string;
  /** Whether to read the day's spending, too, or that of batches only. */
  readonly wholeDay: boolean;
  readonly batches: readonly string[];
  /** Purchases that money is reserved for; the report names their bills. */
  readonly reserved: readonly SlotName[];
}

/** What the ledger shows of money that was spent, and of money that may still be. */
export interface SpendingReport {
  /** By tenant (`""`: none); null when only batches were read. */
  readonly day: { readonly date: string; readonly tenants: SecondsByName } | null;
  readonly batches: SecondsByName;
  /** Purchases whose bill is part of what was read: those of the query, and those of the latest minutes. */
  readonly paid: readonly PaidPurchase[];
  /** Purchases that are open and have no bill yet. */
  readonly open: readonly OpenSlot[];
}

/** A purchase with its bill. */
export interface PaidPurchase {
  readonly key: string;
  readonly n: number;
  readonly bill: Bill;
}
