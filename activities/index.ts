import { createArchiveVideo, createRestoreVideo } from './archive-video.js';
import { createAuditTasks } from './audit-tasks.js';
import { createAwaitPurchase } from './await-purchase.js';
import { createCancelTask, createRequestCancellation } from './cancel-task.js';
import { createConformVideo } from './conform-video.js';
import { createDeliverBatch } from './deliver-batch.js';
import type { ActivityDeps } from './deps.js';
import { createFindEndedItems } from './find-ended-items.js';
import { createFindOrphans } from './find-orphans.js';
import { createFindSpending } from './find-spending.js';
import { createOpenBatch } from './open-batch.js';
import { createFindSchedule, createPauseSchedule } from './pause-schedule.js';
import { createPollTask } from './poll-task.js';
import { createPostEvent } from './post-event.js';
import { createPrepareRequest } from './prepare-request.js';
import { createReadManifest } from './read-manifest.js';
import { createReconcileSubmit } from './reconcile-submit.js';
import { createResolvePurchase } from './resolve-purchase.js';
import {
  createAssessSlots,
  createFindDeadSlots,
  createFindOpenSlots,
  createRequestSlot,
  createWakeWaitingRuns,
} from './slot-holders.js';
import { createFindPurchase, createSubmitTask } from './submit-task.js';
import { createUploadReference } from './upload-reference.js';
import { createWriteReport, createWriteResults } from './write-results.js';

export { failureInterceptor } from './activity-failure.js';
export type { AccountSlotsPort, ActivityDeps } from './deps.js';

/** Every durable step, one object in and one object out, built from the worker's parts. */
export function createActivities(deps: ActivityDeps) {
  return {
    prepareRequest: createPrepareRequest(deps),
    uploadReference: createUploadReference(deps),
    requestSlot: createRequestSlot(deps),
    assessSlots: createAssessSlots(deps),
    wakeWaitingRuns: createWakeWaitingRuns(deps),
    submitTask: createSubmitTask(deps),
    findPurchase: createFindPurchase(deps),
    awaitPurchase: createAwaitPurchase(deps),
    reconcileSubmit: createReconcileSubmit(deps),
    resolvePurchase: createResolvePurchase(deps),
    pollTask: createPollTask(deps),
    archiveVideo: createArchiveVideo(deps),
    restoreVideo: createRestoreVideo(deps),
    conformVideo: createConformVideo(deps),
    cancelTask: createCancelTask(deps),
    requestCancellation: createRequestCancellation(deps),
    findOrphans: createFindOrphans(deps),
    auditTasks: createAuditTasks(deps),
    findOpenSlots: createFindOpenSlots(deps),
    findDeadSlots: createFindDeadSlots(deps),
    findSpending: createFindSpending(deps),
    openBatch: createOpenBatch(deps),
    readManifest: createReadManifest(deps),
    findEndedItems: createFindEndedItems(deps),
    writeResults: createWriteResults(deps),
    writeReport: createWriteReport(deps),
    deliverBatch: createDeliverBatch(deps),
    postEvent: createPostEvent(deps),
    findSchedule: createFindSchedule(deps),
    pauseSchedule: createPauseSchedule(deps),
  };
}

/** The steps as workflows call them. */
export type VideoActivities = ReturnType<typeof createActivities>;
