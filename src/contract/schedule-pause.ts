import type { BatchCounts, BatchSchedulePause, VideoBatchInput } from './batch.js';
import type { BatchTotals } from './batch-totals.js';
import { shellWord } from './command-lines.js';
import { cleanText } from './safe-text.js';

/**
 * The share of a batch's finished items that failed, from 0 to 1; 0 when none has finished.
 *
 * An item that waits for a person counts as failed: it has no video, and what made its outcome unknown would affect the
 * next run as well. Cancelled items and lines that requested nothing of the provider (`invalid`, `duplicate`,
 * `budget_reached`) are not counted.
 */
export function failedShare(counts: BatchCounts): number {
  const { failed, ran } = countFailed(counts);
  return ran === 0 ? 0 : failed / ran;
}

const countFailed = ({ generated, cache, adopted, failed, needs_attention }: BatchCounts) => ({
  failed: failed + needs_attention,
  ran: generated + cache + adopted + failed + needs_attention,
});

/** Such as `12 of 60 items failed, 20 %, more than 10 %; above all ContentRejected`. */
export function pauseReason({ counts, causes }: Pick<BatchTotals, 'counts' | 'causes'>, allowedShare: number): string {
  const { failed, ran } = countFailed(counts);
  const waiting = counts.needs_attention === 0 ? '' : ` (${counts.needs_attention} of them wait for a person)`;
  const [cause] = Object.entries(causes).sort(([, a], [, b]) => b - a)[0] ?? [];
  const most = cause === undefined ? '' : `; above all ${cause}`;
  return (
    `${failed} of ${ran} items failed${waiting}, ${percent(failed / ran)}, more than ` +
    `${percent(allowedShare)}${most}`
  );
}

/** Ends the batch's id of a scheduled run: the time at which the run was due. */
const NOMINAL_TIME = /-(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/;

/** When a scheduled run was due, ISO 8601, by the id of its batch; undefined for another batch. */
export const nominalTimeOf = (batchId: string): string | undefined => NOMINAL_TIME.exec(batchId)?.[1];

/**
 * Whether a run was due before its schedule was paused, and was waiting for its turn since, as the runs of a backfill
 * do. A trigger, whose time is that of its request, comes later than the pause.
 */
export function wasPausedWhileWaiting({ schedule_paused_at: pausedAt }: VideoBatchInput, batchId: string): boolean {
  const nominal = nominalTimeOf(batchId);
  if (typeof pausedAt !== 'string' || nominal === undefined) return false;
  return Date.parse(nominal) < Math.floor(Date.parse(pausedAt) / 1000) * 1000;
}

/** The parts of a pause's note. */
interface PauseNote {
  readonly scheduleId: string;
  readonly batchId: string;
  readonly reason: string;
}

/** The note that Temporal keeps with a paused schedule: the batch, the reason, and how to resume. */
export function pauseNote({ scheduleId, batchId, reason }: PauseNote): string {
  return (
    `${cleanText(batchId)}: ${reason}. See "wan-video batch report ${shellWord(batchId)}", fix the cause, ` +
    `then "wan-video schedule resume ${shellWord(scheduleId)}"`
  );
}

/** What happened to a schedule at the end of its run, and what a person can do next. */
export function schedulePauseText({ schedule_id, done, reason }: BatchSchedulePause): {
  readonly text: string;
  readonly nextStep: string;
} {
  const [name, id] = [`Its schedule ${cleanText(schedule_id)}`, shellWord(schedule_id)];
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

/** Formats a share as `20 %` or `12.5 %`, with at most one decimal. */
export const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`;
