import type { ManifestFault } from '../batch/manifest.js';
import type { BatchProgress, BatchSummary, VideoBatchInput } from '../contract/batch.js';
import type { DeliveryReport } from '../contract/delivery.js';
import { batchManifestKey } from '../storage/keys.js';
import { deliveryInput } from './batch-delivery.js';
import type { BatchEstimate, EstimateAccount } from './batch-estimate.js';

/** How a batch is started. */
export interface StartBatchOptions {
  /** Default: the current time with four random bytes. */
  readonly id?: string | undefined;
  /** Items in progress at a time; default 10. */
  readonly window?: number | undefined;
  /** Leave out lines with faults instead of refusing the whole manifest; default false. */
  readonly allowInvalid?: boolean | undefined;
  /**
   * Names under which the videos are copied inside the store at the end, such as `delivery/{date}/{item_id}.mp4`;
   * default: they are not copied. A retry delivers to the place of the batch that it retries.
   */
  readonly deliver?: string | undefined;
  /** Documents that are written next to the copies; default: none. */
  readonly deliverReports?: readonly DeliveryReport[] | undefined;
  /** Name of the receiver of the webhook events, as the workers configure it; default: `default`. */
  readonly receiver?: string | undefined;
  /** Id of the batch whose failed lines this one runs again. */
  readonly retryOf?: string | undefined;
  /** Items that one run of the workflow starts before it continues as new; for tests. */
  readonly pageItems?: number | undefined;
  /** Stops the check of the manifest and the staging of its images, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** How a batch is estimated: the options of its start, and the account that would run it. */
export interface EstimateBatchOptions
  extends Pick<StartBatchOptions, 'id' | 'window' | 'allowInvalid' | 'deliver' | 'signal'> {
  readonly account: EstimateAccount;
}

/** What a start would do now. */
export interface StartEstimate extends BatchEstimate {
  /** The id of the options; null: one would be generated. */
  readonly batch_id: string | null;
  /** Whether a batch of this id exists; nothing would be started then. */
  readonly already_existed: boolean;
  /** When the last video would be finished, if started now; ISO 8601, UTC. */
  readonly expected: { readonly earliest_at: string; readonly latest_at: string };
}

/** A batch that was started, or that existed already. */
export interface StartedBatch {
  readonly batch_id: string;
  /** Workflow id. */
  readonly id: string;
  /** Whether a batch of this id existed before; nothing was started then. */
  readonly already_existed: boolean;
  /** Lines that are run; `duplicates` of them share the video of an earlier line. */
  readonly items: number;
  readonly duplicates: number;
  /** Lines that are left out. */
  readonly invalid: readonly ManifestFault[];
}

/** The state of a batch: the answer of its workflow, or its report once Temporal has deleted its history. */
export interface BatchStatus {
  readonly batch_id: string;
  readonly status: 'running' | 'completed' | 'cancelled' | 'failed' | 'terminated' | 'unknown';
  /** Why a running batch is stuck; absent when it is not. */
  readonly problem?: string;
  /** Null while no worker answers, while the batch is stuck, and once Temporal has deleted the batch's history. */
  readonly progress: BatchProgress | null;
  /** Null until the batch has ended. */
  readonly summary: BatchSummary | null;
}

/** The state of a batch by Temporal's name of it. */
export const STATUS_OF: Readonly<Record<string, BatchStatus['status']>> = {
  RUNNING: 'running',
  CONTINUED_AS_NEW: 'running',
  COMPLETED: 'completed',
  CANCELLED: 'cancelled',
  FAILED: 'failed',
  TIMED_OUT: 'failed',
  TERMINATED: 'terminated',
};

/** What the workflow of a batch is started with; its manifest is in the store. */
export const batchInput = (
  batchId: string,
  { window, allowInvalid = false, retryOf, pageItems, ...delivery }: StartBatchOptions,
): VideoBatchInput => ({
  manifest_key: batchManifestKey(batchId),
  ...(window !== undefined && { window }),
  ...(allowInvalid && { allow_invalid: true }),
  ...(retryOf !== undefined && { retry_of: retryOf }),
  ...(pageItems !== undefined && { page_items: pageItems }),
  ...deliveryInput(delivery),
});
