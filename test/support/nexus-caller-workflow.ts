import type { NexusOperationFailure } from '@temporalio/common';
import {
  CancellationScope,
  condition,
  createNexusServiceClient,
  defineSignal,
  isCancellation,
  setHandler,
} from '@temporalio/workflow';
import { HandlerError } from 'nexus-rpc';
import type { VideoRequest } from '../../src/contract/request.js';
import type { CancelOutcome, VideoResult } from '../../src/contract/result.js';
import {
  cancelOutcomeOf,
  generateVideo,
  type VideoErrorObject,
  videoFailureOf,
  videoService,
} from '../../src/workflow/index.js';

// Workflows of callers, as users write them.

const videos = createNexusServiceClient({ endpoint: 'wan-video', service: videoService });

/** What a caller learns of an operation. */
export interface Answer {
  readonly video?: VideoResult;
  readonly cancelled?: CancelOutcome | null;
  /** Type of the handler error; null for an operation that failed later. */
  readonly handler?: string | null;
  readonly failure?: VideoErrorObject | undefined;
  readonly value?: unknown;
}

/** Needs one video, by a Nexus operation, and ends with what it learns; or at the signal `end`, without it. */
export const buy = (request: VideoRequest): Promise<Answer> =>
  unlessEnded(() => videos.executeOperation('generate', request));

/** The same by a child workflow, which needs the namespace of the workers. */
export const buyAsChild = (request: VideoRequest): Promise<Answer> => unlessEnded(() => generateVideo(request));

async function unlessEnded(make: () => Promise<VideoResult>): Promise<Answer> {
  let hasEnded = false;
  setHandler(defineSignal('end'), () => {
    hasEnded = true;
  });
  try {
    // The signal alone must not be what a cancellation ends.
    const atSignal = CancellationScope.nonCancellable(() => condition(() => hasEnded));
    const video = await Promise.race([make(), atSignal]);
    return video === undefined ? {} : { video };
  } catch (error) {
    return isCancellation(error) ? { cancelled: cancelOutcomeOf(error) ?? null } : refusalOf(error);
  }
}

/** Calls any operation, with any input. */
export async function call(operation: keyof typeof videoService.operations, input: unknown): Promise<Answer> {
  try {
    return { value: await videos.executeOperation(operation, input as never) };
  } catch (error) {
    return refusalOf(error);
  }
}

function refusalOf(error: unknown): Answer {
  const { cause } = error as NexusOperationFailure;
  return { handler: cause instanceof HandlerError ? cause.type : null, failure: videoFailureOf(error) };
}
