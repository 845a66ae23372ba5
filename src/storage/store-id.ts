import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from './asset-store.js';
import { readRecord, writeRecord } from './json-record.js';
import { STORE_ID_KEY } from './keys.js';

/**
 * Reads the store's own id, by which a step notices that its worker has another store than the run began with. The
 * first caller creates it, and it never changes.
 * @param options.newId - Returns an id that no other call returns.
 * @throws {@link VideoError} `RecordDamaged` when the record has no id.
 */
export async function storeId(
  store: AssetStore,
  { newId, signal }: { readonly newId: () => string; readonly signal?: AbortSignal | undefined },
): Promise<string> {
  let record = await readRecord(store, STORE_ID_KEY, { signal });
  if (record === undefined) {
    await writeRecord(store, STORE_ID_KEY, { version: 1, id: newId() }, { ifAbsent: true, signal });
    // Read back in any case: a put whose reply was lost may have been ours.
    record = await readRecord(store, STORE_ID_KEY, { signal });
  }
  const id = record?.['id'];
  if (typeof id === 'string' && id !== '') return id;
  throw new VideoError(FailureType.RecordDamaged, `${STORE_ID_KEY} in the asset store ${store.name} has no id`, {
    nextStep: `Restore ${STORE_ID_KEY} from a backup.`,
  });
}
