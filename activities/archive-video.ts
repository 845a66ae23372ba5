import { Context } from '@temporalio/activity';
import { FailureType } from '../src/contract/failure-type.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import { VideoError } from '../src/contract/video-error.js';
import { type MeasuredMp4, measureMp4 } from '../src/media/mp4.js';
import { readSpool, type Spooled } from '../src/net/spool.js';
import { rejectedKey, videoKey } from '../src/storage/keys.js';
import type { ActivityDeps, ResultDeps } from './deps.js';
import { resultExpired, withResult, withStored } from './download-result.js';
import { mismatchWarnings, round } from './mismatch-warnings.js';
import { isShared, type PurchaseContext, readPurchaseContext } from './purchase-context.js';
import type { FinishedTask, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

interface VerifiedVideo extends Spooled {
  readonly measured: MeasuredMp4;
}

/** A result that three downloads in a row show to be no playable MP4 is none; one may have been damaged on its way. */
const REJECTIONS_MAX = 3;

/**
 * Brings the finished video into the store: streamed to a file, verified, measured, then visible under its task id. Then the
 * cache points at it, and last the purchase is closed: whoever finds it closed finds everything.
 */
export function createArchiveVideo(deps: ActivityDeps): VideoActivities['archiveVideo'] {
  return ({ task }) => withSignal((signal) => archiveFinished(deps, task, Context.current().info.attempt, signal));
}

/** The same outside of Temporal. @param attempt - From 1; a result that is no video is given up at the third. */
export async function archiveFinished(
  deps: ResultDeps,
  task: FinishedTask,
  attempt: number,
  signal: AbortSignal | undefined,
): Promise<VideoResult> {
  const { ledger } = deps;
  // Beside the download, which needs none of it; and a video whose record is damaged is in the store all the same.
  const looking = ledger
    .requirePurchase(task.purchase, { signal })
    .then((view) => ({ view, memo: readPurchaseContext(view.intent.memo) }));
  looking.catch(() => undefined); // told after the download
  const video = await archive(deps, task.taskId, looking, signal).catch(async (error: unknown) => {
    if (!(error instanceof VideoError)) throw error;
    const told = await abandonAfterRetries(deps, task, error.about(task), attempt, signal);
    if (!told.retryable) await looking; // in another store than the purchase's, a video that is missing proves nothing
    throw told;
  });
  const { view, memo } = await looking;
  const result = describe(deps, task, memo, video);
  const cacheKey = isShared(memo) ? view.intent.cache_key : null;
  const ending = await ledger.finish(task, { how: 'archived', result, cacheKey }, { signal, seen: view });
  // Closed by another run before: its description of the same bytes is what was returned to others.
  return ending.how === 'archived' ? ending.result : result;
}

/** Fetches an archived video again that the store has lost; only the same bytes go under its address. */
export function createRestoreVideo(deps: ActivityDeps): VideoActivities['restoreVideo'] {
  return ({ task, result }) =>
    withSignal(async (signal) => {
      try {
        await withResult(deps, task.taskId, signal, async (file, { bytes, sha256 }) => {
          if (sha256 !== result.sha256) throw resultExpired(task.taskId, 'has other bytes now');
          await deps.store.put(videoKey(task.taskId), readSpool(file), {
            ...{ sha256, bytes, contentType: 'video/mp4', signal },
          });
        });
        return { result };
      } catch (error) {
        const isGone = error instanceof VideoError && error.type === FailureType.ResultExpired && !error.retryable;
        if (isGone) return { result: null };
        throw error;
      }
    });
}

async function archive(
  deps: ResultDeps,
  taskId: string,
  looking: Promise<unknown>,
  signal: AbortSignal | undefined,
): Promise<VerifiedVideo> {
  const { store } = deps;
  const key = videoKey(taskId);
  // An earlier attempt brought it here. What stands is what callers may have seen, so that is what is described.
  const standing = () =>
    withStored(deps, key, signal, async (file, spooled) => ({ ...spooled, measured: await measureMp4(file) }));
  if ((await store.head(key, { signal })) !== undefined) return standing();
  const brought = await withResult(deps, taskId, signal, async (file, { bytes, sha256 }) => {
    // Nothing is left in another store than the purchase's.
    await looking.catch((error: unknown) => {
      if (error instanceof VideoError && error.type === FailureType.ConfigurationInvalid) throw error;
    });
    const measured = await measureMp4(file).catch(async (error: unknown) => {
      // Kept for inspection: it was paid for, and the provider forgets it within a day.
      await store.put(rejectedKey(taskId), readSpool(file), { ifAbsent: true, sha256, bytes, signal });
      throw error;
    });
    const put = { ifAbsent: true, sha256, bytes, contentType: 'video/mp4', signal };
    const { stored } = await store.put(key, readSpool(file), put);
    return stored ? { bytes, sha256, measured } : undefined;
  });
  return brought ?? standing();
}

/** Closes the purchase of a result that is no video, so that nobody waits for it and the next run may buy anew. */
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
  const message = `Task ${taskId} was bought beside another one of the same request; both are billed.`;
  return [{ code: 'second_purchase', message }];
}
