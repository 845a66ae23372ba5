import type { BatchItemEnd, BatchSummary } from '../src/contract/batch.js';
import type { VideoRequest } from '../src/contract/request.js';
import type { StepTimes } from '../src/contract/times.js';
import type { Issue } from '../src/contract/video-error.js';
import type { WebhookEvents } from '../src/contract/webhook.js';

/** Where a batch takes its items from, and how. */
export interface OpenBatchInput {
  readonly batchId: string;
  /** Key of the manifest; `{date}` is the date of `nominalTime` in `timezone`. Absent: the lines are `items`. */
  readonly manifestKey?: string;
  /** As they came with the batch; nothing has judged them yet. */
  readonly items?: readonly unknown[];
  /** Faults of what the batch was started with: it cannot be opened, and is told these beside those of its items. */
  readonly issues?: readonly Issue[];
  readonly allowInvalid: boolean;
  /** ISO 8601, UTC. */
  readonly nominalTime: string;
  readonly timezone: string;
}

/** A batch whose manifest was checked and is kept, or that has none yet. */
export type BatchOpening =
  | {
      readonly kind: 'missing';
      readonly manifestKey: string;
      readonly times: StepTimes;
      /** What is told to the webhook; absent: there is none. */
      readonly webhookEvents?: WebhookEvents;
    }
  | {
      readonly kind: 'open';
      readonly items: number;
      readonly duplicates: number;
      readonly invalid: number;
      /** Whether the namespace knows our search attributes. */
      readonly attributes: boolean;
      /** Labels may not become search attributes, because a payload codec keeps them from Temporal. */
      readonly labelsHidden: boolean;
      readonly times: StepTimes;
      readonly webhookEvents?: WebhookEvents;
    };

/** Second detail of a failure to open a batch: the batch learns otherwise only from what was opened whom to tell. */
export interface OpeningFault {
  readonly webhookEvents: WebhookEvents;
}

/** One item of a page. */
export interface PageItem {
  readonly itemId: string;
  readonly request: VideoRequest;
  /** One line for the Web UI. */
  readonly summary: string;
  /** Whether an earlier line asks for the same video. */
  readonly isDuplicate: boolean;
  /** Offsets in the manifest, bytes. */
  readonly at: number;
  readonly next: number;
}

/** An item whose run a batch waits for. */
export interface AwaitedItem {
  readonly itemId: string;
  /** Whether the batch knows that it waits for a person. */
  readonly parked: boolean;
}

/** How a schedule of batches stands. */
export interface FoundSchedule {
  /** Another one after each pause, resumption and change; runs do not change it. Null: it starts nothing, being paused or gone. */
  readonly version: string | null;
}

/** A schedule that is to be paused, unless somebody has changed it since. */
export interface SchedulePauseInput {
  readonly scheduleId: string;
  readonly version: string;
  readonly note: string;
}

/** The steps of a batch. */
export interface BatchActivities {
  openBatch(input: OpenBatchInput): Promise<BatchOpening>;
  readManifest(input: { batchId: string; at: number; items: number }): Promise<{ page: PageItem[] }>;
  findEndedItems(input: { batchId: string; awaited: readonly AwaitedItem[] }): Promise<{ ends: BatchItemEnd[] }>;
  writeResults(input: { batchId: string; page: number; ends: readonly BatchItemEnd[] }): Promise<void>;
  writeReport(input: { summary: BatchSummary }): Promise<void>;
  findSchedule(input: { scheduleId: string }): Promise<FoundSchedule>;
  pauseSchedule(input: SchedulePauseInput): Promise<{ done: 'paused' | 'gone' | 'changed' }>;
}
