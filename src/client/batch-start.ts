import type { ManifestFault } from '../batch/manifest.js';
import type { BatchProgress, BatchSummary } from '../contract/batch.js';
import type { BatchEstimate, EstimateAccount } from './batch-estimate.js';

/** How a batch is started. */
export interface StartBatchOptions {
  /** Default: made of the time, with four random bytes. */
  readonly id?: string | undefined;
  readonly window?: number | undefined;
  /** Leave out lines with faults instead of refusing the whole manifest. */
  readonly allowInvalid?: boolean | undefined;
  readonly retryOf?: string | undefined;
  /** Items that one run of the workflow starts; for tests. */
  readonly pageItems?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a batch is estimated: as it would be started. */
export interface EstimateBatchOptions extends Pick<StartBatchOptions, 'id' | 'window' | 'allowInvalid' | 'signal'> {
  readonly account: EstimateAccount;
}

/** What a start would do now. */
export interface StartEstimate extends BatchEstimate {
  /** The id that was given; null: one would be made. */
  readonly batch_id: string | null;
  /** Whether a batch of this id is there; nothing would be started then. */
  readonly already_existed: boolean;
  /** When the last video would be there, started now; ISO 8601, UTC. */
  readonly expected: { readonly earliest_at: string; readonly latest_at: string };
}

/** A batch that was started, or that was there already. */
export interface StartedBatch {
  readonly batch_id: string;
  /** Workflow id. */
  readonly id: string;
  /** Whether a batch of this id was there before; nothing was started then. */
  readonly already_existed: boolean;
  /** Lines that are run, of which `duplicates` share the video of an earlier one. */
  readonly items: number;
  readonly duplicates: number;
  /** Lines that are left out. */
  readonly invalid: readonly ManifestFault[];
}

/** How far a batch is: what its workflow says, or its report when Temporal has forgotten it. */
export interface BatchStatus {
  readonly batch_id: string;
  readonly status: 'running' | 'completed' | 'cancelled' | 'failed' | 'terminated' | 'unknown';
  /** Null while no worker answers, or when Temporal has forgotten the batch. */
  readonly progress: BatchProgress | null;
  /** Null until the batch has ended. */
  readonly summary: BatchSummary | null;
}
