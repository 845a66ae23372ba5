import type { ScheduleDescription } from '@temporalio/client';
import { readReport } from '../batch/batch-files.js';
import type { BatchSummary, VideoBatchInput } from '../contract/batch.js';
import { batchWorkflowId } from '../contract/names.js';
import type { AssetStore } from '../storage/asset-store.js';
import { OVERLAPS, type ScheduleOverlap } from './scheduled-batch.js';

/** A schedule as it is listed. */
export interface ScheduleView {
  readonly id: string;
  readonly cron: string | null;
  readonly timezone: string | null;
  readonly paused: boolean;
  readonly note: string | null;
  /** Of the next runs, in the schedule's zone, such as `2026-03-31 02:30`. */
  readonly next: readonly string[];
}

/** Everything of one schedule. */
export interface ScheduleDetails extends ScheduleView {
  readonly manifest_key: string | null;
  readonly window: number | null;
  readonly overlap: ScheduleOverlap | null;
  readonly catchup_seconds: number;
  readonly jitter_seconds: number;
  readonly pause_when_failed_above: number | null;
  /** Whether the latest run that has ended took longer than the time between the next two. */
  readonly overlapped_next: boolean;
  /** Runs that were left out because the one before still ran. */
  readonly skipped: number;
  /** The latest runs, the newest last. */
  readonly runs: readonly {
    readonly batch_id: string;
    readonly nominal_time: string;
    /** Null while it runs, or when it never came to a report. */
    readonly summary: BatchSummary | null;
  }[];
}

/** What the schedule starts its batches with. */
export const inputOf = (action: ScheduleDescription['action']): VideoBatchInput =>
  ((action.args ?? []) as [VideoBatchInput?])[0] ?? {};

/** Between the next two runs; endless when there are not two. */
export function gapMs([first, second]: readonly Date[]): number {
  return first === undefined || second === undefined ? Number.POSITIVE_INFINITY : second.getTime() - first.getTime();
}

/** Writes moments as `2026-03-31 02:30` of a zone. */
export function timeIn(timezone: string): (time: Date) => string {
  // Sweden writes them so.
  const format = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short', timeZone: timezone });
  return (time) => format.format(time);
}

/** What a list shows of a schedule. */
export function toScheduleView(id: string, { spec, state, info }: ScheduleDescription): ScheduleView {
  const timezone = spec.timezone ?? null;
  return {
    id,
    cron: spec.calendars?.[0]?.comment ?? null,
    timezone,
    paused: state.paused,
    note: state.note === undefined || state.note === '' ? null : state.note,
    next: info.nextActionTimes.map(timeIn(timezone ?? 'UTC')),
  };
}

/** Everything of one schedule, with the reports of its latest runs from `store`. */
export async function readScheduleDetails(
  id: string,
  description: ScheduleDescription,
  store: AssetStore,
): Promise<ScheduleDetails> {
  const { action, policies, spec, info } = description;
  const input = inputOf(action);
  const runs = info.recentActions.map(async ({ scheduledAt, action: { workflow } }) => {
    const batch_id = workflow.workflowId.slice(batchWorkflowId('').length);
    const summary = (await readReport(store, batch_id)) ?? null;
    return { batch_id, nominal_time: scheduledAt.toISOString(), summary };
  });
  const summaries = await Promise.all(runs);
  const latest = summaries.map(({ summary }) => summary).findLast((summary) => summary !== null);
  const overlap = (Object.keys(OVERLAPS) as ScheduleOverlap[]).find((name) => OVERLAPS[name] === policies.overlap);
  return {
    ...toScheduleView(id, description),
    manifest_key: input.manifest_key ?? null,
    window: input.window ?? null,
    overlap: overlap ?? null,
    pause_when_failed_above: input.pause_when_failed_above ?? null,
    overlapped_next: latest != null && latest.ended_at_ms - latest.started_at_ms > gapMs(info.nextActionTimes),
    catchup_seconds: policies.catchupWindow / 1000,
    jitter_seconds: (spec.jitter ?? 0) / 1000,
    skipped: info.numActionsSkippedOverlap,
    runs: summaries,
  };
}
