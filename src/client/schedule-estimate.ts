import type { Client } from '@temporalio/client';
import { manifestKeyAt } from '../batch/manifest-key.js';
import { utcSecond } from '../contract/utc.js';
import type { AssetStore } from '../storage/asset-store.js';
import { type BatchEstimate, type EstimateAccount, estimateBatch } from './batch-estimate.js';
import { timeFormat } from './local-time.js';
import { localManifest, storedImages } from './manifest-source.js';
import { gapMs } from './schedule-view.js';
import type { ScheduledBatch } from './scheduled-batch.js';

/** What the next run of a schedule would cost and how long it would take. */
export interface ScheduleEstimate {
  readonly id: string;
  /** Times of the next runs, in the schedule's zone. */
  readonly next: readonly string[];
  /** Key of the manifest that the next run reads; null for a file that is not staged yet. */
  readonly manifest_key: string | null;
  /** Null when the manifest does not exist yet. */
  readonly estimate: BatchEstimate | null;
  /** When the last video of the next run would be finished, in the schedule's zone. */
  readonly expected: { readonly earliest_at: string; readonly latest_at: string } | null;
  /** Whether the next run may still be running when the one after it is due. */
  readonly overlaps_next_run: boolean;
}

/** How the next run of a schedule is estimated. */
export interface EstimateScheduleOptions {
  readonly account: EstimateAccount;
  /** Stops the estimate, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The parts of a schedule that decide what its next run costs. */
interface EstimatedSchedule extends Pick<ScheduledBatch, 'id' | 'timezone' | 'window' | 'allowInvalid' | 'deliver'> {
  /** Null when the schedule starts batches without a manifest. */
  readonly manifest: ScheduledBatch['manifest'] | null;
}

/**
 * Estimates the next run of a schedule; reads only.
 * @param times - When its next runs are due.
 */
export async function estimateSchedule(
  sources: { readonly client: Client; readonly store: AssetStore },
  { id, timezone, window, allowInvalid = false, deliver, manifest }: EstimatedSchedule,
  times: readonly Date[],
  { account, signal }: EstimateScheduleOptions,
): Promise<ScheduleEstimate> {
  const { store } = sources;
  const [first] = times;
  const format = timeFormat(timezone);
  const next = times.map(format);
  const manifest_key =
    manifest !== null && 'key' in manifest
      ? manifestKeyAt(manifest.key, (first ?? new Date()).toISOString(), timezone)
      : null;
  const source =
    manifest !== null && 'file' in manifest
      ? localManifest(manifest, store, signal)
      : await storedManifest(manifest_key, store, signal);
  if (source === undefined) {
    return { id, next, manifest_key, estimate: null, expected: null, overlaps_next_run: false };
  }
  const batchId = `${id}-${utcSecond((first ?? new Date()).getTime())}`;
  const options = { id: batchId, account, window, allowInvalid, deliver, signal, startsNow: false };
  const estimate = await estimateBatch(sources, { ...source, ...options });
  const { earliest_seconds, latest_seconds } = estimate.duration;
  const after = (seconds: number): string => format(new Date((first?.getTime() ?? 0) + seconds * 1000));
  return {
    id,
    next,
    manifest_key,
    estimate,
    expected: first === undefined ? null : { earliest_at: after(earliest_seconds), latest_at: after(latest_seconds) },
    overlaps_next_run: latest_seconds * 1000 > gapMs(times),
  };
}

/** A manifest in the store; undefined when it does not exist. */
async function storedManifest(key: string | null, store: AssetStore, signal: AbortSignal | undefined) {
  if (key === null || (await store.head(key, { signal })) === undefined) return undefined;
  return { open: () => store.get(key, { signal }), name: key, images: storedImages };
}
