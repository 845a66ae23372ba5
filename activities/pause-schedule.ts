import type { ActivityDeps, FoundSchedule, SchedulePause, SchedulePauseInput } from './deps.js';
import { withSignal } from './with-signal.js';

/**
 * Reads the state of the schedule that started a batch, so that {@link createPauseSchedule} sees a later change of it.
 */
export function createFindSchedule({ schedules }: ActivityDeps) {
  return ({ scheduleId }: { scheduleId: string }): Promise<FoundSchedule> =>
    withSignal(() => schedules.find(scheduleId));
}

/**
 * Pauses the schedule that started a batch, once: an attempt whose answer was lost has changed the schedule, so the
 * next attempt leaves it as it is, even if a person has resumed it meanwhile.
 */
export function createPauseSchedule({ schedules }: ActivityDeps) {
  return (input: SchedulePauseInput): Promise<{ done: SchedulePause }> =>
    withSignal(async () => ({ done: await schedules.pause(input) }));
}
