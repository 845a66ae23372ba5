import type { ClockChange } from '../client/clock-changes.js';
import type { BackfillPlan } from '../client/schedule-client.js';
import type { ScheduleDetails } from '../client/schedule-view.js';
import { percent } from '../contract/schedule-pause.js';
import { durationText } from './duration.js';

/** The next times of a schedule for people. */
export const nextTimeLines = (next: readonly string[], timezone: string): string[] =>
  next.slice(0, 5).map((time) => `next      ${time} ${timezone}`);

/** Lines shown of clock changes: two years of a nightly schedule. */
const CHANGES_SHOWN = 4;

/** The times of a schedule that clock changes affect, for people. */
function clockChangeLines(changes: readonly ClockChange[], timezone: string): string[] {
  const lines = changes.slice(0, CHANGES_SHOWN).map((change) => `warning   ${changeText(change, timezone)}`);
  const more = changes.length - lines.length;
  return more === 0 ? lines : [...lines, `          and ${more} more such times`];
}

const RUNS_OF_TWO = ['no run starts', 'one run starts', 'a run starts at each'] as const;

function changeText({ local, kind, runs, runs_at }: ClockChange, timezone: string): string {
  if (kind === 'shifted') return `${local} does not exist in ${timezone}; the run starts at ${runs_at}`;
  if (kind === 'twice') return `${local} comes twice in ${timezone}; ${RUNS_OF_TWO[runs]}`;
  if (kind === 'extra') return `${local} in ${timezone}: Temporal starts a run in addition, because clocks are changed`;
  if (kind === 'left_out') return `${local} in ${timezone}: Temporal starts no run, because clocks are changed`;
  return `${local} does not exist in ${timezone}: no run then; "schedule create … --dst shift" starts it later`;
}

/** What a backfill would start, for people. */
export function backfillLines({ runs, clock_changes }: BackfillPlan, timezone: string): string[] {
  const [first, last] = [runs[0], runs.at(-1)];
  const span = first === undefined ? '' : `, from ${first} to ${last}`;
  return [`runs      ${runs.length}${span}`, ...clockChangeLines(clock_changes, timezone)];
}

/** A schedule for people: its settings, its next times and its latest runs. */
export function scheduleLines(details: ScheduleDetails): string[] {
  const { id, cron, timezone, paused, note, next, manifest_key, overlap, catchup_seconds, jitter_seconds } = details;
  const { pause_when_failed_above: bearable, overlapped_next, deliver } = details;
  const jitter = jitter_seconds === 0 ? '' : `, up to ${durationText(jitter_seconds)} later`;
  return [
    `schedule  ${id}${paused ? `, paused${note === null ? '' : `: ${note}`}` : ''}`,
    `times     ${cron ?? '-'} in ${timezone ?? 'UTC'}${jitter}`,
    `manifest  ${manifest_key ?? '-'}`,
    ...(deliver === null ? [] : [`deliver   ${deliver}`]),
    `overlap   ${overlap ?? '-'}; missed runs are caught up within ${durationText(catchup_seconds)}`,
    ...(bearable === null ? [] : [`pauses    when more than ${percent(bearable)} of a run failed`]),
    ...nextTimeLines(next, timezone ?? 'UTC'),
    ...clockChangeLines(details.clock_changes, timezone ?? 'UTC'),
    ...(details.missed === 0 ? [] : [`warning   ${details.missed} runs were due too long ago and never started`]),
    ...details.runs.map((run) => `run       ${run.batch_id}: ${outcomeText(run)}`),
    ...(overlapped_next ? ['warning   the latest run took longer than the time between the next two'] : []),
  ];
}

function outcomeText({ batch_id, summary }: ScheduleDetails['runs'][number]): string {
  if (summary === null) return `no report yet, see "wan-video batch status ${batch_id}"`;
  const { outcome, counts } = summary;
  const videos = counts.generated + counts.cache + counts.adopted;
  if (outcome === 'schedule_paused') return 'not started: the schedule was paused before its turn';
  return outcome === 'manifest_missing'
    ? 'its manifest did not exist'
    : `${outcome}, ${videos} of ${counts.total} lines, ${counts.failed} failed`;
}
