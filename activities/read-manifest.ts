import { pageOfItems } from '../src/batch/batch-files.js';
import { itemSummary } from '../src/batch/item-summary.js';
import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** A page stays below the 256 kB that a payload should have at most, with its JSON around the lines. */
const PAGE_BYTES_MAX = 180 * 1024;

/** Reads the next items of a batch from its own copy of the manifest; an empty page is the end. */
export function createReadManifest({ store }: ActivityDeps): VideoActivities['readManifest'] {
  return ({ batchId, at, items }) =>
    withSignal(async (signal) => {
      const page = await pageOfItems(store, batchId, at, { items, bytes: PAGE_BYTES_MAX }, { signal });
      return {
        page: page.map(({ item: { item_id: itemId, same_as, request }, ...place }) => ({
          ...{ itemId, request, summary: itemSummary(itemId, request), isDuplicate: same_as !== undefined },
          ...place,
        })),
      };
    });
}
