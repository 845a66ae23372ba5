import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import { VideoRunError } from '../../client/run-error.js';
import { FailureType } from '../../contract/failure-type.js';
import { VideoError } from '../../contract/video-error.js';
import type { AssetStore } from '../../storage/asset-store.js';
import { videoKey } from '../../storage/keys.js';
import { S3Store } from '../../storage/s3-store.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { findRun } from '../find-run.js';
import { JSON_FLAG, linkTime } from '../flags.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

/** `wan-video presign`: a time-limited address of an archived video. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Prints an https address under which anyone can fetch an archived video until it expires. Needs an S3 store. ' +
        'Keep the address secret; one that is signed with the credentials of a session ends with that session.',
    )
    .argument('<id|key>', 'id of a run or a task, or a key of the store such as videos/….mp4 or candidates/….mp4')
    .addOption(
      new Option('--expires <time>', 'how long it is valid: 90s, 15m, 1h, up to 7d')
        .argParser(linkTime)
        .default(3_600, '1h'),
    )
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  wan-video presign video/0a1b2c3d --expires 15m')
    .action(context.action((id: string, { expires }: { expires: number }) => presign(id, expires, context)));
}

async function presign(id: string, expiresSeconds: number, context: CommandContext): Promise<number> {
  const settings = new Settings(context.io);
  const store = settings.store();
  if (!(store instanceof S3Store)) throw await localStoreError(id, store, settings);
  const key = await findVideoKey(id, store, settings);
  const signedMs = Date.now();
  const url = await store.presign(key, expiresSeconds);
  const expires_at = new Date(signedMs + expiresSeconds * 1000).toISOString();
  context.result({ url, key, expires_at }, url);
  return ExitCode.done;
}

/** A local store has files instead of addresses: the error says which file it is, if it exists. */
async function localStoreError(id: string, store: AssetStore, settings: Settings): Promise<VideoError> {
  const key = await findVideoKey(id, store, settings).catch(() => undefined);
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

async function findVideoKey(id: string, store: AssetStore, settings: Settings): Promise<string> {
  // A result and the store itself name a key with the store's name before it.
  const key = id.startsWith(`${store.name}/`) ? id.slice(store.name.length + 1) : id;
  const exists = async (one: string) => (await store.head(one)) !== undefined;
  if (/^(videos|candidates)\//.test(key)) {
    if (await exists(key)) return key;
    throw new VideoError(FailureType.AssetNotFound, `Nothing is at ${key} in the asset store ${store.name}`, {
      nextStep: 'Take the key from the video_url of a result.',
    });
  }
  if (await exists(videoKey(id))) return videoKey(id);
  const { task_id, status } = await withTemporal(await settings.target(), (client) =>
    findRun(id, client, () => settings.ledger()),
  );
  if (task_id !== null && (await exists(videoKey(task_id)))) return videoKey(task_id);
  throw new VideoRunError(id, {
    type: FailureType.AssetNotFound,
    message: `The run ${id} (${status}) has no video in the asset store ${store.name}`,
    next_step: `Check it with "wan-video status ${id}".`,
  });
}
