import type { Client } from '@temporalio/client';
import { WorkflowType } from '../contract/names.js';
import { DEFAULT_TASK_QUEUE } from './batch-options.js';
import { ensureSchedule } from './ensure-schedule.js';

/** The schedule of the sweep, which finds open purchases that no run manages, on the default queue. */
export const SWEEP_SCHEDULE_ID = 'wan-video-sweep';

/**
 * The schedule of the sweep of one queue. A sweep finds the purchases of its workers' account, so each account of a
 * namespace, which has queues of its own, has a schedule of its own.
 * @param taskQueue - The workers' generate queue.
 */
export const sweepScheduleId = (taskQueue: string): string =>
  taskQueue === DEFAULT_TASK_QUEUE ? SWEEP_SCHEDULE_ID : `${SWEEP_SCHEDULE_ID}-${taskQueue}`;

/** A paid video can be fetched for 24 hours: with an hourly sweep, 23 of them are left to remove any obstacle. */
const EVERY = '1 hour';

/**
 * Creates or updates the hourly schedule of `sweepPurchases` for one queue; a paused one stays paused.
 * @param taskQueue - The workers' generate queue.
 */
export async function ensureSweepSchedule(client: Client, taskQueue: string): Promise<'created' | 'updated'> {
  return ensureSchedule(client, {
    scheduleId: sweepScheduleId(taskQueue),
    spec: { intervals: [{ every: EVERY }] },
    action: {
      type: 'startWorkflow',
      workflowType: WorkflowType.sweepPurchases,
      workflowId: taskQueue === DEFAULT_TASK_QUEUE ? 'sweep' : `sweep-${taskQueue}`,
      taskQueue,
      args: [],
      staticSummary: 'finds open purchases that no run manages',
    },
    // A sweep finds everything that a missed one would have found.
    catchupWindow: '1 hour',
  });
}
