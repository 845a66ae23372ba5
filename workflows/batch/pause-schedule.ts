import * as wf from '@temporalio/workflow';
import type { BatchSchedulePause, VideoBatchInput } from '../../src/contract/batch.js';
import type { BatchTotals } from '../../src/contract/batch-totals.js';
import { failedShare, pauseNote, pauseReason } from '../../src/contract/schedule-pause.js';
import type { StepTimes } from '../../src/contract/times.js';
import { steps } from '../shared/activities.js';

/**
 * Pauses the schedule that started a batch when a larger share of its items failed than the schedule allows. Call it
 * before the batch ends: a schedule may start its next run at that moment.
 * @returns Null when there is nothing to report: few enough failed, or the schedule was paused before, or is gone.
 */
export async function pauseScheduleOf(
  { schedule_id: scheduleId, pause_when_failed_above: allowedShare }: VideoBatchInput,
  batchId: string,
  totals: BatchTotals,
  times: StepTimes,
): Promise<BatchSchedulePause | null> {
  if (scheduleId == null || allowedShare == null || failedShare(totals.counts) <= allowedShare) return null;
  const reason = pauseReason(totals, allowedShare);
  try {
    const { findSchedule, pauseSchedule } = steps(times);
    // A step of its own: the version is in the history before the first attempt to pause.
    const { version } = await findSchedule({ scheduleId });
    if (version === null) return null;
    const { done } = await pauseSchedule({ scheduleId, version, note: pauseNote({ scheduleId, batchId, reason }) });
    return done === 'gone' ? null : { schedule_id: scheduleId, done, reason };
  } catch (error) {
    if (wf.isCancellation(error)) throw error;
    // The batch writes its report all the same, which shows that the pause is not confirmed.
    wf.log.warn('the schedule could not be paused', { scheduleId, error: String(error) });
    return { schedule_id: scheduleId, done: 'unknown', reason };
  }
}
