import * as wf from '@temporalio/workflow';
import type { BatchSchedulePause, VideoBatchInput } from '../../src/contract/batch.js';
import type { BatchTotals } from '../../src/contract/batch-totals.js';
import { failedShare, pauseNote, pauseReason } from '../../src/contract/schedule-pause.js';
import type { StepTimes } from '../../src/contract/times.js';
import { steps } from '../shared/activities.js';

/**
 * Pauses the schedule that started a batch when a larger share of its items failed than the schedule bears. To be called before the batch
 * ends, so that a run that waits for its end does not start.
 * @returns Null: nothing is to be told, because it bears that, was paused before, or is gone.
 */
export async function pauseScheduleOf(
  { schedule_id: scheduleId, pause_when_failed_above: bearable }: VideoBatchInput,
  batchId: string,
  totals: BatchTotals,
  times: StepTimes,
): Promise<BatchSchedulePause | null> {
  if (scheduleId == null || bearable == null || failedShare(totals.counts) <= bearable) return null;
  const reason = pauseReason(totals, bearable);
  try {
    const { findSchedule, pauseSchedule } = steps(times);
    // Its own step: the version stands in the history before the first attempt to pause.
    const { version } = await findSchedule({ scheduleId });
    if (version === null) return null;
    const { done } = await pauseSchedule({ scheduleId, version, note: pauseNote({ scheduleId, batchId, reason }) });
    return done === 'gone' ? null : { schedule_id: scheduleId, done, reason };
  } catch (error) {
    if (wf.isCancellation(error)) throw error;
    // The batch has its report all the same, and says so there.
    wf.log.warn('the schedule could not be paused', { scheduleId, error: String(error) });
    return { schedule_id: scheduleId, done: 'unknown', reason };
  }
}
