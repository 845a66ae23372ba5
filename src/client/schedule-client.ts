import { randomUUID } from 'node:crypto';
import {
  type Client,
  ScheduleAlreadyRunning,
  type ScheduleDescription,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import { readReport } from '../batch/batch-files.js';
import { invalidManifest, type ManifestFault, readManifest } from '../batch/manifest.js';
import { DATE_PLACEHOLDER, dateIn, manifestKeyAt } from '../batch/manifest-key.js';
import { prepareManifest } from '../batch/prepare-manifest.js';
import type { BatchSummary, VideoBatchInput } from '../contract/batch.js';
import { FailureType } from '../contract/failure-type.js';
import { batchScheduleId, batchWorkflowId, SCHEDULE_MEMO, WorkflowType } from '../contract/names.js';
import { invalidRequest } from '../contract/validate.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { scheduledManifestKey } from '../storage/keys.js';
import { type BatchEstimate, type EstimateAccount, estimateBatch } from './batch-estimate.js';
import {
  batchParts,
  checkScheduleId,
  checkWindow,
  folderOf,
  identifyInline,
  imagesInFolder,
  openManifest,
  type WanBatchClientOptions,
} from './batch-parts.js';
import { VideoRunError } from './run-error.js';
import { batchDetails } from './run-texts.js';

/** What happens when a run is due while the one before still runs. */
type ScheduleOverlap = 'skip' | 'buffer_one' | 'buffer_all' | 'allow_all';

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

/** What the next run of a schedule would cost and take. */
export interface ScheduleEstimate {
  readonly id: string;
  /** Of the next runs, in the schedule's zone. */
  readonly next: readonly string[];
  /** Key of the manifest that the next run reads; null for a file that is not staged yet. */
  readonly manifest_key: string | null;
  /** Null when the manifest is not there yet. */
  readonly estimate: BatchEstimate | null;
  /** When the last video of the next run would be there, in the schedule's zone. */
  readonly expected: { readonly earliest_at: string; readonly latest_at: string } | null;
  /** Whether that may be after the run that follows it is due. */
  readonly overlaps_next_run: boolean;
}

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

const PREFIX = batchScheduleId('');
/** A day: a nightly batch that runs long, or an outage of hours, loses no night. */
const CATCHUP_SECONDS = 86_400;
const OVERLAPS: Readonly<Record<ScheduleOverlap, ScheduleOverlapPolicy>> = {
  skip: ScheduleOverlapPolicy.SKIP,
  buffer_one: ScheduleOverlapPolicy.BUFFER_ONE,
  buffer_all: ScheduleOverlapPolicy.BUFFER_ALL,
  allow_all: ScheduleOverlapPolicy.ALLOW_ALL,
};

/** Creates, shows and steers schedules of batches. Methods reject as those of `WanVideoClient` do. */
export class WanScheduleClient {
  readonly #client: Client;
  readonly #store: AssetStore;
  readonly #taskQueue: string;

  constructor(options: WanBatchClientOptions) {
    const { client, store, taskQueue } = batchParts(options);
    [this.#client, this.#store, this.#taskQueue] = [client, store, taskQueue];
  }

  /**
   * Creates a schedule, or makes the one of this id what is said here; a paused one stays paused.
   * @throws VideoError `InvalidRequest` for a cron expression, zone, manifest or number that cannot be used; nothing is
   * changed then.
   */
  async create(schedule: ScheduledBatch): Promise<'created' | 'updated'> {
    check(schedule);
    const definition = this.#definition(schedule, await this.#manifestKey(schedule));
    return refusingCron(schedule.cron, async () => {
      try {
        await this.#client.schedule.create({ scheduleId: batchScheduleId(schedule.id), ...definition });
        return 'created';
      } catch (error) {
        if (!(error instanceof ScheduleAlreadyRunning)) throw error;
        await this.#handle(schedule.id).update(({ state }) => ({ ...definition, state }));
        return 'updated';
      }
    });
  }

  /**
   * What the next run of a schedule would cost and take, before it is made. Nothing is staged or started; Temporal
   * returns the times by a schedule that is paused from its beginning and removed at once.
   * @throws VideoError `InvalidRequest` as {@link create}.
   */
  async estimate(
    schedule: ScheduledBatch,
    options: { readonly account: EstimateAccount; readonly signal?: AbortSignal | undefined },
  ): Promise<ScheduleEstimate> {
    check(schedule);
    const key = 'key' in schedule.manifest ? schedule.manifest.key : null;
    if (key !== null) await this.#checkKey(key, schedule);
    const times = await this.#timesOf(schedule);
    return this.#estimate({ ...schedule, key }, times, options);
  }

  /**
   * What the next run of a schedule that exists would cost and take.
   * @throws VideoRunError `RunNotFound`; VideoError `InvalidRequest` for a manifest with faults.
   */
  async estimateNext(
    id: string,
    options: { readonly account: EstimateAccount; readonly signal?: AbortSignal | undefined },
  ): Promise<ScheduleEstimate> {
    const { action, spec, info } = await this.#here(id, () => this.#handle(id).describe());
    const input = inputOf(action);
    return this.#estimate(
      {
        id,
        timezone: spec.timezone ?? 'UTC',
        key: input.manifest_key ?? null,
        window: input.window,
        allowInvalid: input.allow_invalid,
        manifest: { key: input.manifest_key ?? '' },
      },
      info.nextActionTimes,
      options,
    );
  }

  /** Every schedule of a batch. */
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
      if (description !== undefined) yield viewOf(id, description);
    }
  }

  /** One schedule, with its next times and what its latest runs came to. */
  async show(id: string): Promise<ScheduleDetails> {
    const description = await this.#here(id, () => this.#handle(id).describe());
    const { action, policies, spec, info } = description;
    const input = inputOf(action);
    const runs = info.recentActions.map(async ({ scheduledAt, action: { workflow } }) => {
      const batch_id = workflow.workflowId.slice(batchWorkflowId('').length);
      const summary = (await readReport(this.#store, batch_id)) ?? null;
      return { batch_id, nominal_time: scheduledAt.toISOString(), summary };
    });
    const summaries = await Promise.all(runs);
    const latest = summaries.map(({ summary }) => summary).findLast((summary) => summary !== null);
    const overlap = (Object.keys(OVERLAPS) as ScheduleOverlap[]).find((name) => OVERLAPS[name] === policies.overlap);
    return {
      ...viewOf(id, description),
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

  /** Starts no run until it is resumed. */
  async pause(id: string, note = 'paused on request'): Promise<void> {
    await this.#here(id, () => this.#handle(id).pause(note));
  }

  /** Starts runs again from now on; what was due meanwhile is not made up for (see {@link backfill}). */
  async resume(id: string): Promise<void> {
    await this.#here(id, () => this.#handle(id).unpause('resumed'));
  }

  /** Starts a run now, also of a paused schedule; two within one second are one. */
  async trigger(id: string): Promise<void> {
    await this.#here(id, () => this.#handle(id).trigger(ScheduleOverlapPolicy.BUFFER_ALL));
  }

  /** Makes up for the runs between two moments, one after the other, each with its own nominal time. */
  async backfill(id: string, { from, to }: { readonly from: Date; readonly to: Date }): Promise<void> {
    if (!(from.getTime() < to.getTime())) {
      throw invalidRequest([{ path: 'from', message: 'must be before the end of the time that is made up for' }]);
    }
    const overlap = ScheduleOverlapPolicy.BUFFER_ALL;
    await this.#here(id, () => this.#handle(id).backfill({ start: from, end: to, overlap }));
  }

  /** Removes a schedule; the batches that it has started stay. */
  async delete(id: string): Promise<void> {
    await this.#here(id, () => this.#handle(id).delete());
  }

  #definition(schedule: ScheduledBatch, manifestKey: string) {
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
    };
    return {
      // Temporal keeps the times and forgets the expression, but for the remark behind it.
      spec: { cronExpressions: [`${cron.trim()} # ${cron.trim()}`], timezone, jitter: jitterSeconds * 1000 },
      action: {
        type: 'startWorkflow' as const,
        workflowType: WorkflowType.videoBatch,
        workflowId: batchWorkflowId(id),
        taskQueue: this.#taskQueue,
        args: [input],
        memo: { [SCHEDULE_MEMO]: id },
        staticSummary: `scheduled by ${id}: ${cron} in ${timezone}`,
        staticDetails: batchDetails(input),
      },
      // An item's failure is no failure of the batch, so pausing on failure would mean a broken manifest only.
      policies: { overlap: OVERLAPS[overlap], catchupWindow: catchupSeconds * 1000, pauseOnFailure: false },
    };
  }

  /** The next times of a schedule that is not made yet, as Temporal counts them. */
  async #timesOf(schedule: ScheduledBatch): Promise<readonly Date[]> {
    const scheduleId = `wan-video-probe/${randomUUID()}`;
    const state = { paused: true, note: 'asked for its times only' };
    const probe = await refusingCron(schedule.cron, () =>
      this.#client.schedule.create({ scheduleId, ...this.#definition(schedule, 'none'), state }),
    );
    try {
      return (await probe.describe()).info.nextActionTimes;
    } finally {
      await probe.delete().catch(() => undefined); // it is paused and starts nothing
    }
  }

  async #estimate(
    schedule: Pick<ScheduledBatch, 'id' | 'timezone' | 'manifest' | 'window' | 'allowInvalid'> & {
      /** Null: a file that is not staged, or there is no manifest at all. */
      readonly key: string | null;
    },
    times: readonly Date[],
    { account, signal }: { readonly account: EstimateAccount; readonly signal?: AbortSignal | undefined },
  ): Promise<ScheduleEstimate> {
    const { id, timezone, manifest, window, allowInvalid = false } = schedule;
    const [first] = times;
    const key =
      schedule.key === null ? null : manifestKeyAt(schedule.key, (first ?? new Date()).toISOString(), timezone);
    const format = timeIn(timezone);
    const next = times.map((time) => format(time));
    const isThere = key === null ? 'file' in manifest : (await this.#store.head(key, { signal })) !== undefined;
    if (!isThere) return { id, next, manifest_key: key, estimate: null, expected: null, overlaps_next_run: false };
    const parts = { client: this.#client, store: this.#store };
    const options = { allowInvalid, signal, account, window, soon: false };
    const estimate =
      key === null && 'file' in manifest
        ? await estimateBatch(parts, () => openManifest(manifest), {
            ...options,
            name: manifest.file,
            images: imagesInFolder(folderOf(manifest), this.#store, signal),
          })
        : await estimateBatch(parts, () => this.#store.get(key ?? '', { signal }), {
            ...options,
            name: key ?? '',
            images: { identify: identifyInline },
          });
    const { earliest_seconds, latest_seconds } = estimate.duration;
    const after = (seconds: number): string => format(new Date((first?.getTime() ?? 0) + seconds * 1000));
    return {
      id,
      next,
      manifest_key: key,
      estimate,
      expected: first === undefined ? null : { earliest_at: after(earliest_seconds), latest_at: after(latest_seconds) },
      overlaps_next_run: latest_seconds * 1000 > gapMs(times),
    };
  }

  #handle(id: string) {
    return this.#client.schedule.getHandle(batchScheduleId(id));
  }

  async #here<T>(id: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
      throw new VideoRunError(id, { type: FailureType.RunNotFound, message: `There is no schedule ${id}` }, error);
    }
  }

  /**
   * The key that each run reads; a file is kept under its content, so that another one never changes what a run reads.
   */
  async #manifestKey(schedule: ScheduledBatch): Promise<string> {
    const { manifest, allowInvalid = false } = schedule;
    if ('key' in manifest) {
      await this.#checkKey(manifest.key, schedule);
      return manifest.key;
    }
    const prepared = await prepareManifest(() => openManifest(manifest), {
      name: manifest.file,
      allowInvalid,
      images: imagesInFolder(folderOf(manifest), this.#store, undefined),
    });
    try {
      const key = scheduledManifestKey(prepared.sha256);
      await prepared.put(this.#store, key);
      return key;
    } finally {
      await prepared.dispose();
    }
  }

  async #checkKey(
    template: string,
    { timezone, allowInvalid = false }: Pick<ScheduledBatch, 'timezone' | 'allowInvalid'>,
  ): Promise<void> {
    const key = manifestKeyAt(template, new Date().toISOString(), timezone);
    // Whether tomorrow's manifest will be there cannot be known; what a plain key names can.
    if (template.includes(DATE_PLACEHOLDER)) return;
    if ((await this.#store.head(key)) === undefined) {
      throw invalidRequest([
        { path: 'manifest', message: `is neither a file nor a key of ${this.#store.name}: ${key}` },
      ]);
    }
    const faults: ManifestFault[] = [];
    let items = 0;
    for await (const entry of readManifest(await this.#store.get(key), { localImages: false })) {
      if (entry.kind === 'fault') faults.push(entry.fault);
      else items += 1;
    }
    if (items === 0 || (faults.length > 0 && !allowInvalid)) throw invalidManifest(key, faults);
  }
}

/** @throws VideoError `InvalidRequest` with every fault of what no schedule can be. */
function check({ id, window, timezone, cron, pauseWhenFailedAbove: share }: ScheduledBatch): void {
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

async function refusingCron<T>(cron: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    // What the SDK makes of the server's "Invalid schedule spec".
    if (error instanceof TypeError) throw invalidCron(cron, `is refused: ${error.message}`);
    throw error;
  }
}

const inputOf = (action: ScheduleDescription['action']): VideoBatchInput =>
  ((action.args ?? []) as [VideoBatchInput?])[0] ?? {};

/** Between the next two runs; endless when there are not two. */
function gapMs([first, second]: readonly Date[]): number {
  return first === undefined || second === undefined ? Number.POSITIVE_INFINITY : second.getTime() - first.getTime();
}

/** Writes moments as `2026-03-31 02:30` of a zone. */
function timeIn(timezone: string): (time: Date) => string {
  // Sweden writes them so.
  const format = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short', timeZone: timezone });
  return (time) => format.format(time);
}

function viewOf(id: string, { spec, state, info }: ScheduleDescription): ScheduleView {
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

const invalidCron = (cron: string, message: string): VideoError =>
  invalidRequest([{ path: 'cron', message: `${message}: ${cron}` }]);
