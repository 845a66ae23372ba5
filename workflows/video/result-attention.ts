import type { ArchiveFault } from '../../activities/archive-attempts.js';
import type { WatchedTask } from '../../activities/purchase-step.js';
import type { Attention } from '../../src/contract/result.js';
import { utcTime } from '../../src/contract/utc.js';

/** Most causes that are shown, the latest first. */
const SHOWN = 3;

/** Why a result is not archived, for people: each cause with its number of attempts, the latest first. */
export function lateText(faults: readonly ArchiveFault[]): string {
  const latest = [...faults].sort((a, b) => b.lastMs - a.lastMs).slice(0, SHOWN);
  const texts = latest.map(({ cause, times, lastMs }) => `${cause} (${times} times, last ${utcTime(lastMs)} UTC)`);
  return texts.length === 0 ? 'no attempt has ended' : texts.join('; ');
}

const HOW_TO_DECIDE =
  'The decision --task tries at once; --buy gives the paid video up and buys another one. A file that is put into ' +
  'the store as candidates/<task id>.mp4 is archived as the result.';

/** The question about a finished task whose result cannot be archived. */
export function unreachableResult(task: WatchedTask, faults: readonly ArchiveFault[]): Attention {
  return {
    ...questionAbout(task, `SUCCEEDED; ${lateText(faults)}`),
    reason:
      `Task ${task.taskId} is paid, and its result cannot be archived: ${lateText(faults)}. It is tried further ` +
      'until the provider deletes it, 24 hours after the task; nothing is bought meanwhile.',
    next_step: `Fix what the reason names, or save the video from the provider's console. ${HOW_TO_DECIDE}`,
  };
}

/** The question about a bought task that does not end. */
export function unendedTask(task: WatchedTask, hours: number): Attention {
  return {
    ...questionAbout(task, `no end was seen within ${hours} h`),
    reason:
      `Task ${task.taskId} was bought more than ${hours} h ago, and the provider's answers have shown no end of it. ` +
      'It is queried further; the provider deletes tasks after 24 hours. Nothing is bought meanwhile.',
    next_step: `Look at the task in the provider's console, and at the worker's log. ${HOW_TO_DECIDE}`,
  };
}

const questionAbout = ({ purchase, taskId }: WatchedTask, evidence: string) => ({
  cause: 'ResultUnreachable' as const,
  purchase: `${purchase.key}/${purchase.n}`,
  candidates: [{ task_id: taskId, evidence, archived: null }],
  refused: null,
});
