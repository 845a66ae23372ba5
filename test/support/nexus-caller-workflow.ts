import type { NexusOperationFailure } from '@temporalio/common';
import { createNexusServiceClient, isCancellation } from '@temporalio/workflow';
import { HandlerError } from 'nexus-rpc';
import type { VideoRequest } from '../../src/contract/request.js';
import type { CancelOutcome, VideoResult } from '../../src/contract/result.js';
import { cancelOutcomeOf, type VideoErrorObject, videoFailureOf, videoService } from '../../src/workflow/index.js';

// Workflows of another namespace, as users write them.

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

/** Needs one video, and ends with what it learns. */
export async function buy(request: VideoRequest): Promise<Answer> {
  try {
    return { video: await videos.executeOperation('generate', request) };
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

/** Starts a video, and ends at once. */
export async function startAndEnd(request: VideoRequest): Promise<void> {
  await videos.startOperation('generate', request);
}

function refusalOf(error: unknown): Answer {
  const { cause } = error as NexusOperationFailure;
  return { handler: cause instanceof HandlerError ? cause.type : null, failure: videoFailureOf(error) };
}
