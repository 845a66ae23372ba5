import { executeChild, ParentClosePolicy, workflowInfo } from '@temporalio/workflow';
import type { VideoRequest } from '../../src/contract/request.js';
import type { VideoResult } from '../../src/contract/result.js';

/** A workflow as a user writes it: it calls `videoGenerate` by its name, on the product's queue. */
export async function makeTrailer(request: VideoRequest): Promise<string> {
  const video = await executeChild<(request: VideoRequest) => Promise<VideoResult>>('videoGenerate', {
    taskQueue: 'video-generate',
    workflowId: `trailer/${workflowInfo().workflowId}`,
    args: [request],
    parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
  });
  return video.video_url;
}
