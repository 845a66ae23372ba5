import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureType } from '../src/contract/failure-type.js';
import type { VideoResult } from '../src/contract/result.js';
import { VideoError } from '../src/contract/video-error.js';
import { type MeasuredMp4, measureMp4 } from '../src/media/mp4.js';
import { spoolToFile } from '../src/net/spool.js';
import { rejectedKey, videoKey } from '../src/storage/keys.js';
import { writeCachedResult } from './cache.js';
import type { ActivityDeps } from './deps.js';
import { deviations, round } from './deviations.js';
import type { FinishedTask, PreparedRequest, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** 15 s at 1080P are some 30 MB; a result above this is not one. */
const RESULT_BYTES_MAX = 1024 * 1024 * 1024;

/** A verified video in the store. */
interface ArchivedVideo {
  readonly bytes: number;
  readonly sha256: string;
  readonly measured: MeasuredMp4;
}

/** Brings the finished video into the store: streamed to a file, verified, measured, then visible under its task id. */
export function createArchiveVideo(deps: ActivityDeps): VideoActivities['archiveVideo'] {
  return ({ prepared, task }) =>
    withSignal(async (signal) => {
      const archived = await archive(deps, task, signal);
      const result = describeResult(deps, prepared, task, archived);
      if (prepared.request.cache !== 'off') await writeCachedResult(deps, prepared.cacheKey, result, signal);
      return result;
    });
}

async function archive(deps: ActivityDeps, { taskId, requestId }: FinishedTask, signal: AbortSignal) {
  const { dashscope, store } = deps;
  const key = videoKey(taskId);
  const seen = await dashscope.queryTask(taskId, { signal });
  if (seen.videoUrl === undefined) {
    throw new VideoError(
      FailureType.ResultExpired,
      `Task ${taskId} has no result at the provider (status ${seen.status})`,
      {
        ...{ taskId, requestId, billed: true, retryable: seen.status === 'SUCCEEDED' },
        nextStep: "Results are kept 24 hours. Check the account in the provider's console.",
      },
    );
  }
  await mkdir(deps.spoolDir, { recursive: true });
  const file = join(deps.spoolDir, `${randomUUID()}.mp4`);
  try {
    const { body } = await dashscope.download(seen.videoUrl, { signal });
    const { bytes, sha256 } = await spoolToFile(body, file, { signal, maxBytes: RESULT_BYTES_MAX });
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
  } finally {
    await rm(file, { force: true });
  }
}

function describeResult(
  { store, publicBaseUrl, now }: ActivityDeps,
  { request, seed, warnings }: PreparedRequest,
  task: FinishedTask,
  { bytes, sha256, measured }: ArchivedVideo,
): VideoResult {
  const key = videoKey(task.taskId);
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
    task_id: task.taskId,
    request_id: task.requestId,
    source: 'generated',
    requested: { duration: request.duration, fps: request.fps, size: request.size },
    usage: {
      billed_seconds: task.billedSeconds,
      resolution: task.resolution ?? request.resolution,
      audio: task.audio,
    },
    timings: {
      queued: task.queuedSeconds,
      rendering: task.renderingSeconds,
      detected: task.detectedSeconds,
      archived: (now() - task.seenAtMs) / 1000,
    },
    warnings: [...warnings, ...deviations(request, measured)],
  };
}
