import { randomUUID } from 'node:crypto';
import { type Client, ScheduleAlreadyRunning, ScheduleNotFoundError, ScheduleOverlapPolicy } from '@temporalio/client';
import { invalidManifest, type ManifestFault, readManifest } from '../batch/manifest.js';
import { DATE_PLACEHOLDER, manifestKeyAt } from '../batch/manifest-key.js';
import { prepareManifest } from '../batch/prepare-manifest.js';
import type { VideoBatchInput } from '../contract/batch.js';
import { FailureType } from '../contract/failure-type.js';
import { batchScheduleId, batchWorkflowId, SCHEDULE_MEMO, WorkflowType } from '../contract/names.js';
import { invalidRequest } from '../contract/validate.js';
import type { AssetStore } from '../storage/asset-store.js';
import { scheduledManifestKey } from '../storage/keys.js';
import { type BatchEstimate, type EstimateAccount, estimateBatch } from './batch-estimate.js';
import {
  batchParts,
  folderOf,
  identifyInline,
  imagesInFolder,
  openManifest,
  type WanBatchClientOptions,
} from './batch-parts.js';
import { VideoRunError } from './run-error.js';
import { batchDetails } from './run-texts.js';
import {
  gapMs,
  inputOf,
  readScheduleDetails,
  type ScheduleDetails,
  type ScheduleView,
  timeIn,
  toScheduleView,
} from './schedule-view.js';
import { checkScheduledBatch, OVERLAPS, rejectInvalidCron, type ScheduledBatch } from './scheduled-batch.js';

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

const PREFIX = batchScheduleId('');
/** A day: a nightly batch that runs long, or an outage of hours, loses no night. */
const CATCHUP_SECONDS = 86_400;

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
   * @example
   * ```ts
   * await schedules.create({
   *   id: 'nightly',
   *   cron: '30 2 * * *',
   *   timezone: 'Europe/Berlin',
   *   manifest: { key: 'manifests/{date}.jsonl' },
   * });
   * ```
   */
  async create(schedule: ScheduledBatch): Promise<'created' | 'updated'> {
    checkScheduledBatch(schedule);
    const definition = this.#definition(schedule, await this.#manifestKey(schedule));
    return rejectInvalidCron(schedule.cron, async () => {
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
   * @example
   * ```ts
   * const account = { provider: 'dashscope', account: 'default' };
   * const manifest = { file: 'spring.jsonl' };
   * const schedule = { id: 'nightly', cron: '30 2 * * *', timezone: 'Europe/Berlin', manifest };
   * const { next, overlaps_next_run } = await schedules.estimate(schedule, { account });
   * ```
   */
  async estimate(
    schedule: ScheduledBatch,
    options: { readonly account: EstimateAccount; readonly signal?: AbortSignal | undefined },
  ): Promise<ScheduleEstimate> {
    checkScheduledBatch(schedule);
    const key = 'key' in schedule.manifest ? schedule.manifest.key : null;
    if (key !== null) await this.#checkKey(key, schedule);
    const times = await this.#timesOf(schedule);
    return this.#estimate({ ...schedule, key }, times, options);
  }

  /**
   * What the next run of a schedule that exists would cost and take.
   * @throws VideoRunError `RunNotFound`; VideoError `InvalidRequest` for a manifest with faults.
   * @example
   * ```ts
   * const account = { provider: 'dashscope', account: 'default' };
   * const { estimate } = await schedules.estimateNext('nightly', { account });
   * ```
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

  /**
   * Every schedule of a batch.
   * @example
   * ```ts
   * for await (const { id, next } of schedules.list()) console.log(id, next[0]);
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
      if (description !== undefined) yield toScheduleView(id, description);
    }
  }

  /**
   * One schedule, with its next times and what its latest runs came to.
   * @example
   * ```ts
   * const { runs, skipped } = await schedules.show('nightly');
   * ```
   */
  async show(id: string): Promise<ScheduleDetails> {
    const description = await this.#here(id, () => this.#handle(id).describe());
    return readScheduleDetails(id, description, this.#store);
  }

  /**
   * Starts no run until it is resumed.
   * @example
   * ```ts
   * await schedules.pause('nightly', 'until the new manifest is there');
   * ```
   */
  async pause(id: string, note = 'paused on request'): Promise<void> {
    await this.#here(id, () => this.#handle(id).pause(note));
  }

  /**
   * Starts runs again from now on; what was due meanwhile is not made up for (see {@link backfill}).
   * @example
   * ```ts
   * await schedules.resume('nightly');
   * ```
   */
  async resume(id: string): Promise<void> {
    await this.#here(id, () => this.#handle(id).unpause('resumed'));
  }

  /**
   * Starts a run now, also of a paused schedule; two within one second are one.
   * @example
   * ```ts
   * await schedules.trigger('nightly');
   * ```
   */
  async trigger(id: string): Promise<void> {
    await this.#here(id, () => this.#handle(id).trigger(ScheduleOverlapPolicy.BUFFER_ALL));
  }

  /**
   * Makes up for the runs between two moments, one after the other, each with its own nominal time.
   * @example
   * ```ts
   * await schedules.backfill('nightly', { from: new Date('2026-03-01'), to: new Date('2026-03-04') });
   * ```
   */
  async backfill(id: string, { from, to }: { readonly from: Date; readonly to: Date }): Promise<void> {
    if (!(from.getTime() < to.getTime())) {
      throw invalidRequest([{ path: 'from', message: 'must be before the end of the time that is made up for' }]);
    }
    const overlap = ScheduleOverlapPolicy.BUFFER_ALL;
    await this.#here(id, () => this.#handle(id).backfill({ start: from, end: to, overlap }));
  }

  /**
   * Removes a schedule; the batches that it has started stay.
   * @example
   * ```ts
   * await schedules.delete('nightly');
   * ```
   */
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
    const probe = await rejectInvalidCron(schedule.cron, () =>
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
