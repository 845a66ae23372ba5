import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from './asset-store.js';
import { readRecord, writeRecord } from './json-record.js';

/** As many writers as the store's contract test has; a server that does not decide atomically lets several of them win. */
const WRITERS = 20;
const FOLDER = 'probes/';

/**
 * Proves on the real store that of many concurrent puts if absent exactly one wins, which "bought once" rests on. Lists first:
 * only a listing tells a wrong bucket or key from a missing object. Leaves nothing behind.
 *
 * @param options.newId - Makes an id that nobody else makes.
 * @throws {@link VideoError} `ConfigurationInvalid`, not retryable, when the store fails the proof: nothing may be bought with it.
 * @throws what the store rejects with, when it cannot be reached or is set up wrongly.
 */
export async function verifyConditionalPut(
  store: AssetStore,
  { newId, signal }: { readonly newId: () => string; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  for await (const _ of store.list(FOLDER, { signal })) break;
  const key = `${FOLDER}${newId()}.json`;
  try {
    await race(store, key, signal);
  } catch (error) {
    await store.delete(key).catch(() => undefined); // why the proof failed matters more
    throw error;
  }
  await store.delete(key);
}

async function race(store: AssetStore, key: string, signal: AbortSignal | undefined): Promise<void> {
  const writers = Array.from({ length: WRITERS }, (_, writer) => writer);
  const put = (writer: number) => writeRecord(store, key, { writer }, { ifAbsent: true, signal });
  // All are waited for, so that none writes after the key was deleted.
  const outcomes = await Promise.allSettled(writers.map(put));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  const winners = writers.filter((writer) => {
    const outcome = outcomes[writer];
    return outcome?.status === 'fulfilled' && outcome.value.stored;
  });
  if (winners.length !== 1) throw refused(store, `let ${winners.length} of ${WRITERS} concurrent writers win`);
  const late = await put(WRITERS);
  const found = await readRecord(store, key, { signal });
  if (late.stored || found?.['writer'] !== winners[0]) throw refused(store, "replaced the first writer's object");
}

function refused(store: AssetStore, what: string): VideoError {
  return new VideoError(
    FailureType.ConfigurationInvalid,
    `The asset store ${store.name} ${what} of a put if absent; a video could be bought twice`,
    {
      billed: false,
      nextStep:
        'Set ASSET_STORE to a store with conditional writes: Amazon S3, a current MinIO, versitygw, Cloudflare R2, Alibaba OSS, or a local directory.',
    },
  );
}
