import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Looks how the schedule stands that started a batch, so that {@link createPauseSchedule} knows what has changed since. */
export function createFindSchedule({ schedules }: ActivityDeps): VideoActivities['findSchedule'] {
  return ({ scheduleId }) => withSignal(() => schedules.find(scheduleId));
}

/**
 * Pauses the schedule that started a batch, once: an attempt whose answer was lost has changed it, so that the next one leaves it to
 * whoever has resumed it meanwhile.
 */
export function createPauseSchedule({ schedules }: ActivityDeps): VideoActivities['pauseSchedule'] {
  return (input) => withSignal(async () => ({ done: await schedules.pause(input) }));
}
