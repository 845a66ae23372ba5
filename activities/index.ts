import { createArchiveVideo } from './archive-video.js';
import { createCancelTask, createRequestCancellation } from './cancel-task.js';
import type { ActivityDeps } from './deps.js';
import { createPollTask } from './poll-task.js';
import { createPrepareRequest } from './prepare-request.js';
import { createSubmitTask } from './submit-task.js';
import type { VideoActivities } from './types.js';
import { createUploadReference } from './upload-reference.js';

export type { ActivityDeps } from './deps.js';
export type { VideoActivities } from './types.js';

/** Builds every step of a generation from the worker's parts. */
export function createActivities(deps: ActivityDeps): VideoActivities {
  return {
    prepareRequest: createPrepareRequest(deps),
    uploadReference: createUploadReference(deps),
    submitTask: createSubmitTask(deps),
    pollTask: createPollTask(deps),
    archiveVideo: createArchiveVideo(deps),
    cancelTask: createCancelTask(deps),
    requestCancellation: createRequestCancellation(deps),
  };
}
