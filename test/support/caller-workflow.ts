import { condition, isCancellation, startChild, workflowInfo } from '@temporalio/workflow';
import type { VideoRequest } from '../../src/contract/request.js';
import type { CancelOutcome, VideoResult } from '../../src/contract/result.js';
import { cancelOutcomeOf, generateVideo, type VideoErrorObject, videoFailureOf } from '../../src/workflow/index.js';

// Workflows as users write them.

/** Needs one video, and follows how it is made. */
export async function makeTrailer(request: VideoRequest): Promise<{ url: string; stages: string[] }> {
  const stages: string[] = [];
  const video = await generateVideo(request, {
    id: `trailer/${workflowInfo().workflowId}`,
    summary: 'the trailer',
    onProgress: ({ stage }) => stages.push(stage),
  });
  return { url: video.video_url, stages };
}

/** Ends with what became of the video, if there is none. */
export async function tryTrailer(request: VideoRequest): Promise<CancelOutcome | VideoErrorObject | string> {
  try {
    return (await generateVideo(request)).video_url;
  } catch (error) {
    if (isCancellation(error)) return cancelOutcomeOf(error) ?? 'cancelled';
    return videoFailureOf(error) ?? 'failed';
  }
}

/** Starts the child by its type alone, with Temporal's default policies, and does not end by itself. */
export async function plainParent(request: VideoRequest): Promise<void> {
  await startChild<(request: VideoRequest) => Promise<VideoResult>>('videoGenerate', {
    taskQueue: 'video-generate',
    workflowId: `plain/${workflowInfo().workflowId}`,
    args: [request],
  });
  await condition(() => false);
}
