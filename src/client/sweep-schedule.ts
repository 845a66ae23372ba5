import { type Client, ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import { WorkflowType } from '../contract/names.js';
import { DEFAULT_TASK_QUEUE } from './batch-options.js';

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
  const spec = { intervals: [{ every: EVERY }] };
  const action = {
    type: 'startWorkflow' as const,
    workflowType: WorkflowType.sweepPurchases,
    workflowId: taskQueue === DEFAULT_TASK_QUEUE ? 'sweep' : `sweep-${taskQueue}`,
    taskQueue,
    args: [],
    staticSummary: 'finds open purchases that no run manages',
  };
  // A sweep finds everything that a missed one would have found.
  const policies = { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1 hour', pauseOnFailure: false } as const;
  try {
    await client.schedule.create({ scheduleId: sweepScheduleId(taskQueue), spec, action, policies });
    return 'created';
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    const schedule = client.schedule.getHandle(sweepScheduleId(taskQueue));
    await schedule.update(({ state }) => ({ spec, action, policies, state }));
    return 'updated';
  }
}
