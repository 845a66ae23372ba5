import type { VideoResult } from '../src/contract/result.js';
import { readRecord, writeRecord } from '../src/storage/json-record.js';
import { cacheRecordKey, videoKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';

type CacheDeps = Pick<ActivityDeps, 'store' | 'scope'>;

/** The archived result behind a cache key, or null when there is none or its video is gone or of another size. */
export async function readCachedResult(
  deps: CacheDeps,
  key: string,
  signal?: AbortSignal,
): Promise<VideoResult | null> {
  const options = signal === undefined ? {} : { signal };
  const record = await readRecord(deps.store, cacheRecordKey(deps.scope, key), options);
  if (record === undefined) return null;
  const { result } = record as unknown as { result: VideoResult };
  const info = await deps.store.head(videoKey(result.task_id), options);
  return info?.bytes === result.bytes ? { ...result, source: 'cache' } : null;
}

/** Points the cache key at a result. */
export async function writeCachedResult(
  deps: CacheDeps,
  key: string,
  result: VideoResult,
  signal?: AbortSignal,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  await writeRecord(deps.store, cacheRecordKey(deps.scope, key), { version: 1, result }, options);
}
