import { fileURLToPath } from 'node:url';
import { PRESIGN_SECONDS_MAX } from '../contract/bounds.js';
import { FailureType } from '../contract/failure-type.js';
import type { OptionRules } from '../contract/options.js';
import { VideoError } from '../contract/video-error.js';
import { linkExpiry } from '../storage/asset-links.js';
import type { AssetStore } from '../storage/asset-store.js';
import { videoKey } from '../storage/keys.js';
import { VideoRunError } from './run-error.js';

/** How long an address is valid by default. */
export const PRESIGN_SECONDS = 3_600;

/** Options of `presign`. */
export const PRESIGN_OPTIONS: OptionRules = {
  expiresSeconds: {
    must: `must be a whole number of seconds from 1 to ${PRESIGN_SECONDS_MAX}, which is seven days`,
    isValid: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= PRESIGN_SECONDS_MAX,
  },
};

/** An address under which anyone can fetch a video until it expires: a secret until then. */
export interface PresignedVideo {
  readonly url: string;
  /** Key of the video in the asset store. */
  readonly key: string;
  /** ISO 8601, UTC. */
  readonly expires_at: string;
}

/** Finds the task of a run. */
type FindTask = (id: string) => Promise<{ readonly taskId: string | null; readonly status: string }>;

/**
 * Signs the address of an archived video.
 * @param video - A task's id, a key of the store, the stable address of a result, or the id of a run.
 * @param findTask - Finds the task of a run; called only for an id that is none of the others.
 * @throws VideoError `ConfigurationInvalid` for a store without https addresses; `AssetNotFound`.
 */
export async function presignVideo(
  store: AssetStore,
  video: string,
  seconds: number,
  findTask: FindTask,
): Promise<PresignedVideo> {
  if (store.presign === undefined) {
    const key = await findVideo(store, video, findTask).catch(() => undefined);
    throw localStoreError(store, key);
  }
  const key = await findVideo(store, video, findTask);
  const signedMs = Date.now();
  const url = await store.presign(key, { seconds });
  return { url, key, expires_at: linkExpiry(signedMs, seconds) };
}

async function findVideo(store: AssetStore, video: string, findTask: FindTask): Promise<string> {
  // A result and the store itself name a key with the store's name or address before it.
  const address = video.startsWith(`${store.name}/`) || URL.canParse(video);
  const key =
    (address ? /\/((?:(?:videos|candidates)\/[^/]+|conformed\/[^/]+\/[^/]+))$/.exec(video)?.[1] : undefined) ?? video;
  const exists = async (one: string) => (await store.head(one)) !== undefined;
  if (/^(videos|candidates|conformed)\//.test(key)) {
    if (await exists(key)) return key;
    throw new VideoError(FailureType.AssetNotFound, `Nothing is at ${key} in the asset store ${store.name}`, {
      nextStep: 'Take the key from the video_url of a result.',
    });
  }
  if (await exists(videoKey(video))) return videoKey(video);
  const { taskId, status } = await findTask(video);
  if (taskId !== null && (await exists(videoKey(taskId)))) return videoKey(taskId);
  throw new VideoRunError(video, {
    type: FailureType.AssetNotFound,
    message: `The run ${video} (${status}) has no video in the asset store ${store.name}`,
    next_step: `Check it with "wan-video status ${video}".`,
  });
}

/** A local store has files instead of addresses: the error says which file it is, if it exists. */
function localStoreError(store: AssetStore, key: string | undefined): VideoError {
  const file = key === undefined ? '' : `Its file is ${fileURLToPath(store.url(key))}. `;
  return new VideoError(
    FailureType.ConfigurationInvalid,
    `The asset store ${store.name} is a local directory; nothing in it has an https address`,
    {
      issues: [{ path: 'ASSET_STORE', message: 'is a local directory; only an s3:// store can sign addresses' }],
      nextStep:
        `${file}To hand out addresses, set ASSET_STORE to s3://bucket/prefix, or serve the directory yourself and ` +
        'set ASSET_PUBLIC_BASE_URL to its address.',
    },
  );
}
