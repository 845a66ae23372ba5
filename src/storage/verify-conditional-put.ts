import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from './asset-store.js';
import { readRecord, writeRecord } from './json-record.js';

/** As many writers as in the store's contract test; a server that is not atomic lets several of them win. */
const WRITERS = 20;
const FOLDER = 'probes/';

/**
 * Verifies on the real store that exactly one of many concurrent conditional puts wins: buying once depends on it. It
 * lists first, because only a listing distinguishes a wrong bucket or key from a missing object, and removes its own
 * object in the end.
 *
 * @param options.newId - Returns an id that no other call returns.
 * @throws {@link VideoError} `ConfigurationInvalid`, not retryable, when the store fails: nothing may be bought with
 * it.
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
    await store.delete(key).catch(() => undefined); // why it failed matters more
    throw error;
  }
  await store.delete(key);
}

async function race(store: AssetStore, key: string, signal: AbortSignal | undefined): Promise<void> {
  const writers = Array.from({ length: WRITERS }, (_, writer) => writer);
  const put = (writer: number) => writeRecord(store, key, { writer }, { ifAbsent: true, signal });
  // All are awaited, so that none writes after the key was deleted.
  const outcomes = await Promise.allSettled(writers.map(put));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  const winners = writers.filter((writer) => {
    const outcome = outcomes[writer];
    return outcome?.status === 'fulfilled' && outcome.value.stored;
  });
  if (winners.length !== 1)
    throw refused(store, `let ${winners.length} of ${WRITERS} concurrent conditional puts of one key win`);
  const late = await put(WRITERS);
  const found = await readRecord(store, key, { signal });
  if (late.stored || found?.['writer'] !== winners[0]) throw refused(store, 'replaced an object in a conditional put');
}

function refused(store: AssetStore, what: string): VideoError {
  return new VideoError(
    FailureType.ConfigurationInvalid,
    `The asset store ${store.name} ${what}; a video could be bought twice`,
    {
      billed: false,
      nextStep:
        'Set ASSET_STORE to a store with conditional writes: Amazon S3, a current MinIO, versitygw, Cloudflare ' +
        'R2, Alibaba OSS, or a local directory.',
    },
  );
}
