import type { ScheduleDescription } from '@temporalio/client';
import { readReport } from '../batch/batch-files.js';
import type { BatchSummary } from '../contract/batch.js';
import { batchWorkflowId } from '../contract/names.js';
import { DAY_MS } from '../contract/utc.js';
import type { AssetStore } from '../storage/asset-store.js';
import { type ClockChange, clockChanges, isShifted } from './clock-changes.js';
import { timeFormat } from './local-time.js';
import { batchInputOf, overlapOf, type ScheduleOverlap } from './scheduled-batch.js';

/** A schedule as it is listed. */
export interface ScheduleView {
  readonly id: string;
  readonly cron: string | null;
  readonly timezone: string | null;
  readonly paused: boolean;
  readonly note: string | null;
  /** Times of the next runs in the schedule's zone, such as `2026-03-31 02:30`. */
  readonly next: readonly string[];
}

/** A schedule with all its settings and its latest runs. */
export interface ScheduleDetails extends ScheduleView {
  readonly manifest_key: string | null;
  readonly window: number | null;
  /** Names that the videos of its runs get; null: they get none. */
  readonly deliver: string | null;
  readonly overlap: ScheduleOverlap | null;
  readonly catchup_seconds: number;
  readonly jitter_seconds: number;
  readonly pause_when_failed_above: number | null;
  /** Whether the latest finished run took longer than the time between the next two. */
  readonly overlapped_next: boolean;
  /** Runs that were left out because the previous one was still running. */
  readonly skipped: number;
  /** Runs that were left out because they were due longer ago than `catchup_seconds` when Temporal came to them. */
  readonly missed: number;
  /** Local times of the next twelve months whose runs are not what the expression says, because clocks are changed. */
  readonly clock_changes: readonly ClockChange[];
  /** The latest runs, the newest last. */
  readonly runs: readonly {
    readonly batch_id: string;
    readonly nominal_time: string;
    /** Null while it is running, or when it has ended without a report. */
    readonly summary: BatchSummary | null;
  }[];
}

/** A schedule as it is listed. */
export function scheduleView(id: string, { spec, state, info }: ScheduleDescription): ScheduleView {
  const timezone = spec.timezone ?? null;
  return {
    id,
    cron: spec.calendars?.find((calendar) => !isShifted(calendar))?.comment ?? null,
    timezone,
    paused: state.paused,
    note: state.note === undefined || state.note === '' ? null : state.note,
    next: info.nextActionTimes.map(timeFormat(timezone ?? 'UTC')),
  };
}

/** A schedule with the reports of its latest runs, which are read from the store. */
export async function scheduleDetails(
  id: string,
  description: ScheduleDescription,
  store: AssetStore,
  now = new Date(),
): Promise<ScheduleDetails> {
  const { policies, spec, info } = description;
  const input = batchInputOf(description);
  const runs = await Promise.all(
    info.recentActions.map(async ({ scheduledAt, action: { workflow } }) => {
      const batch_id = workflow.workflowId.slice(batchWorkflowId('').length);
      const summary = (await readReport(store, batch_id)) ?? null;
      return { batch_id, nominal_time: scheduledAt.toISOString(), summary };
    }),
  );
  const latest = runs.map(({ summary }) => summary).findLast((summary) => summary !== null);
  return {
    ...scheduleView(id, description),
    manifest_key: input.manifest_key ?? null,
    window: input.window ?? null,
    deliver: input.deliver ?? null,
    overlap: overlapOf(policies.overlap) ?? null,
    pause_when_failed_above: input.pause_when_failed_above ?? null,
    overlapped_next: latest != null && latest.ended_at_ms - latest.started_at_ms > gapMs(info.nextActionTimes),
    catchup_seconds: policies.catchupWindow / 1000,
    jitter_seconds: (spec.jitter ?? 0) / 1000,
    skipped: info.numActionsSkippedOverlap,
    missed: info.numActionsMissedCatchupWindow,
    clock_changes: clockChanges(timesOf(description), now, new Date(now.getTime() + YEAR_MS)),
    runs,
  };
}

/** The times of a schedule and their zone. */
export const timesOf = ({ spec }: ScheduleDescription) => ({
  calendars: spec.calendars ?? [],
  timezone: spec.timezone ?? 'UTC',
});

const YEAR_MS = 366 * DAY_MS;

/** Milliseconds between the next two runs; infinite when there are fewer than two. */
export function gapMs([first, second]: readonly Date[]): number {
  return first === undefined || second === undefined ? Number.POSITIVE_INFINITY : second.getTime() - first.getTime();
}
