import { writeEnds, writeReport } from '../src/batch/batch-files.js';
import type { BatchItemEnd, BatchSummary } from '../src/contract/batch.js';
import { type ActivityDeps, addressOf } from './deps.js';
import { withSignal } from './with-signal.js';

/** One page of a batch's results. */
export interface ResultsPage {
  readonly batchId: string;
  readonly page: number;
  readonly ends: readonly BatchItemEnd[];
}

/** Writes a page of results; writing the same page again changes nothing. */
export function createWriteResults({ store }: ActivityDeps) {
  return ({ batchId, page, ends }: ResultsPage): Promise<void> =>
    withSignal((signal) => writeEnds(store, batchId, page, ends, { signal }));
}

/** Where the report of a batch is. */
export interface WrittenReport {
  readonly address: string;
}

/** Writes the report of a batch. */
export function createWriteReport({ store, publicBaseUrl }: ActivityDeps) {
  return ({ summary }: { summary: BatchSummary }): Promise<WrittenReport> =>
    withSignal(async (signal) => {
      const key = await writeReport(store, summary, { signal });
      return { address: addressOf(key, { store, publicBaseUrl }) };
    });
}
