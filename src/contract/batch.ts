import type { Billable } from './budget.js';
import type { BatchDelivery, DeliveryReport } from './delivery.js';
import type { Resolution } from './model.js';
import type { VideoResult } from './result.js';

/** What the workflow `videoBatch` is started with; its id is `batch/<batch id>`. */
export interface VideoBatchInput {
  /**
   * Key of the manifest in the asset store; `{date}` in it is the nominal date of a scheduled run in the schedule's
   * zone. It is read once, at the beginning: later changes of the object affect later batches only. Give either this or
   * `items`.
   */
  readonly manifest_key?: string;
  /** A few requests instead of a manifest, with images that a worker can read: at most 100, and 128 KiB as JSON. */
  readonly items?: readonly Readonly<Record<string, unknown>>[];
  /** Items in progress at a time; default 10. */
  readonly window?: number;
  /** Run the valid lines of a manifest that has faults; default: refuse the whole manifest. */
  readonly allow_invalid?: boolean;
  /** How long to wait for a manifest that does not exist yet, in seconds; at most two days, default 0. */
  readonly manifest_wait_seconds?: number;
  /** IANA time zone of `{date}`; default UTC. */
  readonly timezone?: string;
  /** Id of the batch whose failed items this one runs again. */
  readonly retry_of?: string;
  /** Items that one run starts before it continues as new; default 250. */
  readonly page_items?: number;
  /** Schedule that starts the batch, by its name in `wan-video schedule`. */
  readonly schedule_id?: string;
  /**
   * Pauses that schedule when a larger share of the items fails or waits for a person: from 0 to below 1; default:
   * never.
   */
  readonly pause_when_failed_above?: number;
  /**
   * When that schedule was paused, ISO 8601: a run that was due before starts nothing. The schedule sets it itself, and
   * Temporal reads it at the start of each run, also of those that were waiting.
   */
  readonly schedule_paused_at?: string;
  /**
   * Names under which the videos are copied inside the store at the end, such as `delivery/{date}/{item_id}.mp4`, with
   * `{date}`, `{item_id}`, `{label:NAME}` and `{tenant}`; default: they are not copied.
   */
  readonly deliver?: string;
  /** Documents that are written next to the copies; default: none. */
  readonly deliver_report?: readonly DeliveryReport[];
  /** Name of the receiver of the batch's webhook events, as the workers configure it; default: `default`. */
  readonly receiver?: string;
}

/** Items that a batch may be started with inline: a page of the Web UI; more of them go into a manifest. */
export const BATCH_ITEMS_MAX = 100;
/**
 * Bytes of those items as JSON. The history holds them twice, in the input of the run and of the step that opens the
 * batch, and no payload of this product exceeds 256 kB. Temporal refuses 2 MB
 * (https://docs.temporal.io/troubleshooting/blob-size-limit-error).
 */
export const BATCH_ITEMS_BYTES_MAX = 128 * 1024;

/** Longest window: below Temporal's limit of 2000 children under way, with their starts. */
export const BATCH_WINDOW_MAX = 500;

/** Whether a value can be a window: any client may send one. */
export const isWindow = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= BATCH_WINDOW_MAX;

/** Twice the account's five, so that a slot is never free while the next item is being prepared. */
export const BATCH_WINDOW = 10;

/** How an item ended, or that it waits for a person. */
export type BatchItemOutcome = VideoResult['source'] | 'failed' | 'cancelled' | 'needs_attention' | 'budget_reached';

/** The end of an item as its batch learns it: one line of `results/<page>.jsonl`. */
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
  /** Stable address of the picture of its first frame. Absent: none was made. */
  readonly poster_url?: string | undefined;
  /** SHA-256 (hex) of the video. */
  readonly sha256: string | null;
  /** Whether the provider bills what this item did; null when nobody can know. */
  readonly billed: boolean | null;
  /** Seconds bought for this item; 0 when it cost nothing, or when nothing is known. */
  readonly billed_seconds: number;
  readonly resolution: Resolution | null;
  readonly audio: boolean;
  /** True when the provider did not say all of what it bills for `billed_seconds`. Absent otherwise. */
  readonly estimated?: boolean | undefined;
  /** Measured, seconds. */
  readonly duration: number | null;
  readonly timings: VideoResult['timings'] | null;
  /** Codes of the result's warnings, each once. Absent: none. */
  readonly warnings?: readonly string[] | undefined;
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
  /** Not bought, because a budget had no room; `batch retry` runs them again. */
  readonly budget_reached: number;
  /** Lines that request the same video as an earlier line; they share its outcome. */
  readonly duplicate: number;
  /** Lines that were left out because of their faults. */
  readonly invalid: number;
}

/** Why a batch starts no further item. */
export interface BatchPause {
  readonly reason: string;
  /** Failure type when the account is the reason; null when the pause was requested. */
  readonly cause: string | null;
  readonly since_ms: number;
}

/** Answer of the Updates `pause`, `resume` and `setWindow` of a batch: what holds from now on. */
export interface BatchControls {
  readonly pause: BatchPause | null;
  readonly window: number;
}

/** Answer of the query `progress` of a batch: complete by itself, for callers in any language. */
export interface BatchProgress {
  readonly batch_id: string;
  /** `opening`: the manifest is being read and checked. */
  readonly stage:
    | 'opening'
    | 'waiting_for_manifest'
    | 'running'
    /** Starts nothing until it is resumed; items in progress continue. */
    | 'paused'
    | 'cancelling'
    | 'reporting'
    /** Copies the videos to their names. */
    | 'delivering'
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
  readonly billed: readonly Billable[];
  /** Items of which nobody can know whether they are billed. */
  readonly maybe_billed: number;
  /** Seconds of `billed` of which the provider did not say all that it bills. Absent: none. */
  readonly estimated_seconds?: number | undefined;
  readonly started_at_ms: number;
  /** From the latest ends; null before there are enough. */
  readonly items_per_minute: number | null;
  /** Milliseconds since the epoch at which the last item will end at this rate; null when unknown or paused. */
  readonly eta_ms: number | null;
  /** Workflow ids of items that wait for a person; the first 50. */
  readonly attention: readonly string[];
  readonly retry_of: string | null;
}

/** What a batch did to its schedule, because more of it failed than the schedule allows. */
export interface BatchSchedulePause {
  readonly schedule_id: string;
  /** `changed`: it was changed meanwhile, and remains as it is; `unknown`: Temporal did not confirm the pause. */
  readonly done: 'paused' | 'changed' | 'unknown';
  readonly reason: string;
}

/** Result of `videoBatch`, and the head of `report.json`. */
export interface BatchSummary {
  readonly batch_id: string;
  /** `schedule_paused`: its schedule was paused while it waited for its turn, so it started nothing. */
  readonly outcome: 'completed' | 'cancelled' | 'manifest_missing' | 'schedule_paused';
  readonly counts: BatchCounts;
  readonly causes: Readonly<Record<string, number>>;
  readonly billed: readonly Billable[];
  readonly maybe_billed: number;
  /** Seconds of `billed` of which the provider did not say all that it bills. Absent: none. */
  readonly estimated_seconds?: number | undefined;
  readonly started_at_ms: number;
  readonly ended_at_ms: number;
  readonly retry_of: string | null;
  /** Absent or null: there was no reason to pause a schedule, or it was paused or deleted already. */
  readonly schedule_pause?: BatchSchedulePause | null;
  /** Absent: the batch delivers nothing. */
  readonly delivery?: BatchDelivery;
}

/** Failures that would hit the next item as well: the batch pauses, and runs their items again once it is resumed. */
export const ACCOUNT_CAUSES: readonly string[] = ['CredentialsMissing', 'CredentialsRejected', 'AccountBlocked'];
