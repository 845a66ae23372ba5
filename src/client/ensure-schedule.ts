import { type Client, ScheduleAlreadyRunning, type ScheduleOptions, ScheduleOverlapPolicy } from '@temporalio/client';

/** A schedule of ours: it starts one workflow, and never a second one while that runs. */
interface OwnSchedule {
  readonly scheduleId: string;
  readonly spec: ScheduleOptions['spec'];
  readonly action: ScheduleOptions['action'] & { readonly workflowId: string };
  /** How late a missed start is made up for. */
  readonly catchupWindow: '1 hour' | '12 hours';
}

/** Creates or updates a schedule; a paused one stays paused. */
export async function ensureSchedule(
  client: Client,
  { scheduleId, spec, action, catchupWindow }: OwnSchedule,
): Promise<'created' | 'updated'> {
  const policies = { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow, pauseOnFailure: false } as const;
  try {
    await client.schedule.create({ scheduleId, spec, action, policies });
    return 'created';
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    const schedule = client.schedule.getHandle(scheduleId);
    await schedule.update(({ state }) => ({ spec, action, policies, state }));
    return 'updated';
  }
}
