import { defineQuery, defineSignal } from '@temporalio/workflow';
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
  RESOLVE_SIGNAL,
  RESUME_SIGNAL,
  SET_SLOT_LIMIT_SIGNAL,
  SLOT_SIGNAL,
  SLOTS_QUERY,
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
  SlotWithdrawalMessage,
} from '../../src/contract/slots.js';

/** Ends the run as Cancelled; the reason is shown in its details. */
export const cancelSignal = defineSignal<[{ reason?: string }?]>(CANCEL_SIGNAL);
/** A person's decision on a purchase that waits for one. */
export const resolveSignal = defineSignal<[SubmitDecision]>(RESOLVE_SIGNAL);
/** Stage, task and what is waited for. */
export const progressQuery = defineQuery<VideoProgress>(PROGRESS_QUERY);

/** The account's slots to a run that asked: granted, or its place among those who wait. */
export const slotSignal = defineSignal<[SlotAnswer]>(SLOT_SIGNAL);
/** A run's request; it is answered each time. */
export const requestSlotSignal = defineSignal<[SlotRequestMessage]>(REQUEST_SLOT_SIGNAL);
/** A purchase is over, was not created, or waits for a person. */
export const releaseSlotSignal = defineSignal<[SlotReleaseMessage]>(RELEASE_SLOT_SIGNAL);
/** A run that asked does not want to buy any more. */
export const withdrawSlotRequestSignal = defineSignal<[SlotWithdrawalMessage]>(WITHDRAW_SLOT_REQUEST_SIGNAL);
/** How many tasks the account may have at the provider, and its budgets, from a worker that starts. */
export const setSlotLimitSignal = defineSignal<[SlotLimitMessage]>(SET_SLOT_LIMIT_SIGNAL);
/** Who holds slots and who waits. */
export const slotsQuery = defineQuery<AccountSlotsView>(SLOTS_QUERY);
/** Whether a key holds a slot, and whether a budget has room for a purchase. */
export const budgetQuery = defineQuery<BudgetAnswer, [BudgetQuestion]>(BUDGET_QUERY);

/** A batch starts nothing further until it is resumed. */
export const pauseSignal = defineSignal<[{ reason?: string }?]>(PAUSE_SIGNAL);
export const resumeSignal = defineSignal(RESUME_SIGNAL);
/** How many items of a batch are in work at a time. */
export const windowSignal = defineSignal<[{ window: number }]>(WINDOW_SIGNAL);
/** An item to its batch: how it ended, or that it waits for a person. */
export const itemSignal = defineSignal<[BatchItemEnd]>(ITEM_SIGNAL);
/** Counts, rate, expected end and cost so far of a batch. */
export const batchProgressQuery = defineQuery<BatchProgress>(PROGRESS_QUERY);
