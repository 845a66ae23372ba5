import type { OpenedBatch } from '../../activities/open-batch.js';
import type { PageItem } from '../../activities/read-manifest.js';
import {
  ACCOUNT_CAUSES,
  BATCH_WINDOW,
  type BatchItemEnd,
  type BatchPause,
  isWindow,
} from '../../src/contract/batch.js';
import { type BatchTotals, countEnd, noTotals } from '../../src/contract/batch-totals.js';
import type { StepTimes } from '../../src/contract/times.js';
import type { WebhookEvents } from '../../src/contract/webhook.js';

/** An item that runs again once the batch resumes, because a fault of the account failed it. */
export interface RepeatItem {
  /** Offset in the manifest. */
  readonly at: number;
  /** The end that counts when the batch does not resume. */
  readonly end: BatchItemEnd;
}

/** What one run of a batch hands to the next: ids and numbers only. */
export interface CarriedBatch {
  readonly times: StepTimes;
  readonly startedAtMs: number;
  /** Whether the namespace has the search attributes. */
  readonly attributes: boolean;
  /**
   * Whether labels stay out of search attributes: they are the caller's texts, which a payload codec keeps from
   * Temporal.
   */
  readonly labelsHidden: boolean;
  /** Events that the worker's webhook is subscribed to; absent: there is no webhook. */
  readonly webhookEvents?: WebhookEvents | undefined;
  readonly window: number;
  readonly pause: BatchPause | null;
  readonly totals: BatchTotals;
  /** Offset of the first item that was not started; null at the end of the manifest. */
  readonly position: number | null;
  /** Lines taken from the manifest, duplicates included. */
  readonly taken: number;
  /** Offset in the manifest by id. */
  readonly inFlight: Readonly<Record<string, number>>;
  readonly parked: Readonly<Record<string, BatchItemEnd>>;
  readonly again: readonly RepeatItem[];
  /** Pages of results that are written. */
  readonly pages: number;
  readonly recentEndsMs: readonly number[];
}

/** Ends that the rate is measured by: enough to even out two tiers, few enough to follow a change within minutes. */
const RATE_ENDS = 20;

/** Holds every item of a batch in exactly one place, so that no end is counted twice and none is lost. Pure. */
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
  readonly again: RepeatItem[];
  readonly recentEndsMs: number[];

  constructor(carried: CarriedBatch) {
    this.times = carried.times;
    this.startedAtMs = carried.startedAtMs;
    this.attributes = carried.attributes;
    this.labelsHidden = carried.labelsHidden;
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

  /**
   * The state of a batch at its beginning.
   * @param window - As the caller gave it; anything that is no window counts as the default.
   */
  static first(
    { items, duplicates, invalid, times, attributes, labelsHidden, webhookEvents }: Omit<OpenedBatch, 'kind'>,
    { window, startedAtMs }: { readonly window: unknown; readonly startedAtMs: number },
  ): BatchState {
    return new BatchState({
      times,
      startedAtMs,
      attributes,
      labelsHidden,
      webhookEvents,
      window: isWindow(window) ? window : BATCH_WINDOW,
      pause: null,
      totals: noTotals({ total: items + invalid, duplicate: duplicates, invalid }),
      position: 0,
      taken: 0,
      inFlight: {},
      parked: {},
      again: [],
      pages: 0,
      recentEndsMs: [],
    });
  }

  carried(): CarriedBatch {
    const { unwritten: _, inFlight, parked, ...carried } = this;
    return { ...carried, inFlight: Object.fromEntries(inFlight), parked: Object.fromEntries(parked) };
  }

  get mayStart(): boolean {
    return this.pause === null && this.inFlight.size < this.window && this.hasMore;
  }

  get hasMore(): boolean {
    return this.again.length > 0 || this.position !== null;
  }

  /** Whether nothing is left to start or to wait for; an item that waits for a person does not hold up the end. */
  get isComplete(): boolean {
    return this.inFlight.size === 0 && !this.hasMore;
  }

  /** Lines whose turn has not come. */
  get waiting(): number {
    const { total, invalid } = this.totals.counts;
    return total - invalid - this.taken + this.again.length;
  }

  /** Whether the end of an item is still to come. */
  isAwaited(itemId: string): boolean {
    return this.inFlight.has(itemId) || this.parked.has(itemId);
  }

  /** Moves on behind an item that is taken from the manifest, to be started or because it needs no run of its own. */
  took({ next }: Pick<PageItem, 'next'>): void {
    this.taken += 1;
    this.position = next;
  }

  started({ itemId, at }: Pick<PageItem, 'itemId' | 'at'>): void {
    this.inFlight.set(itemId, at);
  }

  /** Counts an end once. Ends of items that are not awaited are ignored. */
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

  /** Counts the items that were to run again as what they are: failed. */
  giveUpRepeats(nowMs: number): void {
    for (const { end } of this.again.splice(0)) this.#count(end, nowMs);
  }

  /** Ends per minute, from the latest ones; null before there are two. */
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
