import { readItemsPage } from '../src/batch/batch-files.js';
import { runSummary } from '../src/batch/run-summary.js';
import type { VideoRequest } from '../src/contract/request.js';
import type { ActivityDeps } from './deps.js';
import { withSignal } from './with-signal.js';

/** Which items of a batch to read. */
export interface PageQuery {
  readonly batchId: string;
  /** Offset of the first one in the manifest, in bytes. */
  readonly at: number;
  readonly items: number;
}

/** One item of a page. */
export interface PageItem {
  readonly itemId: string;
  readonly request: VideoRequest;
  /** One line for the Web UI. */
  readonly summary: string;
  /** Whether an earlier line requests the same video. */
  readonly isDuplicate: boolean;
  /** Offset of this item and of the next one in the manifest, in bytes. */
  readonly at: number;
  readonly next: number;
}

/** A page stays below the 256 kB that a payload should have at most, with the JSON around its lines. */
const PAGE_BYTES_MAX = 180 * 1024;

/** Reads the next items of a batch from the batch's own copy of the manifest; an empty page is the end. */
export function createReadManifest({ store }: ActivityDeps) {
  return ({ batchId, at, items }: PageQuery): Promise<{ page: PageItem[] }> =>
    withSignal(async (signal) => {
      const page = await readItemsPage(store, batchId, at, { items, bytes: PAGE_BYTES_MAX }, { signal });
      return {
        page: page.map(({ item: { item_id: itemId, same_as, request }, ...offsets }) => ({
          itemId,
          request,
          // An id has at most 100 bytes, so both fit into the server's limit of 400 bytes for a summary.
          summary: `${itemId}: ${runSummary(request)}`,
          isDuplicate: same_as !== undefined,
          ...offsets,
        })),
      };
    });
}
