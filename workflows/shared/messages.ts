import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { BatchItemEnd, BatchProgress } from '../../src/contract/batch.js';
import type { BudgetAnswer, BudgetQuestion } from '../../src/contract/budget.js';
import {
  BUDGET_QUERY,
  CANCEL_SIGNAL,
  ITEM_SIGNAL,
  PAUSE_SIGNAL,
  PROGRESS_QUERY,
  RELEASE_SLOT_SIGNAL,
  REQUEST_SLOT_SIGNAL,
  REQUEST_SLOTS_SIGNAL,
  RESOLVE_SIGNAL,
  RESUME_SIGNAL,
  SET_SLOT_LIMIT_SIGNAL,
  SLOT_SIGNAL,
  SLOTS_QUERY,
  SLOTS_RESTARTED_SIGNAL,
  WINDOW_SIGNAL,
  WITHDRAW_SLOT_REQUEST_SIGNAL,
} from '../../src/contract/names.js';
import type { SubmitDecision, VideoProgress } from '../../src/contract/result.js';
import type {
  AccountSlotsView,
  SlotAnswer,
  SlotLimitMessage,
  SlotReleaseMessage,
  SlotRequestMessage,
  SlotRequestsMessage,
  SlotsPage,
  SlotWithdrawalMessage,
} from '../../src/contract/slots.js';

/** Ends the run as Cancelled; its details show the reason. */
export const cancelSignal = defineSignal<[{ reason?: string }?]>(CANCEL_SIGNAL);
/** A person's decision on a purchase that waits for one. */
export const resolveSignal = defineSignal<[SubmitDecision]>(RESOLVE_SIGNAL);
/** Stage and task of a run, and what it waits for. */
export const progressQuery = defineQuery<VideoProgress>(PROGRESS_QUERY);

/** From the account's slots to a run: its slot is granted, or its place in the queue. */
export const slotSignal = defineSignal<[SlotAnswer]>(SLOT_SIGNAL);
/** From the account's slots to runs that may wait: they have started again and know of no request. */
export const slotsRestartedSignal = defineSignal<[{ readonly slots: string }]>(SLOTS_RESTARTED_SIGNAL);
/** From a run to the account's slots: its request, which is answered each time. */
export const requestSlotSignal = defineSignal<[SlotRequestMessage]>(REQUEST_SLOT_SIGNAL);
/** The same as an Update, which returns the answer; null: it is sent as a signal, later. */
export const requestSlotUpdate = defineUpdate<SlotAnswer | null, [SlotRequestMessage]>(REQUEST_SLOT_SIGNAL);
/** From a worker to the account's slots: the requests of several runs. */
export const requestSlotsSignal = defineSignal<[SlotRequestsMessage]>(REQUEST_SLOTS_SIGNAL);
/** To the account's slots: a purchase has ended, was not created, or waits for a person. */
export const releaseSlotSignal = defineSignal<[SlotReleaseMessage]>(RELEASE_SLOT_SIGNAL);
/** From a run to the account's slots: it no longer buys. */
export const withdrawSlotRequestSignal = defineSignal<[SlotWithdrawalMessage]>(WITHDRAW_SLOT_REQUEST_SIGNAL);
/** From a worker that starts: how many tasks the account may have at the provider, and its budgets. */
export const setSlotLimitSignal = defineSignal<[SlotLimitMessage]>(SET_SLOT_LIMIT_SIGNAL);
/** To the keeper of a page of the queue: the next run of the slots takes it. */
export const takeSlotsPageSignal = defineSignal('takeSlotsPage');
/** From the keeper of a page of the queue: the page. */
export const slotsPageSignal = defineSignal<[keeper: string, page: Uint8Array]>('slotsPage');
/** Who holds slots and who waits. */
export const slotsQuery = defineQuery<AccountSlotsView, [SlotsPage?]>(SLOTS_QUERY);
/** Whether a key holds a slot, and whether a budget has room for a purchase. */
export const budgetQuery = defineQuery<BudgetAnswer, [BudgetQuestion]>(BUDGET_QUERY);

/** Makes a batch start no further item. */
export const pauseSignal = defineSignal<[{ reason?: string }?]>(PAUSE_SIGNAL);
/** Makes a paused batch start items again. */
export const resumeSignal = defineSignal(RESUME_SIGNAL);
/** Sets how many items of a batch may be in progress at a time. */
export const windowSignal = defineSignal<[{ window: number }]>(WINDOW_SIGNAL);
/** From an item to its batch: how it ended, or that it waits for a person. */
export const itemSignal = defineSignal<[BatchItemEnd]>(ITEM_SIGNAL);
/** Counts, rate, expected end and cost so far of a batch. */
export const batchProgressQuery = defineQuery<BatchProgress>(PROGRESS_QUERY);
