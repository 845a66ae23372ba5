/** Workflow types. */
export const WorkflowType = {
  videoGenerate: 'videoGenerate',
  salvageVideo: 'salvageVideo',
  sweepPurchases: 'sweepPurchases',
  accountSlots: 'accountSlots',
  videoBatch: 'videoBatch',
  deliverWebhook: 'deliverWebhook',
} as const;
/** Query of every run: stage, task, expected end, what is waited for. */
export const PROGRESS_QUERY = 'progress';
/** Signal that ends a run as Cancelled; its argument may carry `reason`. */
export const CANCEL_SIGNAL = 'cancel';
/** Signal with a person's decision on a run in `needs_attention`: `task_id` or `buy_again`. */
export const RESOLVE_SIGNAL = 'resolveSubmit';
/** Signal to a run that asked for a slot. */
export const SLOT_SIGNAL = 'slot';
/** Query of `accountSlots`: who holds slots, who waits, since when. */
export const SLOTS_QUERY = 'slots';
/** Query of `accountSlots`: whether a key holds a slot, and whether a budget has room. */
export const BUDGET_QUERY = 'budget';
/** Signal to `accountSlots`: a run's request for a slot, which may be repeated. */
export const REQUEST_SLOT_SIGNAL = 'requestSlot';
/** Signal to `accountSlots`: a purchase is over, was not created, or waits for a person. */
export const RELEASE_SLOT_SIGNAL = 'releaseSlot';
/** Signal to `accountSlots`: a run that asked does not want to buy any more. */
export const WITHDRAW_SLOT_REQUEST_SIGNAL = 'withdrawSlotRequest';
/** Signal to `accountSlots`: how many tasks may be at the provider at a time. */
export const SET_SLOT_LIMIT_SIGNAL = 'setSlotLimit';
/** Memo of a run that belongs to a batch: its id. */
export const BATCH_MEMO = 'batch_id';
/** Memo of a batch that a schedule has started: the schedule's id, which is not the batch's. */
export const SCHEDULE_MEMO = 'schedule_id';

/** Signals to `videoBatch`: start nothing further (`reason`); go on; how many items are in work at a time (`window`). */
export const PAUSE_SIGNAL = 'pause';
export const RESUME_SIGNAL = 'resume';
export const WINDOW_SIGNAL = 'setWindow';
/** Signal of an item to its batch: how it ended, or that it waits for a person. */
export const ITEM_SIGNAL = 'itemEnded';
/** Memo of a batch's item: its id within the batch. */
export const ITEM_MEMO = 'item_id';

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
export const submitQueueOf = (generateQueue: string): string =>
  generateQueue.endsWith('-generate')
    ? `${generateQueue.slice(0, -'generate'.length)}submit`
    : `${generateQueue}-submit`;

/** Workflow id of the run that sees an open purchase to its end when its own run cannot. */
export const salvageWorkflowId = (purchaseKey: string, n: number, lateTaskId?: string): string =>
  [`salvage/${purchaseKey}/${n}`, ...(lateTaskId === undefined ? [] : [lateTaskId])].join('/');

/** Workflow id of the run that says who may submit next on a provider account; any text is safe in it. */
export const slotsWorkflowId = (provider: string, account: string): string =>
  `slots/${encodeURIComponent(provider)}/${encodeURIComponent(account)}`;

/** Workflow id of a batch. */
export const batchWorkflowId = (batchId: string): string => `batch/${batchId}`;

/** Temporal's id of a schedule of batches. */
export const batchScheduleId = (id: string): string => `wan-video-batch/${id}`;

/** Workflow id of one item of a batch. */
export const batchItemWorkflowId = (batchId: string, itemId: string): string => `batch/${batchId}/${itemId}`;

/** Workflow id of the delivery of one event to the webhook: an event is delivered by one run. */
export const webhookWorkflowId = (eventId: string): string => `webhook/${eventId}`;
