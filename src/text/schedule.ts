import type { ScheduleDetails } from '../client/schedule-view.js';
import { percent } from '../contract/schedule-pause.js';
import { durationText } from './duration.js';

/** The next times of a schedule for people. */
export const nextTimeLines = (next: readonly string[], timezone: string): string[] =>
  next.slice(0, 5).map((time) => `next      ${time} ${timezone}`);

/** A schedule for people: its settings, its next times and its latest runs. */
export function scheduleLines(details: ScheduleDetails): string[] {
  const { id, cron, timezone, paused, note, next, manifest_key, overlap, catchup_seconds, jitter_seconds } = details;
  const { pause_when_failed_above: bearable, overlapped_next } = details;
  const jitter = jitter_seconds === 0 ? '' : `, up to ${durationText(jitter_seconds)} later`;
  return [
    `schedule  ${id}${paused ? `, paused${note === null ? '' : `: ${note}`}` : ''}`,
    `times     ${cron ?? '-'} in ${timezone ?? 'UTC'}${jitter}`,
    `manifest  ${manifest_key ?? '-'}`,
    `overlap   ${overlap ?? '-'}; missed runs are caught up within ${durationText(catchup_seconds)}`,
    ...(bearable === null ? [] : [`pauses    when more than ${percent(bearable)} of a run failed`]),
    ...nextTimeLines(next, timezone ?? 'UTC'),
    ...details.runs.map((run) => `run       ${run.batch_id}: ${outcomeText(run)}`),
    ...(overlapped_next ? ['warning   the latest run took longer than the time between the next two'] : []),
  ];
}

function outcomeText({ batch_id, summary }: ScheduleDetails['runs'][number]): string {
  if (summary === null) return `no report yet, see "wan-video batch status ${batch_id}"`;
  const { outcome, counts } = summary;
  const videos = counts.generated + counts.cache + counts.adopted;
  return outcome === 'manifest_missing'
    ? 'its manifest did not exist'
    : `${outcome}, ${videos} of ${counts.total} lines, ${counts.failed} failed`;
}
