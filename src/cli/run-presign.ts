import { fileURLToPath } from 'node:url';
import { VideoRunError } from '../client/run-error.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { videoKey } from '../storage/keys.js';
import { S3Store } from '../storage/s3-store.js';
import { ExitCode } from '../text/exit-code.js';
import type { CommandContext } from './context.js';
import { runStatus } from './run-status.js';

/** Signs an address for the video of a run, a task, or at a key. */
export async function runPresign(id: string, expiresSeconds: number, context: CommandContext): Promise<number> {
  const store = await context.store();
  if (!(store instanceof S3Store)) throw await localStore(id, store, context);
  const key = await keyOf(id, store, context);
  const signedMs = Date.now();
  const url = await store.presign(key, expiresSeconds);
  const expires_at = new Date(signedMs + expiresSeconds * 1000).toISOString();
  context.result({ url, key, expires_at }, url);
  return ExitCode.done;
}

/** A local store has files instead of addresses: the error says which one, if it is there. */
async function localStore(id: string, store: AssetStore, context: CommandContext): Promise<VideoError> {
  const key = await keyOf(id, store, context).catch(() => undefined);
  const file = key === undefined ? '' : `Its file is ${fileURLToPath(store.url(key))}. `;
  return new VideoError(
    FailureType.ConfigurationInvalid,
    `The asset store ${store.name} is a local directory; nothing in it has an https address`,
    {
      issues: [{ path: 'ASSET_STORE', message: 'is a local directory; only an s3:// store can sign addresses' }],
      nextStep: `${file}To hand out addresses, set ASSET_STORE to s3://bucket/prefix, or serve the directory yourself and set ASSET_PUBLIC_BASE_URL to where.`,
    },
  );
}

async function keyOf(id: string, store: AssetStore, context: CommandContext): Promise<string> {
  // Also as a result or the store itself names it.
  const key = id.startsWith(`${store.name}/`) ? id.slice(store.name.length + 1) : id;
  if (/^(videos|candidates)\//.test(key)) {
    if ((await store.head(key)) !== undefined) return key;
    throw new VideoError(FailureType.AssetNotFound, `Nothing is at ${key} in the asset store ${store.name}`, {
      nextStep: 'Take the key from the video_url of a result.',
    });
  }
  if ((await store.head(videoKey(id))) !== undefined) return videoKey(id);
  const { task_id, status } = await runStatus(id, context);
  if (task_id !== null && (await store.head(videoKey(task_id))) !== undefined) return videoKey(task_id);
  throw new VideoRunError(id, {
    type: FailureType.AssetNotFound,
    message: `The run ${id} (${status}) has no video in the asset store ${store.name}`,
    next_step: `See "wan-video status ${id}".`,
  });
}
