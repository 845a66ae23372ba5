import { operation, service } from 'nexus-rpc';
import type { BatchProgress, VideoBatchInput } from '../contract/batch.js';
import type { VideoRequest } from '../contract/request.js';
import type { CancelOutcome, VideoProgress, VideoResult } from '../contract/result.js';

/** Which run is meant: by its workflow id, or by the request of an operation `generate`. */
export type NexusRun = { readonly id: string } | { readonly request: VideoRequest };

/** A batch to start, by the id that it has from then on. */
export interface NamedBatch extends VideoBatchInput {
  readonly id: string;
}

/**
 * The Nexus service that workers offer on their queue: for workflows of another namespace, and in any language.
 * @example
 * ```ts
 * const videos = createNexusServiceClient({ endpoint: 'wan-video', service: videoService });
 * const { video_url } = await videos.executeOperation('generate', request);
 * ```
 */
export const videoService = service('wan-video', {
  /** Generates a video. Equal requests are one run, so their operations have one result. */
  generate: operation<VideoRequest, VideoResult>(),
  /** What a run or a batch is doing, or how it ended. */
  status: operation<NexusRun, VideoProgress | BatchProgress>(),
  /** Cancels a run or a batch; null while it has not ended within some seconds: a repetition has the answer then. */
  cancel: operation<NexusRun & { readonly reason?: string }, CancelOutcome | null>(),
  /** Starts a batch, or finds the one of this id; the batch checks its manifest or items itself. */
  startBatch: operation<NamedBatch, { readonly id: string }>(),
});
