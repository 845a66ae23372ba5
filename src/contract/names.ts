import type { VideoRequest } from './request.js';
import type { VideoResult } from './result.js';

/** Workflow types. */
export const WorkflowType = {
  videoGenerate: 'videoGenerate',
  salvageVideo: 'salvageVideo',
  sweepPurchases: 'sweepPurchases',
  auditAccount: 'auditAccount',
  accountSlots: 'accountSlots',
  keepSlotsPage: 'keepSlotsPage',
  videoBatch: 'videoBatch',
  deliverWebhook: 'deliverWebhook',
  conformVideo: 'conformVideo',
} as const;
/** Signature of `videoGenerate`, for those that start it by its name. */
export type VideoGenerate = (request: VideoRequest) => Promise<VideoResult>;

/** Query of every run: its stage and task, what it waits for, when its video is expected. */
export const PROGRESS_QUERY = 'progress';
/** Update and signal of a run or a batch: end as Cancelled; its argument may carry `reason`. */
export const CANCEL_SIGNAL = 'cancel';
/** Update and signal of a run in `needs_attention`: a person's decision, `task_id` or `buy_again`. */
export const RESOLVE_SIGNAL = 'resolveSubmit';

/** Signal to a run that has requested a slot: the slot is granted, or the run's place in the queue. */
export const SLOT_SIGNAL = 'slot';
/** Signal to a run that waits for a slot: the slots have started again, so it requests its slot again. */
export const SLOTS_RESTARTED_SIGNAL = 'slotsRestarted';
/** Query of `accountSlots`: who holds slots, who waits, since when. */
export const SLOTS_QUERY = 'slots';
/** Query of `accountSlots`: whether a key holds a slot, and whether a budget has room. */
export const BUDGET_QUERY = 'budget';
/** Signal to `accountSlots`: a run requests a slot; it may repeat the request. */
export const REQUEST_SLOT_SIGNAL = 'requestSlot';
/** Signal to `accountSlots`: several runs request slots, in one message of their worker. */
export const REQUEST_SLOTS_SIGNAL = 'requestSlots';
/** Signal to `accountSlots`: a purchase has ended, was not created, or waits for a person. */
export const RELEASE_SLOT_SIGNAL = 'releaseSlot';
/** Signal to `accountSlots`: a run that has requested a slot no longer buys. */
export const WITHDRAW_SLOT_REQUEST_SIGNAL = 'withdrawSlotRequest';
/** Signal to `accountSlots`: how many tasks may be at the provider at a time. */
export const SET_SLOT_LIMIT_SIGNAL = 'setSlotLimit';

/** Update and signal of `videoBatch`: start no further item; its argument may carry `reason`. */
export const PAUSE_SIGNAL = 'pause';
/** Update and signal of `videoBatch`: start items again. */
export const RESUME_SIGNAL = 'resume';
/** Update and signal of `videoBatch`: how many items may be in progress at a time, as `window`. */
export const WINDOW_SIGNAL = 'setWindow';
/** Signal of an item to its batch: how it ended, or that it waits for a person. */
export const ITEM_SIGNAL = 'itemEnded';

/** Memo of a run that belongs to a batch: the batch's id. */
export const BATCH_MEMO = 'batch_id';
/** Memo of a batch's item: its id within the batch. */
export const ITEM_MEMO = 'item_id';
/** Memo of a batch that a schedule has started: the schedule's id, which is not the batch's. */
export const SCHEDULE_MEMO = 'schedule_id';

/**
 * Memo of a generation that is a child workflow: the signal by which it reports its progress to its parent, as
 * `{ signal, stages }`. `stages`: at each new stage; otherwise only what became of its task once it is cancelled.
 */
export const PARENT_REPORT_MEMO = 'report_to_parent';

/** Custom search attributes and their Temporal types; no value holds a prompt, a URL or a secret. */
export const SEARCH_ATTRIBUTES = {
  VideoTaskId: 'KEYWORD',
  VideoBatchId: 'KEYWORD',
  VideoTenant: 'KEYWORD',
  VideoOutcome: 'KEYWORD',
  VideoErrorCode: 'KEYWORD',
  VideoLabels: 'KEYWORD_LIST',
} as const;

/** Workflow id of the run that equal requests share. */
export const videoWorkflowId = (fingerprint: string): string => `video/${fingerprint}`;

/** The submit queue that belongs to a generate queue. */
export const submitQueueOf = (generateQueue: string): string => siblingQueue(generateQueue, 'submit');

/** The queue of the workers that have ffmpeg, which belongs to a generate queue. */
export const conformQueueOf = (generateQueue: string): string => siblingQueue(generateQueue, 'conform');

const siblingQueue = (generateQueue: string, name: string): string =>
  generateQueue.endsWith('-generate')
    ? `${generateQueue.slice(0, -'generate'.length)}${name}`
    : `${generateQueue}-${name}`;

/**
 * Workflow id of the run that finishes an open purchase whose own run cannot.
 * @param extraTaskId - Given for a task that was bought in addition to the purchase's own.
 */
export const salvageWorkflowId = (purchaseKey: string, n: number, extraTaskId?: string): string =>
  [`salvage/${purchaseKey}/${n}`, ...(extraTaskId === undefined ? [] : [extraTaskId])].join('/');

/** Workflow id of the run that decides who may submit next on a provider account; any text is safe in it. */
export const slotsWorkflowId = (provider: string, account: string): string =>
  `slots/${encodeURIComponent(provider)}/${encodeURIComponent(account)}`;

/** Workflow id of the run that conforms an archived video later; equal rules share it. */
export const conformWorkflowId = (taskId: string, rules: string): string => `conform/${taskId}/${rules}`;

/** Workflow id of a batch. */
export const batchWorkflowId = (batchId: string): string => `batch/${batchId}`;

/** Temporal's id of a schedule of batches. */
export const batchScheduleId = (id: string): string => `wan-video-batch/${id}`;

/** Workflow id of one item of a batch. */
export const batchItemWorkflowId = (batchId: string, itemId: string): string => `batch/${batchId}/${itemId}`;

/** Workflow id of the run that delivers one event to the webhook. */
export const webhookWorkflowId = (eventId: string): string => `webhook/${eventId}`;
