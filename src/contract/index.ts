export type {
  BatchControls,
  BatchCounts,
  BatchItemEnd,
  BatchItemOutcome,
  BatchPause,
  BatchProgress,
  BatchSchedulePause,
  BatchSummary,
  VideoBatchInput,
} from './batch.js';
export { batchInputIssues, batchInputJsonSchema } from './batch-input.js';
export type { Billable, BudgetReached } from './budget.js';
export type { Conform, ConformOptions, ConformRules } from './conform.js';
export type { BatchDelivery, DeliveryProblem, DeliveryReport } from './delivery.js';
export type { VideoFailure } from './failure.js';
export { FailureType } from './failure-type.js';
export { LIMITS, MODEL, QUICK_START, type Resolution, SIZES } from './model.js';
export { CANCEL_SIGNAL, PROGRESS_QUERY, RESOLVE_SIGNAL, SEARCH_ATTRIBUTES, WorkflowType } from './names.js';
export type { VideoRequest } from './request.js';
export { type JsonSchema, requestJsonSchema } from './request-fields.js';
export type {
  Attention,
  CancelOutcome,
  DecisionOutcome,
  Eta,
  SubmitDecision,
  VideoProgress,
  VideoResult,
  VideoUsage,
  VideoWarning,
} from './result.js';
export type { SlotPlace } from './slots.js';
export { parseRequest, requestFingerprint, requestIssues } from './validate.js';
export { type ErrorContext, type Issue, VideoError } from './video-error.js';
