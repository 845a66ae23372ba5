/** Workflow types. */
export const WorkflowType = { videoGenerate: 'videoGenerate' } as const;
/** Query and signals of `videoGenerate`. */
export const PROGRESS_QUERY = 'progress';
export const CANCEL_SIGNAL = 'cancel';

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
