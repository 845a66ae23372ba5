export type { BatchRow } from '../batch/batch-files.js';
export type { EstimateCounts, EstimatedDuration, EstimateSlots, ManifestEstimate } from '../batch/estimate.js';
export type { FailureFilter } from '../batch/failed-lines.js';
export type { ManifestFault } from '../batch/manifest.js';
export type { Prices, TierPrices } from '../config/prices.js';
export type { TracingSettings } from '../config/tracing.js';
export type { BudgetLimits, BudgetTerms, Money } from '../contract/budget.js';
export type { VideoErrorObject } from '../contract/failure.js';
export type { StageableImage } from '../media/stage-image.js';
export type { SpanSource } from '../tracing/span-source.js';
export { WanBatchClient } from './batch-client.js';
export type { BatchEstimate, EstimateAccount } from './batch-estimate.js';
export type { WanBatchClientOptions } from './batch-options.js';
export type {
  BatchStatus,
  EstimateBatchOptions,
  StartBatchOptions,
  StartEstimate,
  StartedBatch,
} from './batch-start.js';
export type { ClockChange } from './clock-changes.js';
export type { ConformVideoOptions } from './conform.js';
export { connectClient } from './connect.js';
export { type FollowedProgress, followVideo } from './follow.js';
export type { FromEnvOptions } from './from-env.js';
export type { ManifestSource } from './manifest-source.js';
export { loadPayloadCodec } from './payload-codec.js';
export type { PresignedVideo } from './presign.js';
export type { ImageSource } from './reference.js';
export { VideoRunError } from './run-error.js';
export type { ListOptions } from './run-list.js';
export { type BackfillPeriod, type BackfillPlan, WanScheduleClient } from './schedule-client.js';
export type { EstimateScheduleOptions, ScheduleEstimate } from './schedule-estimate.js';
export type { ScheduleDetails, ScheduleView } from './schedule-view.js';
export type { ScheduledBatch, ScheduleOverlap } from './scheduled-batch.js';
export { registerSearchAttributes } from './setup.js';
export { type TemporalTarget, temporalFromEnv } from './temporal-target.js';
export { WanVideoClient } from './video-client.js';
export type { VideoRun, VideoRunStatus, VideoStatus } from './video-run.js';
export type {
  RunOptions,
  StartedVideo,
  StartOptions,
  VideoGenerateRequest,
  WaitOptions,
  WanVideoClientOptions,
} from './video-start.js';
