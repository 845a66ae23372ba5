import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { access, constants, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { addressOf, type TemporalTarget } from '../../client/temporal-target.js';
import type { Config } from '../../config/config.js';
import { FailureType } from '../../contract/failure-type.js';
import { VideoError } from '../../contract/video-error.js';
import type { AssetStore } from '../../storage/asset-store.js';
import { checkSharedFileStore } from '../../storage/shared-file-store.js';
import { storeId } from '../../storage/store-id.js';
import { verifyConditionalPut } from '../../storage/verify-conditional-put.js';

/** The proof takes some 25 small calls; a store that needs longer is too slow to archive to. */
const STORE_MS = 20_000;
/** The account's five running videos, of some 60 MB each, pass through the folder; a compose file gives it 512 MiB. */
export const SPOOL_BYTES_MIN = 384 * 1024 ** 2;

/** Five videos of some 30 MB and their records: a store that fills up is reported before a paid video finds no room. */
const STORE_BYTES_MIN = 256 * 1024 ** 2;

/**
 * Whether the store works, has room, and keeps the guarantee that buying once depends on.
 * @param directory - Of a local store; undefined for one whose free space cannot be read.
 */
export async function checkStore(store: AssetStore, directory: string | undefined): Promise<string> {
  // A check of a store that nothing was put into yet must not make its folder.
  if (directory !== undefined && !existsSync(directory)) {
    const parent = existingParent(directory);
    await requireWritable(directory, parent);
    return `${store.name} does not exist yet: the first image or video makes it; ${await room(parent)}`;
  }
  const signal = AbortSignal.timeout(STORE_MS);
  const proof = async (): Promise<string> => {
    await verifyConditionalPut(store, { newId: randomUUID, signal });
    const id = await storeId(store, { newId: randomUUID, signal });
    return `${store.name}, id ${id}: of concurrent writers one wins`;
  };
  try {
    // A file system that hangs, such as a lost network mount, does not react to the signal.
    const silent = once(signal, 'abort').then(() => Promise.reject(signal.reason));
    const proven = await Promise.race([proof(), silent]);
    return directory === undefined ? proven : `${proven}; ${await room(directory)}`;
  } catch (cause) {
    if (!signal.aborted) throw cause;
    throw new VideoError(
      FailureType.StoreUnavailable,
      `The asset store ${store.name} did not answer within ${STORE_MS / 1000} s`,
      { cause, nextStep: 'Check ASSET_STORE, and that its server is up and reachable from here.' },
    );
  }
}

/** The nearest folder above that exists. */
const existingParent = (directory: string): string => {
  const parent = dirname(directory);
  return existsSync(parent) ? parent : existingParent(parent);
};

/** @throws VideoError when no folder can be made in `parent`. */
async function requireWritable(directory: string, parent: string): Promise<void> {
  const cause = await access(`${parent}/.`, constants.W_OK | constants.X_OK).catch((error: unknown) => error);
  if (cause === undefined) return;
  throw new VideoError(FailureType.StoreUnavailable, `The store's folder ${directory} cannot be made in ${parent}`, {
    cause,
    nextStep: 'Set ASSET_STORE to a folder that this user may write to.',
  });
}

async function room(directory: string): Promise<string> {
  const { bavail, bsize } = await statfs(directory);
  const free = `${((bavail * bsize) / 1024 ** 2).toFixed(0)} MiB free`;
  if (bavail * bsize >= STORE_BYTES_MIN) return free;
  throw new VideoError(FailureType.StoreUnavailable, `Only ${free} in ${directory}: paid videos may find no room`, {
    nextStep: 'Enlarge the disk, or delete what is not needed with "wan-video purge".',
  });
}

/** Whether every worker sees the same store. */
export async function checkSharing({ store, sharedFileStore }: Config, target: TemporalTarget): Promise<string> {
  checkSharedFileStore({ store: store.kind, temporalAddress: addressOf(target), sharedFileStore });
  if (store.kind === 's3') return 'an S3 store is seen by every worker';
  return sharedFileStore
    ? 'shared, as WAN_VIDEO_SHARED_FILE_STORE declares'
    : 'a local store, and Temporal is on this machine';
}

/** Whether a worker on this machine has room for what it downloads. */
export async function checkSpool(): Promise<string> {
  const folder = tmpdir();
  const nextStep = 'Free space there, or set TMPDIR to a folder on a larger disk.';
  let free: number;
  try {
    await access(folder, constants.W_OK);
    const { bavail, bsize } = await statfs(folder);
    free = bavail * bsize;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `The temporary folder ${folder} cannot be written (${code})`,
      {
        cause,
        nextStep,
      },
    );
  }
  const room = `${(free / 1024 ** 2).toFixed(0)} MiB free in ${folder}`;
  if (free >= SPOOL_BYTES_MIN) return room;
  throw new VideoError(
    FailureType.ConfigurationInvalid,
    `Only ${room}; downloads may need ${SPOOL_BYTES_MIN / 1024 ** 2} MiB`,
    { nextStep },
  );
}
