import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from './asset-store.js';
import { readRecord, writeRecord } from './json-record.js';
import { STORE_ID_KEY } from './keys.js';

/**
 * The store's own id, by which a step notices that its worker has another store than the run began with. Made by whoever asks
 * first, and the same for everybody from then on.
 * @param options.newId - Makes an id that nobody else makes.
 * @throws {@link VideoError} `RecordDamaged` when the record has no id.
 */
export async function storeId(
  store: AssetStore,
  { newId, signal }: { readonly newId: () => string; readonly signal?: AbortSignal | undefined },
): Promise<string> {
  let record = await readRecord(store, STORE_ID_KEY, { signal });
  if (record === undefined) {
    await writeRecord(store, STORE_ID_KEY, { version: 1, id: newId() }, { ifAbsent: true, signal });
    // Read back whoever won: a put whose reply was lost may have been ours.
    record = await readRecord(store, STORE_ID_KEY, { signal });
  }
  const id = record?.['id'];
  if (typeof id === 'string' && id !== '') return id;
  throw new VideoError(FailureType.RecordDamaged, `${STORE_ID_KEY} in the asset store ${store.name} has no id`, {
    nextStep: `Restore ${STORE_ID_KEY} from a backup.`,
  });
}
