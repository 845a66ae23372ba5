export type { VideoErrorObject } from '../contract/failure.js';
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
export { connectClient } from './connect.js';
export { type FollowedProgress, followVideo } from './follow.js';
export type { ManifestSource } from './manifest-source.js';
export { loadPayloadCodec } from './payload-codec.js';
export type { ImageSource } from './reference.js';
export { VideoRunError } from './run-error.js';
export type { ListOptions } from './run-list.js';
export { type BackfillPeriod, type BackfillPlan, WanScheduleClient } from './schedule-client.js';
export type { EstimateScheduleOptions, ScheduleEstimate } from './schedule-estimate.js';
export type { ScheduleDetails, ScheduleView } from './schedule-view.js';
export type { ScheduledBatch } from './scheduled-batch.js';
export { registerSearchAttributes } from './setup.js';
export { type TemporalTarget, temporalFromEnv } from './temporal-target.js';
export { WanVideoClient } from './video-client.js';
export type { VideoRun, VideoRunStatus, VideoStatus } from './video-run.js';
export type {
  RunOptions,
  StartedVideo,
  StartOptions,
  VideoGenerateRequest,
  WanVideoClientOptions,
} from './video-start.js';
