import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FailureType } from '../contract/failure-type.js';
import type { VideoResult } from '../contract/result.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { deliveredKey, safeName } from '../storage/keys.js';

/** Faults of `--output`, found before anything is bought; in a directory the file is named by the task's id. */
export async function outputIssues(output: string, cwd: string): Promise<Issue[]> {
  const at = (message: string): Issue[] => [{ path: 'output', message }];
  if (output === '' || output === '-') return at('must be a path; results on stdout are text or JSON');
  const folder = dirname(resolve(cwd, output));
  const there = await stat(folder).catch(() => undefined);
  if (there === undefined) return at(`cannot be written: ${folder} does not exist; create it first`);
  return there.isDirectory() ? [] : at(`cannot be written: ${folder} is not a directory`);
}

/**
 * Copies an archived video out of a store of any kind. Like `cp` it replaces an existing file, which is complete at
 * every moment.
 * @returns the path that was written.
 * @throws VideoError `AssetNotFound` when this store is not the one that the worker archived to, `StoreUnavailable`
 * when the copy fails or differs from the archived video.
 */
export async function saveVideo(
  result: Pick<VideoResult, 'task_id' | 'sha256' | 'video_url'>,
  store: AssetStore,
  output: string,
  cwd: string,
): Promise<string> {
  const key = deliveredKey(result);
  const path = await targetOf(resolve(cwd, output), `${safeName(result.task_id)}.mp4`);
  const partial = join(dirname(path), `.${randomUUID()}.partial`);
  const hash = new HashingStream();
  try {
    // A device or a pipe, such as /dev/stdout, is written to directly; only a file is replaced as a whole.
    const special = (await stat(path).catch(() => undefined))?.isFile() === false;
    await pipeline(await store.get(key), hash, createWriteStream(special ? path : partial));
    if (hash.hex() !== result.sha256) throw new Error('the copy differs from the archived video');
    if (!special) await rename(partial, path);
    return path;
  } catch (cause) {
    const again = 'Run the same command again; it is answered from the cache.';
    const missing = cause instanceof VideoError && cause.type === FailureType.AssetNotFound;
    throw new VideoError(
      missing ? FailureType.AssetNotFound : FailureType.StoreUnavailable,
      `The video is archived at ${result.video_url}, but could not be copied to ${path}: ${(cause as Error).message}`,
      {
        cause,
        taskId: result.task_id,
        nextStep: missing ? `Set ASSET_STORE (or OUTPUT_DIR) to the workers' store. ${again}` : again,
      },
    );
  } finally {
    await rm(partial, { force: true });
  }
}

async function targetOf(path: string, name: string): Promise<string> {
  const real = await realpath(path).catch(() => path); // a link stays a link, its file is replaced
  return (await stat(real).catch(() => undefined))?.isDirectory() ? join(real, name) : real;
}

class HashingStream extends Transform {
  readonly #hash = createHash('sha256');

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#hash.update(chunk);
    done(null, chunk);
  }

  hex(): string {
    return this.#hash.digest('hex');
  }
}
