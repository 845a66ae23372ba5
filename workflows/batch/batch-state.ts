import type { OpenedBatch } from '../../activities/open-batch.js';
import type { PageItem } from '../../activities/read-manifest.js';
import {
  ACCOUNT_CAUSES,
  BATCH_WINDOW,
  BATCH_WINDOW_MAX,
  type BatchItemEnd,
  type BatchPause,
  isWindow,
} from '../../src/contract/batch.js';
import { type BatchTotals, countEnd, noTotals } from '../../src/contract/batch-totals.js';
import type { BatchDeliveryPlan } from '../../src/contract/delivery.js';
import type { StepTimes } from '../../src/contract/times.js';
import type { WebhookEvents } from '../../src/contract/webhook.js';
import { fieldsOf } from '../shared/message-checks.js';

/** An item that runs again once the batch resumes, because a fault of the account failed it. */
interface RepeatItem {
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
  /** Id of the event that was reported last; absent: none. */
  readonly latestEventId?: string | undefined;
  /** Where the videos are delivered; absent: nowhere. */
  readonly delivery?: BatchDeliveryPlan | undefined;
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

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/** What a run knows of its batch, except the items in progress. */
type BatchData = Mutable<Omit<CarriedBatch, 'inFlight' | 'parked' | 'again' | 'recentEndsMs'>> & {
  readonly again: RepeatItem[];
  readonly recentEndsMs: number[];
};

/** Ends that the rate is measured by: enough to even out two tiers, few enough to follow a change within minutes. */
const RATE_ENDS = 20;

/** Holds every item of a batch in exactly one place, so that no end is counted twice and none is lost. Pure. */
export class BatchState {
  readonly data: BatchData;
  /** Ends that are not written yet. */
  readonly unwritten: BatchItemEnd[] = [];
  readonly inFlight: Map<string, number>;
  readonly parked: Map<string, BatchItemEnd>;

  constructor({ inFlight, parked, ...carried }: CarriedBatch) {
    this.data = { ...carried, again: [...carried.again], recentEndsMs: [...carried.recentEndsMs] };
    this.inFlight = new Map(Object.entries(inFlight));
    this.parked = new Map(Object.entries(parked));
  }

  /**
   * The state of a batch at its beginning.
   */
  static first(
    { items, duplicates, invalid, times, attributes, labelsHidden, webhookEvents, delivery }: Omit<OpenedBatch, 'kind'>,
    { window, startedAtMs }: { readonly window: number; readonly startedAtMs: number },
  ): BatchState {
    return new BatchState({
      times,
      startedAtMs,
      attributes,
      labelsHidden,
      webhookEvents,
      delivery,
      window,
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
    const { data, inFlight, parked } = this;
    return { ...data, inFlight: Object.fromEntries(inFlight), parked: Object.fromEntries(parked) };
  }

  get mayStart(): boolean {
    return this.data.pause === null && this.inFlight.size < this.data.window && this.hasMore;
  }

  get hasMore(): boolean {
    return this.data.again.length > 0 || this.data.position !== null;
  }

  /** Whether nothing is left to start or to wait for; an item that waits for a person does not hold up the end. */
  get isComplete(): boolean {
    return this.inFlight.size === 0 && !this.hasMore;
  }

  /** Lines whose turn has not come. */
  get waiting(): number {
    const { total, invalid } = this.data.totals.counts;
    return total - invalid - this.data.taken + this.data.again.length;
  }

  /** Whether the end of an item is still to come. */
  isAwaited(itemId: string): boolean {
    return this.inFlight.has(itemId) || this.parked.has(itemId);
  }

  /** Moves on behind an item that is taken from the manifest, to be started or because it needs no run of its own. */
  took({ next }: Pick<PageItem, 'next'>): void {
    this.data.taken += 1;
    this.data.position = next;
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
      this.data.totals = countEnd(this.data.totals, parked, -1);
    } else {
      this.inFlight.delete(end.item_id);
      if (end.outcome === 'failed' && ACCOUNT_CAUSES.includes(end.cause ?? '')) {
        this.data.again.push({ at, end });
        this.data.pause ??= { reason: end.message ?? end.cause ?? '', cause: end.cause, since_ms: nowMs };
        return;
      }
    }
    if (end.outcome === 'needs_attention') this.parked.set(end.item_id, end);
    this.#count(end, nowMs);
  }

  /** Counts the items that were to run again as what they are: failed. */
  giveUpRepeats(nowMs: number): void {
    for (const { end } of this.data.again.splice(0)) this.#count(end, nowMs);
  }

  /** Ends per minute, from the latest ones; null before there are two. */
  get itemsPerMinute(): number | null {
    const [first, last] = [this.data.recentEndsMs[0], this.data.recentEndsMs.at(-1)];
    if (first === undefined || last === undefined || last <= first) return null;
    return ((this.data.recentEndsMs.length - 1) * 60_000) / (last - first);
  }

  #count(end: BatchItemEnd, nowMs: number): void {
    this.data.totals = countEnd(this.data.totals, end);
    this.unwritten.push(end);
    this.data.recentEndsMs.push(nowMs);
    if (this.data.recentEndsMs.length > RATE_ENDS) this.data.recentEndsMs.shift();
  }
}

/** The window of a batch; the default for anything that is none. */
export const windowOf = (window: unknown): number => (isWindow(window) ? window : BATCH_WINDOW);

/** What the argument of `setWindow` is. */
export const EXPECTED_WINDOW = `The argument is an object with "window": a whole number from 1 to ${BATCH_WINDOW_MAX}`;

/** Reads the argument of `setWindow`. */
export function readWindow(message: unknown): number | undefined {
  const { window } = fieldsOf(message);
  return isWindow(window) ? window : undefined;
}
