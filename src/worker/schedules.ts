import { type Client, ScheduleNotFoundError } from '@temporalio/client';
import type { SchedulesPort } from '../../activities/deps.js';
import { batchScheduleId } from '../contract/names.js';

/** Below the step's 10 s, so that an attempt that was given up cannot pause behind the back of the next one. */
const CALL_MS = 4_000;

/** The schedules of batches, as the worker's steps look at them and pause them. */
export function schedulesPort(client: Client): SchedulesPort {
  const inTime = <T>(call: () => Promise<T>): Promise<T> => client.withDeadline(Date.now() + CALL_MS, call);
  const look = async (scheduleId: string) => {
    try {
      const { state, raw } = await inTime(() => client.schedule.getHandle(batchScheduleId(scheduleId)).describe());
      // Meant for updates: another one once the schedule has been modified
      // (temporal.api.workflowservice.v1.UpdateScheduleRequest).
      return { state, version: Buffer.from(raw.conflictToken ?? []).toString('hex') };
    } catch (error) {
      if (error instanceof ScheduleNotFoundError) return undefined;
      throw error;
    }
  };
  return {
    find: async (scheduleId) => {
      const found = await look(scheduleId);
      return { version: found === undefined || found.state.paused ? null : found.version };
    },
    pause: async ({ scheduleId, version, note }) => {
      const found = await look(scheduleId);
      if (found === undefined) return 'gone';
      // An attempt before this one, whose answer was lost, has left its note.
      if (found.version !== version) return found.state.paused && found.state.note === note ? 'paused' : 'changed';
      try {
        await inTime(() => client.schedule.getHandle(batchScheduleId(scheduleId)).pause(note));
        return 'paused';
      } catch (error) {
        if (error instanceof ScheduleNotFoundError) return 'gone';
        throw error;
      }
    },
  };
}
