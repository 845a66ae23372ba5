import type { BatchStatus } from '../client/batch-start.js';
import type { Prices } from '../config/prices.js';
import type { BatchSummary } from '../contract/batch.js';
import { schedulePauseText } from '../contract/schedule-pause.js';
import { utcMinute } from '../contract/utc.js';
import { batchCountLines, deliveryLines } from '../report/batch-counts.js';

/** A batch for people: how far it is, or what it came to. */
export function batchStatusText(
  { batch_id, status, progress, summary, problem }: BatchStatus,
  prices?: Prices,
): string {
  if (summary !== null) return batchSummaryText(summary, prices);
  // A workflow that was terminated, or that failed, still answers with the last stage it was in.
  const hasEnded = status !== 'running';
  const head = [
    `batch     ${batch_id}`,
    `status    ${hasEnded ? status : (progress?.stage ?? status)}`,
    ...(hasEnded ? endLines(batch_id, status) : []),
  ];
  if (problem !== undefined) return [...head, `problem   ${problem}`].join('\n');
  if (progress === null) {
    return [...head, ...(hasEnded ? [] : ['No worker answers; start one with "wan-video worker".'])].join('\n');
  }
  if (hasEnded) return [...head, ...batchCountLines(progress, prices, true)].join('\n');
  const { in_flight, waiting, window, items_per_minute, eta_ms, pause, attention } = progress;
  return [
    ...head,
    `running   ${in_flight} of a window of ${window}, ${waiting} waiting`,
    ...batchCountLines(progress, prices, false),
    ...(items_per_minute === null ? [] : [`rate      ${items_per_minute.toFixed(1)} items per minute`]),
    ...(eta_ms === null ? [] : [`done      about ${utcMinute(eta_ms)}`]),
    ...(pause === null ? [] : [`paused    ${pause.cause === null ? '' : `${pause.cause}: `}${pause.reason}`]),
    ...(pause === null ? [] : [`resume    wan-video batch resume ${batch_id}`]),
    ...attention.map((run) => `decide    wan-video status ${run}`),
  ].join('\n');
}

const ENDED: Partial<Record<BatchStatus['status'], string>> = {
  terminated: 'was terminated in Temporal',
  failed: 'failed as a whole',
  cancelled: 'was cancelled',
};

/** What becomes of the items of a batch that ended without a report, and what to do. */
function endLines(batchId: string, status: BatchStatus['status']): string[] {
  const how = ENDED[status] ?? 'ended';
  return [
    `ended     the batch ${how} and wrote no report; no further item is started, and items in progress continue`,
    `items     wan-video list --batch ${batchId}`,
    `next      wan-video batch failed ${batchId} > rest.jsonl; start that as a new batch: no video is bought twice`,
  ];
}

const OUTCOMES: Readonly<Partial<Record<BatchSummary['outcome'], string>>> = {
  manifest_missing: 'the manifest did not exist; nothing was run',
  schedule_paused: 'its schedule was paused before its turn; nothing was run',
};

/** What an ended batch came to, for people. */
export function batchSummaryText(summary: BatchSummary, prices: Prices | undefined): string {
  const { batch_id, outcome, started_at_ms, ended_at_ms, retry_of, schedule_pause } = summary;
  const schedule = schedule_pause == null ? null : schedulePauseText(schedule_pause);
  return [
    `batch     ${batch_id}${retry_of === null ? '' : `, a retry of what failed in ${retry_of}`}`,
    `outcome   ${OUTCOMES[outcome] ?? outcome}`,
    `took      ${Math.round((ended_at_ms - started_at_ms) / 1000)} s, until ${new Date(ended_at_ms).toISOString()}`,
    ...batchCountLines(summary, prices, true),
    ...deliveryLines(summary.delivery),
    ...(schedule === null ? [] : [`schedule  ${schedule.text}`, `next      ${schedule.nextStep}`]),
  ].join('\n');
}
