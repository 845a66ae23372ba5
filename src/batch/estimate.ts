import { mapParallel } from '../async/map-parallel.js';
import { type Billable, billableOf, kindOf } from '../contract/budget.js';
import type { CanonicalRequest } from '../contract/request.js';
import { canonicalRequest } from '../contract/validate.js';
import type { Ledger } from '../ledger/ledger.js';
import { cacheKeyOf, type Preview, previewRequest } from '../ledger/preview.js';
import type { RenderKind } from '../polling/forecast.js';
import type { RenderTimes } from '../polling/render-times.js';
import type { BudgetRoom } from './budget-room.js';
import { type ManifestImages, type PrepareOptions, prepareManifest } from './prepare-manifest.js';
import type { StoredItem } from './stored-line.js';

/** What would happen to the lines of a manifest now; the other counts add up to `total`. */
export interface EstimateCounts {
  readonly total: number;
  /** Left out because of faults. */
  readonly invalid: number;
  /** Request the same video as an earlier line. */
  readonly duplicate: number;
  /** Answered from the cache. */
  readonly cached: number;
  /** Share an open purchase, or one that another line of this manifest makes. */
  readonly adopt: number;
  readonly buy: number;
  /** Were bought before with a result that was refused: they fail, and nothing is bought for them. */
  readonly refuse: number;
  /** Would be bought, but a budget has no room for the most that they can cost: they end as `budget_reached`. */
  readonly budget_reached: number;
  /**
   * Name an image of the web, which only a worker downloads; its content decides. Every amount and time counts these
   * lines as bought.
   */
  readonly fetch: number;
}

/** What a manifest would cost and how long it would take. */
export interface ManifestEstimate {
  readonly counts: EstimateCounts;
  /** The most that is billed: the lines in `buy` and `fetch`. */
  readonly billed: readonly Billable[];
  readonly duration: EstimatedDuration;
}

/** How long the renders take in the account's slots, in seconds. */
export interface EstimatedDuration {
  readonly earliest_seconds: number;
  readonly latest_seconds: number;
  /** Whether render times of every kind are known; otherwise the estimate uses the provider's documentation. */
  readonly learned: boolean;
}

/** Where the renders would take place. */
export interface EstimateSlots {
  /** Tasks of the account at a time. */
  readonly limit: number;
  /** Tasks of others that are at the provider, or wait ahead of this batch. */
  readonly ahead: number;
}

export interface EstimateOptions extends Omit<PrepareOptions, 'images'> {
  readonly images: {
    readonly check?: ManifestImages['check'];
    /** Resolves the `asset:` reference that an image would be staged under. */
    readonly identify: ManifestImages['stage'];
  };
  readonly ledger: Ledger;
  readonly renderTimes: Pick<RenderTimes, 'forecast'>;
  readonly slots: EstimateSlots;
  /** Items in progress at a time. */
  readonly window: number;
  /** What is left in the budgets that apply, and the batch that pays; undefined: there are none. */
  readonly budget?: { readonly room: BudgetRoom; readonly batch: string } | undefined;
}

/** Each preview reads two or three small records, and a store answers some hundreds of reads per second. */
const PREVIEWS_AT_ONCE = 16;
/** Between two renders in one slot: the end is noticed within a second, and the next submit takes half a second. */
const HANDOVER_SECONDS = 1.5;
/** The part of a run that is not its render, in Temporal and in the store. */
const RUN_SECONDS = 0.5;

/**
 * Estimates what a batch of a manifest would do, what it would cost and how long it would take. Reads ledger, cache and
 * learned render times; stages, buys and starts nothing. Memory grows by one hash per line.
 * @param open - Streams the manifest from its beginning; called twice.
 * @throws VideoError `InvalidRequest` with every fault by line, as a start does; `StoreUnavailable`, `RecordDamaged`.
 */
export async function estimateManifest(
  open: () => Promise<AsyncIterable<Uint8Array>>,
  { images, ledger, renderTimes, slots, window, budget, ...options }: EstimateOptions,
): Promise<ManifestEstimate> {
  const { check, identify } = images;
  const prepared = await prepareManifest(open, {
    ...options,
    images: { stage: identify, ...(check !== undefined && { check }) },
  });
  try {
    const { items, duplicates: duplicate, faults } = prepared;
    const totals = new EstimateTotals(budget);
    const previews = mapParallel(withoutDuplicates(prepared.lines()), PREVIEWS_AT_ONCE, async ({ request }) => ({
      request: canonicalRequest(request),
      key: cacheKeyOf(request),
      ...(await previewRequest(ledger, request, { signal: options.signal })),
    }));
    for await (const preview of previews) {
      options.signal?.throwIfAborted();
      totals.add(preview);
    }
    const total = items + faults.length;
    const runs = items - duplicate;
    return {
      counts: { total, invalid: faults.length, duplicate, ...totals.counts },
      billed: totals.billed(),
      duration: estimateDuration(totals.renders(), { renderTimes, slots, window, runs }),
    };
  } finally {
    await prepared.dispose();
  }
}

async function* withoutDuplicates(lines: AsyncIterable<StoredItem>): AsyncGenerator<StoredItem> {
  for await (const line of lines) if (line.same_as === undefined) yield line;
}

type PreviewedRequest = Preview & { readonly request: CanonicalRequest; readonly key: string | undefined };

/** A number of renders of one kind. */
interface Renders {
  readonly kind: RenderKind;
  readonly count: number;
}

class EstimateTotals {
  readonly counts = { cached: 0, adopt: 0, buy: 0, refuse: 0, budget_reached: 0, fetch: 0 };
  readonly #budget: EstimateOptions['budget'];
  /** Cache keys that a line of this manifest buys. */
  readonly #bought = new Set<string>();
  readonly #renders = new Map<string, Renders>();

  constructor(budget: EstimateOptions['budget']) {
    this.#budget = budget;
  }

  add({ action, request, key }: PreviewedRequest): void {
    if (action === 'cache') this.counts.cached += 1;
    else if (action === 'follow') this.counts.adopt += 1;
    else if (action === 'refuse') this.counts.refuse += 1;
    // Another tenant's line buys the same video. A line with "refresh" may run so late that it buys a newer one.
    else if (key !== undefined && request.cache === 'use' && this.#bought.has(key)) this.counts.adopt += 1;
    else if (!this.#hasRoom(request)) this.counts.budget_reached += 1;
    else {
      this.counts[action] += 1;
      if (key !== undefined && request.cache !== 'off') this.#bought.add(key);
      const { resolution, duration: seconds, audio } = request;
      const name = `${resolution} ${seconds} ${audio}`;
      const count = (this.#renders.get(name)?.count ?? 0) + 1;
      this.#renders.set(name, { kind: { resolution, seconds, audio }, count });
    }
  }

  #hasRoom({ tenant, duration: seconds, resolution, audio }: CanonicalRequest): boolean {
    if (this.#budget === undefined) return true;
    const { room, batch } = this.#budget;
    return room.take({ tenant, batch }, { seconds, resolution, audio });
  }

  renders(): Renders[] {
    return [...this.#renders.values()];
  }

  billed(): Billable[] {
    const seconds = new Map<string, number>();
    for (const { kind, count } of this.#renders.values()) {
      seconds.set(kindOf(kind), (seconds.get(kindOf(kind)) ?? 0) + kind.seconds * count);
    }
    return [...seconds].map(([kind, total]) => billableOf(kind, total));
  }
}

/**
 * How long renders take in the slots of an account, when each slot takes the next one as soon as it is free. Tasks of
 * others that come first count as average ones of this batch.
 * @param options.runs - All runs, also those that buy nothing.
 */
export function estimateDuration(
  renders: readonly Renders[],
  {
    renderTimes,
    slots,
    window,
    runs,
  }: Pick<EstimateOptions, 'renderTimes' | 'slots' | 'window'> & { readonly runs: number },
): EstimatedDuration {
  const forecasts = renders.map(({ kind, count }) => ({ count, ...renderTimes.forecast(kind) }));
  const atOnce = Math.max(1, Math.min(slots.limit, window));
  const leastSeconds = (RUN_SECONDS * runs) / window;
  const totalSeconds = (bound: 'earliestMs' | 'latestMs'): number => {
    const times = forecasts.map(({ count, [bound]: ms }) => ({ count, seconds: ms / 1000 + HANDOVER_SECONDS }));
    const count = times.reduce((sum, time) => sum + time.count, 0);
    if (count === 0) return Math.ceil(leastSeconds);
    const average = times.reduce((sum, time) => sum + time.count * time.seconds, 0) / count;
    const ahead = { count: slots.ahead, seconds: average };
    return Math.ceil(Math.max(leastSeconds, lastEnd([ahead, ...times], atOnce)));
  };
  return {
    earliest_seconds: totalSeconds('earliestMs'),
    latest_seconds: totalSeconds('latestMs'),
    learned: forecasts.every(({ samples }) => samples > 0),
  };
}

function lastEnd(works: readonly { readonly count: number; readonly seconds: number }[], atOnce: number): number {
  const freeAt = new Array<number>(atOnce).fill(0);
  for (const { count, seconds } of works) {
    for (let n = 0; n < count; n += 1) {
      const next = freeAt.indexOf(Math.min(...freeAt));
      freeAt[next] = (freeAt[next] ?? 0) + seconds;
    }
  }
  return Math.max(...freeAt);
}
