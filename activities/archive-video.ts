import { Context } from '@temporalio/activity';
import { FailureType } from '../src/contract/failure-type.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import { VideoError } from '../src/contract/video-error.js';
import type { PurchaseView } from '../src/ledger/purchase-view.js';
import { type MeasuredMp4, measureMp4 } from '../src/media/mp4.js';
import { readSpool, type Spooled } from '../src/net/spool.js';
import { rejectedKey, videoKey } from '../src/storage/keys.js';
import type { ActivityDeps, ResultDeps } from './deps.js';
import { resultExpired, withResult, withStored } from './download-result.js';
import { mismatchWarnings, round } from './mismatch-warnings.js';
import type { FinishedTask } from './poll-task.js';
import { isShared, type PurchaseContext, readPurchaseContext } from './purchase-context.js';
import type { WatchedTask } from './purchase-step.js';
import { withSignal } from './with-signal.js';

interface VerifiedVideo extends Spooled {
  readonly measured: MeasuredMp4;
}

/**
 * Downloads of a result that are no playable MP4 before it counts as none; one alone may have been damaged on its way.
 */
const REJECTIONS_MAX = 3;

/**
 * Archives the finished video: streamed to a file, verified, measured, then visible under its task id. Then the cache
 * points at it, and last the purchase is closed: a reader that finds it closed finds everything.
 */
export function createArchiveVideo(deps: ActivityDeps) {
  return ({ task }: { task: FinishedTask }): Promise<VideoResult> =>
    withSignal((signal) => archiveFinished(deps, task, Context.current().info.attempt, signal));
}

/**
 * Archives a finished video, also outside of Temporal.
 * @param attempt - From 1; a result that is no video is abandoned at the third.
 */
export async function archiveFinished(
  deps: ResultDeps,
  task: FinishedTask,
  attempt: number,
  signal: AbortSignal | undefined,
): Promise<VideoResult> {
  const { ledger } = deps;
  // Read during the download, which does not need it; a video whose record is damaged is stored all the same.
  const reading = ledger
    .requirePurchase(task.purchase, { signal })
    .then((view) => ({ view, context: readPurchaseContext(view.intent.memo) }));
  reading.catch(() => undefined); // thrown after the download
  const video = await archive(deps, task.taskId, reading, signal).catch(async (error: unknown) => {
    if (!(error instanceof VideoError)) throw error;
    const final = await abandonAfterRetries(deps, task, error.about(task), attempt, signal);
    if (!final.retryable) await reading; // in another store than the purchase's, a missing video proves nothing
    throw final;
  });
  const { view, context } = await reading;
  const result = describe(deps, task, context, video);
  const cacheKey = isShared(context) ? view.intent.cache_key : null;
  const ending = await ledger.finish(task, { how: 'archived', result, cacheKey }, { signal, seen: view });
  // Another run has closed it before: its description of the same bytes is what others were given.
  return ending.how === 'archived' ? ending.result : result;
}

/** An archived video that the store has lost. */
export interface RestoreInput {
  readonly task: WatchedTask;
  readonly result: VideoResult;
}

/** Downloads an archived video again that the store has lost; only the same bytes may have its address. */
export function createRestoreVideo(deps: ActivityDeps) {
  return ({ task, result }: RestoreInput): Promise<{ result: VideoResult | null }> =>
    withSignal(async (signal) => {
      try {
        await withResult(deps, task.taskId, signal, async (file, { bytes, sha256 }) => {
          if (sha256 !== result.sha256) throw resultExpired(task.taskId, 'has other bytes now');
          await deps.store.put(videoKey(task.taskId), readSpool(file), { sha256, bytes, contentType: VIDEO, signal });
        });
        return { result };
      } catch (error) {
        const isGone = error instanceof VideoError && error.type === FailureType.ResultExpired && !error.retryable;
        if (isGone) return { result: null };
        throw error;
      }
    });
}

const VIDEO = 'video/mp4';

async function archive(
  deps: ResultDeps,
  taskId: string,
  reading: Promise<{ readonly view: PurchaseView }>,
  signal: AbortSignal | undefined,
): Promise<VerifiedVideo> {
  const { store } = deps;
  const key = videoKey(taskId);
  // An earlier attempt has stored it. Callers may have seen that copy, so it is the one to describe.
  const stored = () =>
    withStored(deps, key, signal, async (file, spooled) => ({ ...spooled, measured: await measureMp4(file) }));
  if ((await store.head(key, { signal })) !== undefined) return stored();
  const video = await withResult(deps, taskId, signal, async (file, { bytes, sha256 }) => {
    // No other store than the purchase's gets the video.
    await reading.catch((error: unknown) => {
      if (error instanceof VideoError && error.type === FailureType.ConfigurationInvalid) throw error;
    });
    const measured = await measureMp4(file).catch(async (error: unknown) => {
      // Kept for inspection: it is paid, and the provider deletes it within a day.
      await store.put(rejectedKey(taskId), readSpool(file), { ifAbsent: true, sha256, bytes, signal });
      throw error;
    });
    const options = { ifAbsent: true, sha256, bytes, contentType: VIDEO, signal };
    const put = await store.put(key, readSpool(file), options);
    return put.stored ? { bytes, sha256, measured } : undefined;
  });
  return video ?? stored();
}

/** Closes the purchase of a result that is no video, so that nobody waits for it and the next run may buy again. */
async function abandonAfterRetries(
  deps: ResultDeps,
  task: FinishedTask,
  error: VideoError,
  attempt: number,
  signal: AbortSignal | undefined,
): Promise<VideoError> {
  if (error.type !== FailureType.ResultRejected) return error;
  if (attempt < REJECTIONS_MAX) return error.with({ retryable: true });
  await deps.ledger.finish(task, { how: 'failed', error }, { signal });
  return error;
}

function describe(
  { store, publicBaseUrl, clock }: ResultDeps,
  task: FinishedTask,
  { request, warnings }: PurchaseContext,
  { bytes, sha256, measured }: VerifiedVideo,
): VideoResult {
  const { taskId, requestId, seed, billedSeconds, audio, seenAtMs } = task;
  const key = videoKey(taskId);
  return {
    video_url: publicBaseUrl === undefined ? store.url(key) : `${publicBaseUrl}/${key}`,
    duration: round(measured.durationSeconds),
    fps: round(measured.fps),
    seed,
    width: measured.width,
    height: measured.height,
    bytes,
    sha256,
    has_audio: measured.hasAudio,
    task_id: taskId,
    request_id: requestId,
    source: 'generated',
    requested: { duration: request.duration, fps: request.fps, size: request.size },
    usage: { billed_seconds: billedSeconds, resolution: task.resolution ?? request.resolution, audio },
    timings: {
      queued: task.queuedSeconds,
      rendering: task.renderingSeconds,
      detected: task.detectedSeconds,
      archived: (clock.now() - seenAtMs) / 1000,
    },
    warnings: [...warnings, ...duplicatePurchaseWarning(task), ...mismatchWarnings(request, measured)],
  };
}

function duplicatePurchaseWarning({ claim, taskId }: FinishedTask): VideoWarning[] {
  if (claim !== 'extra') return [];
  const message = `Task ${taskId} was bought in addition to another one for the same request; both are billed.`;
  return [{ code: 'second_purchase', message }];
}
