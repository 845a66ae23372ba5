import type { CanonicalRequest, VideoRequest } from '../src/contract/request.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import type { StepTimes } from '../src/contract/times.js';

/** A request that was checked, with its image at a known place; ids and keys only, beside the caller's own words. */
export interface PreparedRequest {
  /** Without the reference, which may be a long `data:` URI. */
  readonly request: Omit<CanonicalRequest, 'reference_image'>;
  readonly cacheKey: string;
  /** The seed that will be sent: the caller's, or one derived from the cache key. */
  readonly seed: number;
  readonly reference: PreparedReference;
  readonly warnings: readonly VideoWarning[];
  readonly cached: VideoResult | null;
  /** The worker's times for the steps that follow. */
  readonly times: StepTimes;
}

/** Where the image is: in our store, or already at the provider. */
export type PreparedReference =
  | {
      readonly kind: 'asset';
      readonly key: string;
      readonly mime: string;
      readonly bytes: number;
      readonly width: number;
      readonly height: number;
    }
  | { readonly kind: 'oss'; readonly url: string };

/** A task that the provider accepted and bills. */
export interface SubmittedTask {
  readonly taskId: string;
  readonly requestId: string;
}

/** A task that has SUCCEEDED; seconds, null where the provider gave no time. */
export interface FinishedTask extends SubmittedTask {
  readonly queuedSeconds: number | null;
  readonly renderingSeconds: number | null;
  readonly detectedSeconds: number | null;
  readonly billedSeconds: number;
  /** Billed tier; null where the provider did not say. */
  readonly resolution: '720P' | '1080P' | null;
  readonly audio: boolean;
  /** Milliseconds since the epoch at which the end was noticed. */
  readonly seenAtMs: number;
}

/** Every durable step of a generation: one object in, one object out. */
export interface VideoActivities {
  prepareRequest(input: { request: VideoRequest }): Promise<PreparedRequest>;
  uploadReference(input: { reference: PreparedReference }): Promise<{ imgUrl: string }>;
  submitTask(input: { prepared: PreparedRequest; imgUrl: string }): Promise<SubmittedTask>;
  pollTask(input: { task: SubmittedTask }): Promise<FinishedTask>;
  archiveVideo(input: { prepared: PreparedRequest; task: FinishedTask }): Promise<VideoResult>;
  cancelTask(input: { taskId: string }): Promise<{ cancelled: boolean }>;
  requestCancellation(input: { workflowId: string; runId: string }): Promise<void>;
}
