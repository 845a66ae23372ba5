import type { BatchCounts, BatchSchedulePause } from './batch.js';
import type { BatchTotals } from './batch-totals.js';
import { plainText, shellWord } from './command-lines.js';

/**
 * The share of a batch's items that failed, of those that were run to an end: 0 to 1, and 0 when there was none.
 *
 * An item that waits for a person counts as failed: it has no video, and what made its outcome unknown would hit the
 * next run as well. Both sides leave out the lines that requested nothing of the provider (`invalid`, `duplicate`,
 * `budget_reached`) and the cancelled ones.
 */
export function failedShare(counts: BatchCounts): number {
  const { failed, ran } = failedOf(counts);
  return ran === 0 ? 0 : failed / ran;
}

const failedOf = ({ generated, cache, adopted, failed, needs_attention }: BatchCounts) => ({
  failed: failed + needs_attention,
  ran: generated + cache + adopted + failed + needs_attention,
});

/** `12 of 60 items failed, 20 %, more than 10 %; above all ContentRejected` */
export function pauseReason({ counts, causes }: Pick<BatchTotals, 'counts' | 'causes'>, allowedShare: number): string {
  const { failed, ran } = failedOf(counts);
  const waiting = counts.needs_attention === 0 ? '' : ` (${counts.needs_attention} of them wait for a person)`;
  const [cause] = Object.entries(causes).sort(([, a], [, b]) => b - a)[0] ?? [];
  const most = cause === undefined ? '' : `; above all ${cause}`;
  return (
    `${failed} of ${ran} items failed${waiting}, ${percent(failed / ran)}, more than ` +
    `${percent(allowedShare)}${most}`
  );
}

/** What a note of a pause names. */
interface PauseNote {
  readonly scheduleId: string;
  readonly batchId: string;
  readonly reason: string;
}

/** The note that Temporal keeps with a paused schedule: the batch, the share, how to resume. */
export function pauseNote({ scheduleId, batchId, reason }: PauseNote): string {
  return (
    `${plainText(batchId)}: ${reason}. See "wan-video batch report ${shellWord(batchId)}", fix the cause, ` +
    `then "wan-video schedule resume ${shellWord(scheduleId)}"`
  );
}

/** What became of a schedule at the end of its run, in a sentence, and what a person does next. */
export function schedulePauseText({ schedule_id, done, reason }: BatchSchedulePause): {
  readonly text: string;
  readonly nextStep: string;
} {
  const [name, id] = [`Its schedule ${plainText(schedule_id)}`, shellWord(schedule_id)];
  switch (done) {
    case 'paused':
      return {
        text: `${name} is paused: ${reason}.`,
        nextStep: `fix the cause, then resume with "wan-video schedule resume ${id}"`,
      };
    case 'changed':
      return {
        text: `${name} continues, because it was changed while it was being paused: ${reason}.`,
        nextStep: `pause it, if it should be, with "wan-video schedule pause ${id}"`,
      };
    case 'unknown':
      return {
        text: `${name} should be paused and perhaps is not, because Temporal did not confirm it: ${reason}.`,
        nextStep: `check it with "wan-video schedule show ${id}", and pause it with "wan-video schedule pause ${id}"`,
      };
  }
}

/** `20 %`, `12.5 %`: at most one digit after the point. */
export const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`;
