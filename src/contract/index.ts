export type {
  BatchControls,
  BatchCounts,
  BatchItemEnd,
  BatchProgress,
  BatchSchedulePause,
  BatchSummary,
  VideoBatchInput,
} from './batch.js';
export type { Billable } from './budget.js';
export { FailureType } from './failure-type.js';
export { LIMITS, MODEL, QUICK_START, type Resolution, SIZES } from './model.js';
export { CANCEL_SIGNAL, PROGRESS_QUERY, RESOLVE_SIGNAL, SEARCH_ATTRIBUTES, WorkflowType } from './names.js';
export type { VideoRequest } from './request.js';
export { videoRequestSchema } from './request.schema.js';
export type {
  Attention,
  CancelOutcome,
  DecisionOutcome,
  Eta,
  SubmitDecision,
  VideoProgress,
  VideoResult,
  VideoWarning,
} from './result.js';
export { parseRequest, requestFingerprint, requestIssues } from './validate.js';
export { type Issue, VideoError } from './video-error.js';
