import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureType } from '../src/contract/failure-type.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import { VideoError } from '../src/contract/video-error.js';
import { measureMp4 } from '../src/media/mp4.js';
import { spoolToFile } from '../src/net/spool.js';
import { videoKey } from '../src/storage/keys.js';
import { writeCachedResult } from './cache.js';
import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** A minute of 1080P is about 60 MB at the bit rates that were seen; a result above this is not a video of 15 s. */
const RESULT_BYTES_MAX = 1024 * 1024 * 1024;

/** Brings the finished video into the store: streamed to a file, verified, measured, then visible under its task id. */
export function createArchiveVideo(deps: ActivityDeps): VideoActivities['archiveVideo'] {
  const { dashscope, store, now } = deps;
  return ({ prepared, task }) =>
    withSignal(async (signal) => {
      const { canonical } = prepared;
      const seen = await dashscope.queryTask(task.taskId, { signal });
      if (seen.videoUrl === undefined) {
        throw new VideoError(
          FailureType.ResultExpired,
          `Task ${task.taskId} has no result at the provider (status ${seen.status})`,
          {
            taskId: task.taskId,
            requestId: task.requestId,
            billed: true,
            retryable: seen.status === 'SUCCEEDED',
            nextStep: "Results are kept 24 hours. Check the account in the provider's console.",
          },
        );
      }
      await mkdir(deps.spoolDir, { recursive: true });
      const file = join(deps.spoolDir, `${randomUUID()}.mp4`);
      try {
        const { body } = await dashscope.download(seen.videoUrl, { signal });
        const { bytes, sha256 } = await spoolToFile(body, file, { signal, maxBytes: RESULT_BYTES_MAX });
        const measured = await measureMp4(file);
        const key = videoKey(task.taskId);
        await store.put(key, createReadStream(file), { ifAbsent: true, sha256, contentType: 'video/mp4', signal });
        const result: VideoResult = {
          video_url:
            deps.publicBaseUrl === undefined ? store.url(key) : `${deps.publicBaseUrl.replace(/\/$/, '')}/${key}`,
          duration: round(measured.durationSeconds),
          fps: round(measured.fps),
          seed: prepared.seed,
          width: measured.width,
          height: measured.height,
          bytes,
          sha256,
          has_audio: measured.hasAudio,
          task_id: task.taskId,
          request_id: task.requestId,
          source: 'generated',
          requested: { duration: canonical.duration, fps: canonical.fps, size: canonical.size },
          usage: { billed_seconds: task.billedSeconds, resolution: canonical.resolution, audio: task.audio },
          timings: {
            queued: task.queuedSeconds,
            rendering: task.renderingSeconds,
            detected: task.detectedSeconds,
            archived: (now() - task.seenAtMs) / 1000,
          },
          warnings: [...prepared.warnings, ...deviations(canonical, measured)],
        };
        if (canonical.cache !== 'off') await writeCachedResult(deps, prepared.cacheKey, result, signal);
        return result;
      } finally {
        await rm(file, { force: true });
      }
    });
}

/** Milliseconds are as fine as the container's own time scale makes sense for a caller. */
const round = (value: number): number => Math.round(value * 1000) / 1000;

/** What was asked for and is not in the file. */
function deviations(
  asked: { duration: number; fps: number; size: string; audio: boolean },
  measured: { durationSeconds: number; fps: number; width: number; height: number; hasAudio: boolean },
): VideoWarning[] {
  const warnings: VideoWarning[] = [];
  if (Math.abs(measured.fps - asked.fps) > 0.5) {
    warnings.push({
      code: 'fps_not_honoured',
      message: `The video has ${round(measured.fps)} fps, asked for were ${asked.fps}.`,
    });
  }
  if (Math.abs(measured.durationSeconds - asked.duration) > 0.25) {
    warnings.push({
      code: 'duration_not_honoured',
      message: `The video lasts ${round(measured.durationSeconds)} s, asked for were ${asked.duration} s.`,
    });
  }
  if (`${measured.width}*${measured.height}` !== asked.size) {
    warnings.push({
      code: 'size_not_honoured',
      message: `The video is ${measured.width}*${measured.height}, asked for was ${asked.size}.`,
    });
  }
  if (measured.hasAudio !== asked.audio) {
    warnings.push({
      code: 'audio_not_honoured',
      message: measured.hasAudio ? 'The video has sound, none was asked for.' : 'The video is silent.',
    });
  }
  return warnings;
}
