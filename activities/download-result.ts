import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { spoolToFile } from '../src/net/spool.js';
import { candidateKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';

/** 15 s at 1080P are some 30 MB; a result above this is not one. */
export const RESULT_BYTES_MAX = 1024 * 1024 * 1024;

/** A result on disk. */
export interface Spooled {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Brings a task's result to a file that lives as long as `use`: from the provider, or, when that has forgotten it, from the copy
 * that was kept while nobody knew whose task it was. Constant memory.
 */
export async function withResult<T>(
  deps: ActivityDeps,
  taskId: string,
  signal: AbortSignal,
  use: (file: string, spooled: Spooled) => Promise<T>,
): Promise<T> {
  const { dashscope, store } = deps;
  const seen = await dashscope.queryTask(taskId, { signal });
  if (seen.videoUrl !== undefined) return withDownload(deps, seen.videoUrl, signal, use);
  const kept = candidateKey(taskId);
  if ((await store.head(kept, { signal })) === undefined) throw resultExpired(taskId, `has no result (${seen.status})`);
  return withFile(deps, await store.get(kept, { signal }), signal, use);
}

/** Downloads a result link to a file that lives as long as `use`. */
export async function withDownload<T>(
  deps: ActivityDeps,
  videoUrl: string,
  signal: AbortSignal | undefined,
  use: (file: string, spooled: Spooled) => Promise<T>,
): Promise<T> {
  const { body } = await deps.dashscope.download(videoUrl, { signal });
  return withFile(deps, body, signal, use);
}

async function withFile<T>(
  { spoolDir }: ActivityDeps,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  use: (file: string, spooled: Spooled) => Promise<T>,
): Promise<T> {
  await mkdir(spoolDir, { recursive: true });
  const file = join(spoolDir, `${randomUUID()}.mp4`);
  try {
    return await use(file, await spoolToFile(body, file, { signal, maxBytes: RESULT_BYTES_MAX }));
  } finally {
    await rm(file, { force: true });
  }
}

/** The provider forgot the video, or never had it. */
export function resultExpired(taskId: string, fault: string): VideoError {
  return new VideoError(FailureType.ResultExpired, `Task ${taskId} ${fault} at the provider`, {
    ...{ taskId, billed: true },
    nextStep: "Results are kept 24 hours. Check the account in the provider's console; starting again buys anew.",
  });
}
