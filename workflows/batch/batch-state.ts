import type { PageItem } from '../../activities/batch-types.js';
import type { WebhookEvents } from '../../activities/types.js';
import {
  ACCOUNT_CAUSES,
  BATCH_WINDOW,
  BATCH_WINDOW_MAX,
  type BatchItemEnd,
  type BatchPause,
} from '../../src/contract/batch.js';
import { type BatchTotals, countEnd, noTotals } from '../../src/contract/batch-totals.js';
import type { StepTimes } from '../../src/contract/times.js';

/** An item that is to be run again, because it failed for the account's sake. */
export interface AgainItem {
  /** Offset in the manifest. */
  readonly at: number;
  /** What it stays at when the batch does not go on. */
  readonly end: BatchItemEnd;
}

/** What one run of a batch hands to the next: ids and numbers only. */
export interface CarriedBatch {
  readonly times: StepTimes;
  readonly startedAtMs: number;
  /** Whether the namespace knows our search attributes. */
  readonly attributes: boolean;
  /** Labels are not to be searched by: they are the caller's texts, and a payload codec keeps those from Temporal. */
  readonly labelsHidden?: boolean;
  /** What is told to the webhook; absent: there is none. */
  readonly webhookEvents?: WebhookEvents;
  readonly window: number;
  readonly pause: BatchPause | null;
  readonly totals: BatchTotals;
  /** Offset of the first item that was not started; null at the end of the manifest. */
  readonly position: number | null;
  /** Lines that were taken from the manifest, duplicates included. */
  readonly taken: number;
  /** Offset in the manifest by id. */
  readonly inFlight: Readonly<Record<string, number>>;
  readonly parked: Readonly<Record<string, BatchItemEnd>>;
  readonly again: readonly AgainItem[];
  /** Pages of results that are written. */
  readonly pages: number;
  readonly recentEndsMs: readonly number[];
}

/** Ends that the rate is measured by: enough to even out two tiers, few enough to follow a change within minutes. */
const RATE_ENDS = 20;

/** Every item of a batch stands in exactly one place here, so no end is counted twice and none is lost. Pure. */
export class BatchState {
  readonly times: StepTimes;
  readonly startedAtMs: number;
  readonly attributes: boolean;
  readonly labelsHidden: boolean;
  readonly webhookEvents: WebhookEvents | undefined;
  window: number;
  pause: BatchPause | null;
  totals: BatchTotals;
  position: number | null;
  taken: number;
  pages: number;
  /** Ends that are not written yet. */
  unwritten: BatchItemEnd[] = [];
  readonly inFlight: Map<string, number>;
  readonly parked: Map<string, BatchItemEnd>;
  readonly again: AgainItem[];
  readonly recentEndsMs: number[];

  constructor(carried: CarriedBatch) {
    this.times = carried.times;
    this.startedAtMs = carried.startedAtMs;
    this.attributes = carried.attributes;
    this.labelsHidden = carried.labelsHidden ?? false;
    this.webhookEvents = carried.webhookEvents;
    this.window = carried.window;
    this.pause = carried.pause;
    this.totals = carried.totals;
    this.position = carried.position;
    this.taken = carried.taken;
    this.pages = carried.pages;
    this.inFlight = new Map(Object.entries(carried.inFlight));
    this.parked = new Map(Object.entries(carried.parked));
    this.again = [...carried.again];
    this.recentEndsMs = [...carried.recentEndsMs];
  }

  /** A batch at its beginning. */
  static first(
    { items, duplicates, invalid }: { readonly items: number; readonly duplicates: number; readonly invalid: number },
    {
      window,
      ...known
    }: Pick<CarriedBatch, 'times' | 'startedAtMs' | 'attributes' | 'labelsHidden' | 'webhookEvents'> & {
      readonly window: unknown;
    },
  ): BatchState {
    return new BatchState({
      ...{ ...known, pause: null, position: 0, taken: 0, inFlight: {}, parked: {}, again: [] },
      ...{ pages: 0, recentEndsMs: [] },
      window: isWindow(window) ? window : BATCH_WINDOW,
      totals: noTotals({ total: items + invalid, duplicate: duplicates, invalid }),
    });
  }

  carried(): CarriedBatch {
    const { times, startedAtMs, attributes, window, pause, totals, position, taken, again, pages, recentEndsMs } = this;
    return {
      ...{ times, startedAtMs, attributes, window, pause, totals, position, taken, again, pages, recentEndsMs },
      ...(this.labelsHidden && { labelsHidden: true }),
      inFlight: Object.fromEntries(this.inFlight),
      parked: Object.fromEntries(this.parked),
      ...(this.webhookEvents !== undefined && { webhookEvents: this.webhookEvents }),
    };
  }

  get mayStart(): boolean {
    return this.pause === null && this.inFlight.size < this.window && this.hasMore;
  }

  get hasMore(): boolean {
    return this.again.length > 0 || this.position !== null;
  }

  /** Whether nothing is left to start or to wait for; who waits for a person does not hold up the end. */
  get isComplete(): boolean {
    return this.inFlight.size === 0 && !this.hasMore;
  }

  /** Lines whose turn has not come. */
  get waiting(): number {
    const { total, invalid } = this.totals.counts;
    return total - invalid - this.taken + this.again.length;
  }

  /** The item at the position was taken from the manifest, to be started or because it needs no run of its own. */
  took({ next }: Pick<PageItem, 'next'>): void {
    this.taken += 1;
    this.position = next;
  }

  started({ itemId, at }: Pick<PageItem, 'itemId' | 'at'>): void {
    this.inFlight.set(itemId, at);
  }

  /** Counts an end, once; whoever is not waited for is not heard. */
  ended(end: BatchItemEnd, nowMs: number): void {
    const at = this.inFlight.get(end.item_id);
    if (at === undefined) {
      const parked = this.parked.get(end.item_id);
      if (parked === undefined || end.outcome === 'needs_attention') return;
      this.parked.delete(end.item_id);
      this.totals = countEnd(this.totals, parked, -1);
    } else {
      this.inFlight.delete(end.item_id);
      if (end.outcome === 'failed' && ACCOUNT_CAUSES.includes(end.cause ?? '')) {
        this.again.push({ at, end });
        this.pause ??= { reason: end.message ?? end.cause ?? '', cause: end.cause, since_ms: nowMs };
        return;
      }
    }
    if (end.outcome === 'needs_attention') this.parked.set(end.item_id, end);
    this.#count(end, nowMs);
  }

  /** The items that were to be run again stay what they were. */
  settlePending(nowMs: number): void {
    for (const { end } of this.again.splice(0)) this.#count(end, nowMs);
  }

  /** Per minute, from the latest ends; null before there are two. */
  get itemsPerMinute(): number | null {
    const [first, last] = [this.recentEndsMs[0], this.recentEndsMs.at(-1)];
    if (first === undefined || last === undefined || last <= first) return null;
    return ((this.recentEndsMs.length - 1) * 60_000) / (last - first);
  }

  #count(end: BatchItemEnd, nowMs: number): void {
    this.totals = countEnd(this.totals, end);
    this.unwritten.push(end);
    this.recentEndsMs.push(nowMs);
    if (this.recentEndsMs.length > RATE_ENDS) this.recentEndsMs.shift();
  }
}

/** Whether a value can be a window: whoever sends it is not checked. */
export const isWindow = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= BATCH_WINDOW_MAX;
