import { type Client, ScheduleNotFoundError } from '@temporalio/client';
import type { SchedulesPort } from '../../activities/deps.js';
import { isQueuePaused, pausedSchedule } from '../client/scheduled-batch.js';
import { batchScheduleId } from '../contract/names.js';

/** Below the step's 10 s, so that an attempt that was given up cannot pause behind the back of the next one. */
const CALL_MS = 4_000;

/** The schedules of batches, as the worker's steps look at them and pause them. */
export function schedulesPort(client: Client): SchedulesPort {
  const inTime = <T>(call: () => Promise<T>): Promise<T> => client.withDeadline(Date.now() + CALL_MS, call);
  const look = async (scheduleId: string) => {
    try {
      const schedule = await inTime(() => client.schedule.getHandle(batchScheduleId(scheduleId)).describe());
      // Meant for updates: another one once the schedule has been modified
      // (temporal.api.workflowservice.v1.UpdateScheduleRequest).
      return { schedule, version: Buffer.from(schedule.raw.conflictToken ?? []).toString('hex') };
    } catch (error) {
      if (error instanceof ScheduleNotFoundError) return undefined;
      throw error;
    }
  };
  return {
    find: async (scheduleId) => {
      const found = await look(scheduleId);
      return { version: found === undefined || isQueuePaused(found.schedule) ? null : found.version };
    },
    pause: async ({ scheduleId, version, note }) => {
      const found = await look(scheduleId);
      if (found === undefined) return 'gone';
      const { state } = found.schedule;
      // An attempt before this one, whose answer was lost, has left its note.
      if (found.version !== version) return state.paused && state.note?.endsWith(note) ? 'paused' : 'changed';
      // Somebody has paused it before this run began, as for a backfill, whose other runs are ended by this.
      const notes = state.paused && state.note ? `${state.note}. ${note}` : note;
      try {
        const handle = client.schedule.getHandle(batchScheduleId(scheduleId));
        await inTime(() => handle.update((current) => pausedSchedule(current, notes, new Date())));
        return 'paused';
      } catch (error) {
        if (error instanceof ScheduleNotFoundError) return 'gone';
        throw error;
      }
    },
  };
}
