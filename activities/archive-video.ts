import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { VideoResult } from '../src/contract/result.js';
import { VideoError } from '../src/contract/video-error.js';
import { closeArchived } from '../src/ledger/finish.js';
import { type MeasuredMp4, measureMp4 } from '../src/media/mp4.js';
import { type Spooled, spoolToFile } from '../src/net/spool.js';
import { rejectedKey, videoKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';
import { deviations, round } from './deviations.js';
import { RESULT_BYTES_MAX, resultExpired, withResult } from './download-result.js';
import { isShared, type PurchaseMemo, readMemo } from './purchase-memo.js';
import type { FinishedTask, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

interface VerifiedVideo extends Spooled {
  readonly measured: MeasuredMp4;
}

/**
 * Brings the finished video into the store: streamed to a file, verified, measured, then visible under its task id. Then the
 * cache points at it, and last the purchase is closed: whoever finds it closed finds everything.
 */
export function createArchiveVideo(deps: ActivityDeps): VideoActivities['archiveVideo'] {
  const { ledger } = deps;
  return ({ task }) =>
    withSignal(async (signal) => {
      const view = await ledger.view(task.purchase, { signal });
      const memo = readMemo(view?.intent.memo);
      const archived = await archive(deps, task, signal).catch((error: unknown) => {
        throw error instanceof VideoError ? error.about(task) : error;
      });
      const result = describe(deps, task, memo, archived);
      const cacheKey = isShared(memo) ? (view?.intent.cache_key ?? null) : null;
      await closeArchived(ledger, task, result, cacheKey, { signal });
      return task.own ? result : { ...result, source: 'adopted' };
    });
}

/** Fetches an archived video again that the store has lost; only the same bytes go under its address. */
export function createRestoreVideo(deps: ActivityDeps): VideoActivities['restoreVideo'] {
  return ({ task, result }) =>
    withSignal(async (signal) => {
      try {
        await withResult(deps, task.taskId, signal, async (file, { bytes, sha256 }) => {
          if (sha256 !== result.sha256) throw resultExpired(task.taskId, 'has other bytes now');
          await deps.store.put(videoKey(task.taskId), createReadStream(file), {
            ...{ sha256, bytes, contentType: 'video/mp4', signal },
          });
        });
        return { result };
      } catch (error) {
        if (error instanceof VideoError && !error.retryable) return { result: null };
        throw error;
      }
    });
}

async function archive(deps: ActivityDeps, { taskId }: FinishedTask, signal: AbortSignal): Promise<VerifiedVideo> {
  const { store } = deps;
  const key = videoKey(taskId);
  return withResult(deps, taskId, signal, async (file, { bytes, sha256 }) => {
    const measured = await measureMp4(file).catch(async (error: unknown) => {
      // Kept for inspection: it was paid for, and the provider forgets it within a day.
      await store.put(rejectedKey(taskId), createReadStream(file), { ifAbsent: true, sha256, bytes, signal });
      throw error;
    });
    const put = { ifAbsent: true, sha256, bytes, contentType: 'video/mp4', signal };
    const { stored } = await store.put(key, createReadStream(file), put);
    if (stored || (await store.head(key, { signal }))?.sha256 === sha256) return { bytes, sha256, measured };
    // An earlier attempt archived other bytes. What stands is what callers may have seen, so that is what we describe.
    await rm(file, { force: true });
    const stands = await spoolToFile(await store.get(key, { signal }), file, { signal, maxBytes: RESULT_BYTES_MAX });
    return { ...stands, measured: await measureMp4(file) };
  });
}

function describe(
  { store, publicBaseUrl, clock }: ActivityDeps,
  task: FinishedTask,
  { request, warnings }: PurchaseMemo,
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
    warnings: [...warnings, ...deviations(request, measured)],
  };
}
