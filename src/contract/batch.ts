import type { Resolution } from './model.js';
import type { VideoResult } from './result.js';

/** What the workflow `videoBatch` is started with; its id is `batch/<batch id>`. */
export interface VideoBatchInput {
  /**
   * Key of the manifest in the asset store; `{date}` in it is the nominal date of a scheduled run in the schedule's zone. It is
   * read once, at the beginning: later changes of the object change later batches only. Either this or `items`.
   */
  readonly manifest_key?: string;
  /** A few lines of a manifest in its place, whose images a worker can read by themselves: at most 100, and 128 KiB as JSON. */
  readonly items?: readonly Readonly<Record<string, unknown>>[];
  /** How many items are in work at a time; default 10. */
  readonly window?: number;
  /** Run the valid lines of a manifest that has faults; default: refuse it whole. */
  readonly allow_invalid?: boolean;
  /** How long a manifest that is not there yet is waited for, in seconds; default 0. */
  readonly manifest_wait_seconds?: number;
  /** IANA time zone of `{date}`; default UTC. */
  readonly timezone?: string;
  /** Id of the batch whose failed items this one runs again. */
  readonly retry_of?: string;
  /** Items that one run starts before it continues as new; default 250. */
  readonly page_items?: number;
  /** Schedule that starts it, by its name in `wan-video schedule`. */
  readonly schedule_id?: string;
  /** That schedule is paused when a larger share of the items failed or waits for a person: from 0 to below 1; default: never. */
  readonly pause_when_failed_above?: number;
}

/** Items that a batch may be started with inline: a page of the Web UI; more are a manifest. */
export const BATCH_ITEMS_MAX = 100;
/**
 * They stand in the history twice, as the input of the run and at the step that opens it, and no payload of ours is to have 256 KB. Temporal
 * refuses 2 MB (https://docs.temporal.io/troubleshooting/blob-size-limit-error).
 */
export const BATCH_ITEMS_BYTES_MAX = 128 * 1024;

/** Longest window: below Temporal's limit of 2000 children under way, with their starts. */
export const BATCH_WINDOW_MAX = 500;
/** Twice the account's five, so that a slot is never free while the next item is being prepared. */
export const BATCH_WINDOW = 10;

/** How an item ended, or that it waits for a person. */
export type BatchItemOutcome = VideoResult['source'] | 'failed' | 'cancelled' | 'needs_attention' | 'budget_reached';

/** What an item tells its batch: one line of `results/<page>.jsonl`. */
export interface BatchItemEnd {
  readonly item_id: string;
  readonly outcome: BatchItemOutcome;
  /** Failure type; null for a video. */
  readonly cause: string | null;
  /** The provider's own code. */
  readonly code: string | null;
  /** Why there is no video, for people; at most 300 characters. */
  readonly message: string | null;
  /** Workflow id of the item's run. */
  readonly run: string;
  readonly task_id: string | null;
  /** Stable address of the archived video. */
  readonly video_url: string | null;
  /** SHA-256 (hex) of the video. */
  readonly sha256: string | null;
  /** Whether the provider bills what this item did; null when that is not known. */
  readonly billed: boolean | null;
  /** Seconds that were bought for this item; 0 for one that cost nothing, or of which nothing is known. */
  readonly billed_seconds: number;
  readonly resolution: Resolution | null;
  readonly audio: boolean;
  /** Measured, seconds. */
  readonly duration: number | null;
  readonly timings: VideoResult['timings'] | null;
  /** Milliseconds since the epoch. */
  readonly started_at_ms: number;
  readonly ended_at_ms: number;
}

/** How many items ended how. `total` counts the lines of the manifest. */
export interface BatchCounts {
  readonly total: number;
  readonly generated: number;
  readonly cache: number;
  readonly adopted: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly needs_attention: number;
  /** Not bought, because a budget had no room; `batch retry` runs them. */
  readonly budget_reached: number;
  /** Lines that ask for the same video as an earlier one; they have its outcome. */
  readonly duplicate: number;
  /** Lines that were left out because they have faults. */
  readonly invalid: number;
}

/** What was bought: seconds of one tier, with or without sound. */
export interface BilledSeconds {
  readonly resolution: Resolution;
  readonly audio: boolean;
  readonly seconds: number;
}

/** Why a batch starts no further item. */
export interface BatchPause {
  readonly reason: string;
  /** Failure type when the account is the reason; null when somebody asked for it. */
  readonly cause: string | null;
  readonly since_ms: number;
}

/** Answer of the query `progress` of a batch: complete by itself, for callers in any language. */
export interface BatchProgress {
  readonly batch_id: string;
  readonly stage: /** The manifest is read and checked. */
    | 'opening'
    | 'waiting_for_manifest'
    | 'running'
    /** Starts nothing until it is told to go on; what is in work goes on. */
    | 'paused'
    | 'cancelling'
    | 'reporting'
    | 'done'
    | 'cancelled'
    | 'failed';
  readonly pause: BatchPause | null;
  readonly counts: BatchCounts;
  readonly in_flight: number;
  /** Lines whose turn has not come. */
  readonly waiting: number;
  readonly window: number;
  /** By failure type. */
  readonly causes: Readonly<Record<string, number>>;
  readonly billed: readonly BilledSeconds[];
  /** Items of which nobody can say whether they are billed. */
  readonly maybe_billed: number;
  readonly started_at_ms: number;
  /** From the latest ends; null before there are enough. */
  readonly items_per_minute: number | null;
  /** Milliseconds since the epoch at which the last item will end at this rate; null when unknown or paused. */
  readonly eta_ms: number | null;
  /** Workflow ids of items that wait for a person; the first 50. */
  readonly attention: readonly string[];
  readonly retry_of: string | null;
}

/** What a batch did to the schedule that started it, because more of it failed than the schedule bears. */
export interface BatchSchedulePause {
  readonly schedule_id: string;
  /** `changed`: somebody changed it meanwhile, and it was left as it is; `unknown`: Temporal did not confirm it. */
  readonly done: 'paused' | 'changed' | 'unknown';
  readonly reason: string;
}

/** Result of `videoBatch`, and the head of `report.json`. */
export interface BatchSummary {
  readonly batch_id: string;
  readonly outcome: 'completed' | 'cancelled' | 'manifest_missing';
  readonly counts: BatchCounts;
  readonly causes: Readonly<Record<string, number>>;
  readonly billed: readonly BilledSeconds[];
  readonly maybe_billed: number;
  readonly started_at_ms: number;
  readonly ended_at_ms: number;
  readonly retry_of: string | null;
  /** Absent or null: it had no reason to pause a schedule, or found that paused or deleted. */
  readonly schedule_pause?: BatchSchedulePause | null;
}

/** Failures that the next item would meet as well: the batch pauses, and their items are run again when it goes on. */
export const ACCOUNT_CAUSES: readonly string[] = ['CredentialsMissing', 'CredentialsRejected', 'AccountBlocked'];
