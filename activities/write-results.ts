import { writeEnds, writeReport } from '../src/batch/batch-files.js';
import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Writes a page of results; the same page again replaces it by the same. */
export function createWriteResults({ store }: ActivityDeps): VideoActivities['writeResults'] {
  return ({ batchId, page, ends }) => withSignal((signal) => writeEnds(store, batchId, page, ends, { signal }));
}

/** Writes what a batch has come to. */
export function createWriteReport({ store }: ActivityDeps): VideoActivities['writeReport'] {
  return ({ summary }) => withSignal((signal) => writeReport(store, summary, { signal }));
}
