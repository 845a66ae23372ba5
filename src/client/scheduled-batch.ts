import { type ScheduleDescription, ScheduleOverlapPolicy, type ScheduleUpdateOptions } from '@temporalio/client';
import { dateIn } from '../batch/manifest-key.js';
import type { VideoBatchInput } from '../contract/batch.js';
import type { DeliveryReport } from '../contract/delivery.js';
import { batchWorkflowId, SCHEDULE_MEMO, WorkflowType } from '../contract/names.js';
import {
  A_FLAG,
  A_TEXT,
  AN_OBJECT,
  ANYTHING,
  checkOptions,
  type OptionRule,
  type OptionRules,
  oneOf,
  type RulesOf,
  required,
} from '../contract/options.js';
import { invalidRequest } from '../contract/validate.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { checkDelivery, deliveryInput } from './batch-delivery.js';
import { checkScheduleId, checkWindow } from './batch-options.js';
import type { shiftedEntries } from './clock-changes.js';
import { batchDetails } from './run-texts.js';

/** What happens when a run is due while the previous one is still running. */
export type ScheduleOverlap = 'skip' | 'buffer_one' | 'buffer_all' | 'allow_all';

/** A batch that is started at the times of a schedule. */
export interface ScheduledBatch {
  /** The beginning of the batches' ids: `<id>-<nominal time>`. */
  readonly id: string;
  /** Five fields: minute, hour, day of month, month, day of week. */
  readonly cron: string;
  /** IANA time zone of `cron` and of `{date}`. */
  readonly timezone: string;
  /**
   * A file, which is checked and staged once; or a key of the store, which each run reads, with `{date}` for its
   * nominal date.
   */
  readonly manifest: { readonly file: string } | { readonly key: string };
  /** Items in progress at a time; default 10. */
  readonly window?: number | undefined;
  /** Leave out lines with faults instead of refusing the whole manifest; default false. */
  readonly allowInvalid?: boolean | undefined;
  /** How long a run waits for its manifest, in seconds; default 0. */
  readonly manifestWaitSeconds?: number | undefined;
  /** Default `buffer_one`: a run that is due meanwhile starts at the end of the previous one. */
  readonly overlap?: ScheduleOverlap | undefined;
  /** How late a run may start that an outage or a long batch has delayed, in seconds; default one day. */
  readonly catchupSeconds?: number | undefined;
  /** Longest random delay of a start, in seconds; default 0. */
  readonly jitterSeconds?: number | undefined;
  /**
   * What becomes of a time that the clocks of the zone skip in spring: `skip` starts no run, as Temporal does; `shift`
   * starts it as much later, for the next `SHIFT_YEARS` years. Default `skip`.
   */
  readonly dst?: 'skip' | 'shift' | undefined;
  /**
   * Names under which the videos of each run are copied inside the store at its end, such as
   * `delivery/{date}/{item_id}.mp4`; `{date}` is the nominal date. Default: they are not copied.
   */
  readonly deliver?: string | undefined;
  /** Documents that are written next to the copies; default: none. */
  readonly deliverReports?: readonly DeliveryReport[] | undefined;
  /** Name of the receiver of the webhook events, as the workers configure it; default: `default`. */
  readonly receiver?: string | undefined;
  /**
   * Share of items, from 0 to below 1: a run of which more items fail or wait for a person pauses the schedule at its
   * end. Default: never. Cancelled items, and items that requested nothing of the provider, are not counted.
   */
  readonly pauseWhenFailedAbove?: number | undefined;
}

/** Temporal takes each shifted time as an entry of its own, so they are made for some years ahead. */
export const SHIFT_YEARS = 5;

/** A day: a nightly batch that takes too long, or an outage of hours, loses no night. */
const CATCHUP_SECONDS = 86_400;
const OVERLAPS: Readonly<Record<ScheduleOverlap, ScheduleOverlapPolicy>> = {
  skip: ScheduleOverlapPolicy.SKIP,
  buffer_one: ScheduleOverlapPolicy.BUFFER_ONE,
  buffer_all: ScheduleOverlapPolicy.BUFFER_ALL,
  allow_all: ScheduleOverlapPolicy.ALLOW_ALL,
};

/** Our name of Temporal's policy; undefined for a policy that has none. */
export const overlapOf = (policy: ScheduleOverlapPolicy): ScheduleOverlap | undefined =>
  (Object.keys(OVERLAPS) as ScheduleOverlap[]).find((name) => OVERLAPS[name] === policy);

/** What a schedule has in addition to what was requested. */
interface DefinitionState {
  /** Its entries for times that the clocks skip. */
  readonly shifted?: ReturnType<typeof shiftedEntries>;
  /** When it was paused together with what waits for its turn. */
  readonly pausedAt?: string | undefined;
}

/** The schedule as Temporal keeps it. */
export function scheduleDefinition(
  schedule: ScheduledBatch,
  manifestKey: string,
  taskQueue: string,
  { shifted = [], pausedAt }: DefinitionState = {},
) {
  const { id, cron, timezone, window, allowInvalid, manifestWaitSeconds, overlap = 'buffer_one' } = schedule;
  const { catchupSeconds = CATCHUP_SECONDS, jitterSeconds = 0, pauseWhenFailedAbove } = schedule;
  const input: VideoBatchInput = {
    manifest_key: manifestKey,
    schedule_id: id,
    timezone,
    ...(window !== undefined && { window }),
    ...(allowInvalid === true && { allow_invalid: true }),
    ...(manifestWaitSeconds !== undefined && { manifest_wait_seconds: manifestWaitSeconds }),
    ...(pauseWhenFailedAbove !== undefined && { pause_when_failed_above: pauseWhenFailedAbove }),
    ...(pausedAt !== undefined && { schedule_paused_at: pausedAt }),
    ...deliveryInput(schedule),
  };
  return {
    // Temporal keeps the times and drops the expression, but not the comment after it.
    spec: {
      cronExpressions: [`${cron.trim()} # ${cron.trim()}`],
      ...(shifted.length > 0 && { calendars: shifted }),
      timezone,
      jitter: jitterSeconds * 1000,
    },
    action: {
      type: 'startWorkflow' as const,
      workflowType: WorkflowType.videoBatch,
      workflowId: batchWorkflowId(id),
      taskQueue,
      args: [input],
      memo: { [SCHEDULE_MEMO]: id },
      staticSummary: `scheduled by ${id}: ${cron} in ${timezone}`,
      staticDetails: batchDetails(input),
    },
    // A failed item does not fail its batch, so a pause on failure would react to broken manifests only.
    policies: { overlap: OVERLAPS[overlap], catchupWindow: catchupSeconds * 1000, pauseOnFailure: false },
  };
}

/** The input of the batches that a schedule starts. */
export const batchInputOf = ({ action }: ScheduleDescription): VideoBatchInput =>
  ((action.args ?? []) as [VideoBatchInput?])[0] ?? {};

/** Whether a schedule starts nothing, neither at its times nor of what waits for its turn. */
export const isQueuePaused = (schedule: ScheduleDescription): boolean =>
  schedule.state.paused && pausedAtOf(schedule) !== undefined;

/**
 * A schedule that starts no run any more, not even one that waits for its turn: Temporal starts a backfill's runs also
 * while the schedule is paused, so each finds in its input that it is not to begin.
 */
export const pausedSchedule = (current: ScheduleDescription, note: string, now: Date): ScheduleUpdateOptions =>
  withState(current, { paused: true, note }, now.toISOString());

/** A schedule that starts its runs again; what was waiting at its pause is not started by that. */
export const resumedSchedule = (current: ScheduleDescription, note: string): ScheduleUpdateOptions =>
  withState(current, { paused: false, note }, waitingRuns(current) === 0 ? undefined : pausedAtOf(current));

/** A schedule that starts the runs of a backfill, paused or not. */
export const backfilledSchedule = (current: ScheduleDescription): ScheduleUpdateOptions =>
  withState(current, current.state, undefined);

/** When a schedule was paused together with what waits for its turn. */
export const pausedAtOf = (schedule: ScheduleDescription): string | undefined =>
  batchInputOf(schedule).schedule_paused_at;

/** How many runs wait for the end of the one before them. */
export const waitingRuns = ({ raw }: ScheduleDescription): number => Number(raw.info?.bufferSize ?? 0);

function withState(
  current: ScheduleDescription,
  state: ScheduleUpdateOptions['state'],
  pausedAt: string | undefined,
): ScheduleUpdateOptions {
  const { spec, policies, action } = current;
  const { schedule_paused_at: _, ...input } = batchInputOf(current);
  const args = [{ ...input, ...(pausedAt !== undefined && { schedule_paused_at: pausedAt }) }];
  return { spec, policies, state: { ...current.state, ...state }, action: { ...action, args } };
}

const SECONDS: OptionRule = {
  must: 'must be a number of seconds from 0',
  isValid: (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0,
};
const SCHEDULE_OPTIONS: RulesOf<ScheduledBatch> = {
  id: required(A_TEXT),
  cron: required(A_TEXT),
  timezone: required(A_TEXT),
  manifest: required(AN_OBJECT),
  window: ANYTHING,
  allowInvalid: A_FLAG,
  manifestWaitSeconds: SECONDS,
  overlap: oneOf('skip', 'buffer_one', 'buffer_all', 'allow_all'),
  catchupSeconds: SECONDS,
  jitterSeconds: SECONDS,
  dst: oneOf('skip', 'shift'),
  deliver: ANYTHING,
  deliverReports: ANYTHING,
  receiver: ANYTHING,
  pauseWhenFailedAbove: ANYTHING,
};

/** Checks a schedule and where its manifest is. @throws VideoError `ConfigurationInvalid` by the option's name. */
function checkScheduleOptions(schedule: unknown): void {
  checkOptions('a schedule', schedule, SCHEDULE_OPTIONS);
  const { manifest } = schedule as ScheduledBatch;
  const rules: OptionRules = 'key' in manifest ? { key: required(A_TEXT) } : { file: required(A_TEXT) };
  checkOptions("a schedule's manifest", manifest, rules);
}

/** @throws VideoError `InvalidRequest` with all faults of the schedule, except those of its manifest. */
export function checkSchedule(schedule: ScheduledBatch): void {
  checkScheduleOptions(schedule);
  const { id, window, timezone, cron, pauseWhenFailedAbove: share } = schedule;
  const checks = [
    () => checkScheduleId(id),
    () => checkWindow(window),
    () => checkDelivery(schedule),
    () => void dateIn(timezone, new Date()),
    () => {
      // Temporal would take `#` for a comment, `@` for an interval, and `=` for a zone that the option does not name.
      if (cron.trim().split(/\s+/).length === 5 && !/[#@=]/.test(cron)) return;
      throw invalidCron(cron, 'must have five fields: minute, hour, day of month, month, day of week');
    },
    () => {
      if (share === undefined || (share >= 0 && share < 1)) return;
      const message = 'must be a share from 0 to below 1, such as 0.25';
      throw invalidRequest([{ path: 'pauseWhenFailedAbove', message }]);
    },
  ];
  const issues = checks.flatMap(issuesOf);
  if (issues.length > 0) throw invalidRequest(issues);
}

function issuesOf(check: () => void): readonly Issue[] {
  try {
    check();
    return [];
  } catch (error) {
    if (error instanceof VideoError && error.issues !== undefined) return error.issues;
    throw error;
  }
}

/** Runs a call that gives Temporal a cron expression. @throws VideoError `InvalidRequest` when Temporal refuses it. */
export async function withCron<T>(cron: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    // The SDK turns the server's "Invalid schedule spec" into this error.
    if (error instanceof TypeError) throw invalidCron(cron, `is refused: ${error.message}`);
    throw error;
  }
}

const invalidCron = (cron: string, message: string): VideoError =>
  invalidRequest([{ path: 'cron', message: `${message}: ${cron}` }]);
