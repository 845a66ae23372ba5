/** Workflow types. */
export const WorkflowType = {
  videoGenerate: 'videoGenerate',
  salvageVideo: 'salvageVideo',
  sweepPurchases: 'sweepPurchases',
} as const;
/** Query of every run: stage, task, expected end, what is waited for. */
export const PROGRESS_QUERY = 'progress';
/** Signal that ends a run as Cancelled; its argument may carry `reason`. */
export const CANCEL_SIGNAL = 'cancel';
/** Signal with a person's decision on a run in `needs_attention`: `task_id` or `buy_again`. */
export const RESOLVE_SIGNAL = 'resolveSubmit';

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
export const salvageWorkflowId = (purchaseKey: string, n: number): string => `salvage/${purchaseKey}/${n}`;
