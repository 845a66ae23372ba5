import { randomUUID } from 'node:crypto';
import {
  type Client,
  ScheduleAlreadyRunning,
  type ScheduleDescription,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import proto from '@temporalio/proto';
import { FailureType } from '../contract/failure-type.js';
import { batchScheduleId } from '../contract/names.js';
import { checkOptions } from '../contract/options.js';
import { invalidRequest } from '../contract/validate.js';
import type { AssetStore } from '../storage/asset-store.js';
import { clientOf, DEFAULT_TASK_QUEUE, STORE_CLIENT_OPTIONS, type WanBatchClientOptions } from './batch-options.js';
import { ESTIMATE_OPTIONS } from './call-options.js';
import { type ClockChange, clockChanges, shiftedEntries } from './clock-changes.js';
import { VideoRunError } from './run-error.js';
import { type EstimateScheduleOptions, estimateSchedule, type ScheduleEstimate } from './schedule-estimate.js';
import { checkStoredManifest, stageScheduleManifest } from './schedule-manifest.js';
import { type ScheduleDetails, type ScheduleView, scheduleDetails, scheduleView, timesOf } from './schedule-view.js';
import {
  backfilledSchedule,
  batchInputOf,
  checkSchedule,
  pausedAtOf,
  pausedSchedule,
  resumedSchedule,
  type ScheduledBatch,
  SHIFT_YEARS,
  scheduleDefinition,
  waitingRuns,
  withCron,
} from './scheduled-batch.js';

const PREFIX = batchScheduleId('');

/** The moments between which runs are started again. */
export interface BackfillPeriod {
  readonly from: Date;
  readonly to: Date;
}

/** What a backfill would start. */
export interface BackfillPlan {
  readonly id: string;
  /** Nominal times of its runs, ISO 8601, UTC; Temporal lists at most 1,000. */
  readonly runs: readonly string[];
  /** Local times between the two moments whose runs are not what the expression says. */
  readonly clock_changes: readonly ClockChange[];
}

/** Creates, shows and controls schedules of batches. Methods reject as those of `WanVideoClient` do. */
export class WanScheduleClient {
  readonly #client: Client;
  readonly #store: AssetStore;
  readonly #taskQueue: string;

  /** @throws VideoError `ConfigurationInvalid` with the name of an option that cannot be used. */
  constructor(options: WanBatchClientOptions) {
    checkOptions('WanScheduleClient', options, STORE_CLIENT_OPTIONS);
    const { store, taskQueue = DEFAULT_TASK_QUEUE } = options;
    this.#client = clientOf(options);
    this.#store = store;
    this.#taskQueue = taskQueue;
  }

  /**
   * Creates a schedule, or replaces the settings of an existing one; a paused schedule stays paused.
   * @throws VideoError `InvalidRequest` for an invalid cron expression, time zone, manifest or number; nothing is
   * changed then.
   * @example
   * ```ts
   * await schedules.create({
   *   id: 'nightly',
   *   cron: '30 2 * * *',
   *   timezone: 'Europe/Berlin',
   *   manifest: { key: 'lists/{date}.jsonl' },
   *   manifestWaitSeconds: 3600,
   * });
   * ```
   */
  async create(schedule: ScheduledBatch): Promise<'created' | 'updated'> {
    checkSchedule(schedule);
    const manifestKey = await stageScheduleManifest(schedule, this.#store);
    const shifted = schedule.dst === 'shift' ? await this.#shifted(schedule) : [];
    const definition = (pausedAt?: string) =>
      scheduleDefinition(schedule, manifestKey, this.#taskQueue, { shifted, pausedAt });
    return withCron(schedule.cron, async () => {
      try {
        await this.#client.schedule.create({ scheduleId: batchScheduleId(schedule.id), ...definition() });
        return 'created';
      } catch (error) {
        if (!(error instanceof ScheduleAlreadyRunning)) throw error;
        await this.#handle(schedule.id).update((current) => ({
          ...definition(pausedAtOf(current)),
          state: current.state,
        }));
        return 'updated';
      }
    });
  }

  /**
   * Estimates the next run of a schedule before it is created: what it would cost and how long it would take. Nothing
   * is staged or started; Temporal computes the times with a paused schedule, which is deleted at once.
   * @throws VideoError `InvalidRequest` as {@link create} does.
   * @example
   * ```ts
   * const nightly = { id: 'nightly', cron: '30 2 * * *', timezone: 'UTC', manifest: { file: 'nightly.jsonl' } };
   * const account = { provider: 'cn-beijing', account: 'default' };
   * const { next, estimate } = await schedules.estimate(nightly, { account });
   * console.log(next[0], estimate?.counts.buy);
   * ```
   */
  async estimate(schedule: ScheduledBatch, options: EstimateScheduleOptions): Promise<ScheduleEstimate> {
    checkSchedule(schedule);
    checkOptions('estimate', options, ESTIMATE_OPTIONS);
    await checkStoredManifest(schedule, this.#store);
    const times = (await this.#describeProbe(schedule)).info.nextActionTimes;
    return estimateSchedule({ client: this.#client, store: this.#store }, schedule, times, options);
  }

  /**
   * Estimates the next run of an existing schedule.
   * @throws VideoRunError `RunNotFound`; VideoError `InvalidRequest` for a manifest with faults.
   * @example
   * ```ts
   * const account = { provider: 'cn-beijing', account: 'default' };
   * const { overlaps_next_run } = await schedules.estimateNext('nightly', { account });
   * ```
   */
  async estimateNext(id: string, options: EstimateScheduleOptions): Promise<ScheduleEstimate> {
    checkOptions('estimateNext', options, ESTIMATE_OPTIONS);
    const description = await this.#describe(id);
    const { manifest_key, window, allow_invalid, deliver } = batchInputOf(description);
    const schedule = {
      id,
      timezone: description.spec.timezone ?? 'UTC',
      manifest: manifest_key === undefined ? null : { key: manifest_key },
      window,
      allowInvalid: allow_invalid,
      deliver,
    };
    const sources = { client: this.#client, store: this.#store };
    return estimateSchedule(sources, schedule, description.info.nextActionTimes, options);
  }

  /**
   * Lists the schedules of batches.
   * @example
   * ```ts
   * for await (const { id, paused, next } of schedules.list()) console.log(id, paused ? 'paused' : next[0]);
   * ```
   */
  async *list(): AsyncGenerator<ScheduleView> {
    for await (const { scheduleId } of this.#client.schedule.list()) {
      if (!scheduleId.startsWith(PREFIX)) continue;
      const id = scheduleId.slice(PREFIX.length);
      const description = await this.#handle(id)
        .describe()
        .catch((error: unknown) => {
          if (error instanceof ScheduleNotFoundError) return undefined; // deleted meanwhile
          throw error;
        });
      if (description !== undefined) yield scheduleView(id, description);
    }
  }

  /**
   * Reads a schedule with its settings, its next times and the reports of its latest runs.
   * @throws VideoRunError `RunNotFound`.
   * @example
   * ```ts
   * const { runs, skipped } = await schedules.show('nightly');
   * console.log(runs.at(-1)?.summary?.outcome, skipped);
   * ```
   */
  async show(id: string): Promise<ScheduleDetails> {
    return scheduleDetails(id, await this.#describe(id), this.#store);
  }

  /**
   * Starts no run until the schedule is resumed. Those that wait for their turn, also those of a backfill, are not
   * started later either: each ends as `schedule_paused`. A run in progress goes on.
   * @throws VideoRunError `RunNotFound`.
   * @example
   * ```ts
   * await schedules.pause('nightly', 'the manifest is being corrected');
   * ```
   */
  async pause(id: string, note = 'paused on request'): Promise<void> {
    const handle = this.#handle(id);
    // First of all, and without reading the schedule, which may need a payload codec that is not here.
    await this.#call(id, handle.pause(note));
    await this.#call(
      id,
      handle.update((current) => pausedSchedule(current, note, new Date())),
    );
  }

  /**
   * Starts runs again from now on; runs that were due during the pause are not caught up (see {@link backfill}).
   * @throws VideoRunError `RunNotFound`.
   * @example
   * ```ts
   * await schedules.resume('nightly');
   * ```
   */
  async resume(id: string): Promise<void> {
    await this.#call(
      id,
      this.#handle(id).update((current) => resumedSchedule(current, 'resumed')),
    );
  }

  /**
   * Starts a run now, even of a paused schedule; two calls within one second start one run.
   * @throws VideoRunError `RunNotFound`.
   * @example
   * ```ts
   * await schedules.trigger('nightly');
   * ```
   */
  async trigger(id: string): Promise<void> {
    await this.#call(id, this.#handle(id).trigger(ScheduleOverlapPolicy.BUFFER_ALL));
  }

  /**
   * Lists the runs that {@link backfill} would start, and starts nothing.
   * @throws VideoRunError `RunNotFound`; VideoError `InvalidRequest` unless `from` is before `to`.
   * @example
   * ```ts
   * const { runs, clock_changes } = await schedules.planBackfill('nightly', {
   *   from: new Date('2027-03-26'),
   *   to: new Date('2027-03-30'),
   * });
   * console.log(runs.length, clock_changes.map(({ local, kind }) => `${local} ${kind}`));
   * ```
   */
  async planBackfill(id: string, { from, to }: BackfillPeriod): Promise<BackfillPlan> {
    assertPeriod({ from, to });
    const times = timesOf(await this.#describe(id));
    const { startTime } = await this.#client.workflowService.listScheduleMatchingTimes({
      namespace: this.#client.options.namespace,
      scheduleId: batchScheduleId(id),
      startTime: timestamp(from),
      endTime: timestamp(to),
    });
    return {
      id,
      runs: startTime.map((time) => new Date(Number(time.seconds ?? 0) * 1000).toISOString()),
      clock_changes: clockChanges(times, from, to),
    };
  }

  /**
   * Starts the runs that were due between two moments, one after another, each with its own nominal time, also of a
   * paused schedule. {@link pause} stops it.
   * @throws VideoRunError `RunNotFound`; VideoError `InvalidRequest` unless `from` is before `to`, or while runs that a
   * pause has stopped are still ending.
   * @example
   * ```ts
   * await schedules.backfill('nightly', { from: new Date('2026-03-01'), to: new Date('2026-03-04') });
   * ```
   */
  async backfill(id: string, { from, to }: BackfillPeriod): Promise<void> {
    assertPeriod({ from, to });
    const handle = this.#handle(id);
    if (pausedAtOf(await this.#describe(id)) !== undefined) {
      const resumed = handle.update((current) => {
        assertNoneWaits(current);
        return backfilledSchedule(current);
      });
      await this.#call(id, resumed);
    }
    const overlap = ScheduleOverlapPolicy.BUFFER_ALL;
    await this.#call(id, handle.backfill({ start: from, end: to, overlap }));
  }

  /**
   * Deletes a schedule; the batches that it has started remain.
   * @throws VideoRunError `RunNotFound`.
   * @example
   * ```ts
   * await schedules.delete('nightly');
   * ```
   */
  async delete(id: string): Promise<void> {
    await this.#call(id, this.#handle(id).delete());
  }

  /** A schedule that does not exist yet, as Temporal understands its times. */
  async #describeProbe(schedule: ScheduledBatch): Promise<ScheduleDescription> {
    const scheduleId = `wan-video-probe/${randomUUID()}`;
    const state = { paused: true, note: 'created to compute its times' };
    const definition = scheduleDefinition(schedule, 'none', this.#taskQueue);
    const probe = await withCron(schedule.cron, () =>
      this.#client.schedule.create({ scheduleId, ...definition, state }),
    );
    try {
      return await probe.describe();
    } finally {
      await probe.delete().catch(() => undefined); // it is paused and starts nothing
    }
  }

  async #shifted(schedule: ScheduledBatch) {
    const times = timesOf(await this.#describeProbe(schedule));
    const now = new Date();
    const until = new Date(now);
    until.setUTCFullYear(now.getUTCFullYear() + SHIFT_YEARS);
    return shiftedEntries(times, now, until);
  }

  #handle(id: string) {
    return this.#client.schedule.getHandle(batchScheduleId(id));
  }

  #describe(id: string): Promise<ScheduleDescription> {
    return this.#call(id, this.#handle(id).describe());
  }

  /** Awaits a call to a schedule; throws `RunNotFound` when there is no such schedule. */
  async #call<T>(id: string, call: Promise<T>): Promise<T> {
    return call.catch((error: unknown) => {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
      throw new VideoRunError(id, { type: FailureType.RunNotFound, message: `There is no schedule ${id}` }, error);
    });
  }
}

function assertPeriod({ from, to }: BackfillPeriod): void {
  if (from.getTime() < to.getTime()) return;
  throw invalidRequest([{ path: 'from', message: 'must be before the end of the period' }]);
}

function assertNoneWaits(schedule: ScheduleDescription): void {
  const waiting = waitingRuns(schedule);
  if (waiting === 0) return;
  const message = `has ${waiting} runs that wait since its pause, and that would be started as well; `;
  throw invalidRequest([{ path: 'id', message: `${message}try again once they have ended` }]);
}

const timestamp = (moment: Date) => {
  const seconds = Math.floor(moment.getTime() / 1000);
  const nanos = (moment.getTime() - seconds * 1000) * 1_000_000;
  return proto.google.protobuf.Timestamp.fromObject({ seconds, nanos });
};
