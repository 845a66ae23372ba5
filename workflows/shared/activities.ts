import * as wf from '@temporalio/workflow';
import type { VideoActivities } from '../../activities/types.js';
import { submitQueueOf } from '../../src/contract/names.js';
import { STEP_TIMES, type StepTimes } from '../../src/contract/times.js';
import { activityOptions } from './activity-options.js';

/**
 * The steps of a generation, each with its row of `activityOptions`.
 * @param times - The worker's times, which `prepareRequest` brings; the shipped ones until then.
 * @param taskId - Shown beside the steps that are about one task.
 */
export function steps(times: StepTimes = STEP_TIMES, taskId?: string): VideoActivities {
  const options = activityOptions(times);
  const about = taskId === undefined ? {} : { summary: `task ${taskId}` };
  const step = <Name extends keyof VideoActivities>(
    name: Name,
    extra: wf.ActivityOptions = {},
  ): VideoActivities[Name] => wf.proxyActivities<VideoActivities>({ ...options[name], ...extra })[name];
  return {
    prepareRequest: step('prepareRequest', { summary: 'check the request and its image' }),
    uploadReference: step('uploadReference', { summary: 'bring the image to the provider, ask for a slot' }),
    requestSlot: step('requestSlot', { summary: 'ask for the slot again' }),
    submitTask: step('submitTask', {
      taskQueue: submitQueueOf(wf.workflowInfo().taskQueue), // the account's submit rate is set on this queue
      summary: 'buy one task',
    }),
    findPurchase: step('findPurchase', { summary: 'look what a lost submit has bought' }),
    awaitPurchase: step('awaitPurchase', { summary: "follow another run's purchase" }),
    reconcileSubmit: step('reconcileSubmit', { summary: 'find out what became of a lost submit' }),
    resolvePurchase: step('resolvePurchase', { summary: "apply a person's decision" }),
    pollTask: step('pollTask', about),
    archiveVideo: step('archiveVideo', about),
    restoreVideo: step('restoreVideo', about),
    findOrphans: step('findOrphans', { summary: 'look for purchases that no run sees to' }),
    findOpenSlots: step('findOpenSlots', { summary: 'take the open purchases as held' }),
    findDeadSlots: step('findDeadSlots', { summary: 'look for holders that are gone' }),
    findSpending: step('findSpending', { summary: 'read what was spent' }),
    openBatch: step('openBatch', { summary: 'check the manifest and keep it' }),
    readManifest: step('readManifest', { summary: 'read the next items' }),
    findEndedItems: step('findEndedItems', { summary: 'look for ends that were missed' }),
    writeResults: step('writeResults', { summary: 'keep the ends of items' }),
    writeReport: step('writeReport', { summary: 'write the report' }),
    notifyWebhook: step('notifyWebhook', { summary: 'deliver the event' }),
    findSchedule: step('findSchedule', { summary: 'look at the schedule: too much failed' }),
    pauseSchedule: step('pauseSchedule', { summary: 'pause the schedule' }),
    cancelTask: step('cancelTask', about),
    requestCancellation: step('requestCancellation'),
  };
}
