import { type Client, ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import { WorkflowType } from '../contract/names.js';

/** The schedule of the sweep, which finds open purchases that no run manages. */
export const SWEEP_SCHEDULE_ID = 'wan-video-sweep';

/** A paid video can be fetched for 24 hours: with an hourly sweep, 23 of them are left to remove any obstacle. */
const EVERY = '1 hour';

/**
 * Creates or updates the hourly schedule of `sweepPurchases` in the client's namespace; a paused one stays paused.
 * @param taskQueue - The workers' generate queue.
 */
export async function ensureSweepSchedule(client: Client, taskQueue: string): Promise<'created' | 'updated'> {
  const spec = { intervals: [{ every: EVERY }] };
  const action = {
    type: 'startWorkflow' as const,
    workflowType: WorkflowType.sweepPurchases,
    workflowId: 'sweep',
    taskQueue,
    args: [],
    staticSummary: 'finds open purchases that no run manages',
  };
  // A sweep finds everything that a missed one would have found.
  const policies = { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1 hour', pauseOnFailure: false } as const;
  try {
    await client.schedule.create({ scheduleId: SWEEP_SCHEDULE_ID, spec, action, policies });
    return 'created';
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    await client.schedule.getHandle(SWEEP_SCHEDULE_ID).update(({ state }) => ({ spec, action, policies, state }));
    return 'updated';
  }
}
