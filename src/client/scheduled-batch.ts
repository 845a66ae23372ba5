import { ScheduleOverlapPolicy } from '@temporalio/client';
import { dateIn } from '../batch/manifest-key.js';
import { invalidRequest } from '../contract/validate.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { checkScheduleId, checkWindow } from './batch-parts.js';

/** What happens when a run is due while the one before still runs. */
export type ScheduleOverlap = 'skip' | 'buffer_one' | 'buffer_all' | 'allow_all';

/** A batch that is started again and again. */
export interface ScheduledBatch {
  /** Part of the batches' ids: `<id>-<nominal time>`. */
  readonly id: string;
  /** Five fields: minute, hour, day of month, month, day of week. */
  readonly cron: string;
  /** IANA zone that the times and `{date}` are meant in. */
  readonly timezone: string;
  /**
   * A file, which is checked, staged and kept; or a key of the store, read at each run, in which `{date}` is the
   * nominal date.
   */
  readonly manifest: { readonly file: string } | { readonly key: string };
  readonly window?: number | undefined;
  readonly allowInvalid?: boolean | undefined;
  /** How long a run waits for its manifest, in seconds; default 0. */
  readonly manifestWaitSeconds?: number | undefined;
  /** Default `buffer_one`: a run that is due meanwhile starts at the end of the one before. */
  readonly overlap?: ScheduleOverlap | undefined;
  /**
   * Runs that were missed, by an outage of Temporal or behind a long batch, are made up for this long; seconds, default
   * one day.
   */
  readonly catchupSeconds?: number | undefined;
  /** Up to so many seconds later, at random; default 0. */
  readonly jitterSeconds?: number | undefined;
  /**
   * Pauses the schedule at the end of a run of which a larger share of the items, 0 to below 1, failed or waits for a
   * person; default: never. Items that nothing was asked of the provider for, and cancelled ones, count on neither
   * side.
   */
  readonly pauseWhenFailedAbove?: number | undefined;
}

/** Temporal's names of the overlaps. */
export const OVERLAPS: Readonly<Record<ScheduleOverlap, ScheduleOverlapPolicy>> = {
  skip: ScheduleOverlapPolicy.SKIP,
  buffer_one: ScheduleOverlapPolicy.BUFFER_ONE,
  buffer_all: ScheduleOverlapPolicy.BUFFER_ALL,
  allow_all: ScheduleOverlapPolicy.ALLOW_ALL,
};

/** @throws VideoError `InvalidRequest` with every fault of what no schedule can be. */
export function checkScheduledBatch({ id, window, timezone, cron, pauseWhenFailedAbove: share }: ScheduledBatch): void {
  const issues = [
    () => checkScheduleId(id),
    () => checkWindow(window),
    () => void dateIn(timezone, new Date()),
    () => {
      if (cron.trim().split(/\s+/).length === 5) return;
      throw invalidCron(cron, 'has five fields: minute, hour, day of month, month, day of week');
    },
    () => {
      if (share === undefined || (share >= 0 && share < 1)) return;
      const message = 'must be a share from 0 to below 1, such as 0.25';
      throw invalidRequest([{ path: 'pauseWhenFailedAbove', message }]);
    },
  ].flatMap(issuesOf);
  if (issues.length > 0) throw invalidRequest(issues);
}

function issuesOf(judge: () => void): readonly Issue[] {
  try {
    judge();
    return [];
  } catch (error) {
    if (error instanceof VideoError && error.issues !== undefined) return error.issues;
    throw error;
  }
}

/** Turns the server's refusal of a cron expression into `InvalidRequest`. */
export async function rejectInvalidCron<T>(cron: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    // What the SDK makes of the server's "Invalid schedule spec".
    if (error instanceof TypeError) throw invalidCron(cron, `is refused: ${error.message}`);
    throw error;
  }
}

const invalidCron = (cron: string, message: string): VideoError =>
  invalidRequest([{ path: 'cron', message: `${message}: ${cron}` }]);
