import { mapParallel } from '../async/map-parallel.js';
import type { Billable } from '../contract/budget.js';
import type { CanonicalRequest } from '../contract/request.js';
import { canonicalRequest } from '../contract/validate.js';
import type { Ledger } from '../ledger/ledger.js';
import { cacheKeyOf, type Preview, previewRequest } from '../ledger/preview.js';
import type { RenderKind } from '../polling/forecast.js';
import type { RenderTimes } from '../polling/render-times.js';
import type { StoredItem } from './manifest.js';
import { type ManifestImages, type PrepareOptions, prepareManifest } from './prepare-manifest.js';

/** What becomes of the lines of a manifest, as of now; the others add up to `total`. */
interface EstimateCounts {
  readonly total: number;
  /** Left out because they have faults. */
  readonly invalid: number;
  /** Ask for the same video as an earlier line. */
  readonly duplicate: number;
  /** Answered from the cache. */
  readonly cached: number;
  /** Share a purchase that is open, or that another line of this manifest makes. */
  readonly adopt: number;
  readonly buy: number;
  /**
   * Name an image of the web: only a worker fetches it, and its content decides. Counted as bought in every amount and
   * time.
   */
  readonly fetch: number;
}

/** What a manifest would cost and how long it would take. */
export interface ManifestEstimate {
  readonly counts: EstimateCounts;
  /** At most: of the lines in `buy` and `fetch`. */
  readonly billed: readonly Billable[];
  readonly duration: EstimatedDuration;
}

/** How long the renders take, one after another in the account's slots; seconds. */
export interface EstimatedDuration {
  readonly earliest_seconds: number;
  readonly latest_seconds: number;
  /**
   * Whether renders of every kind that is bought were seen before; otherwise it is a guess from the provider's
   * documents.
   */
  readonly learned: boolean;
}

/** Where the renders would take place. */
export interface EstimateSlots {
  /** Tasks of the account at a time. */
  readonly limit: number;
  /** Tasks of others that are at the provider or wait before this batch. */
  readonly ahead: number;
}

export interface EstimateOptions extends Omit<PrepareOptions, 'images'> {
  readonly images: {
    readonly check?: ManifestImages['check'];
    /** The `asset:` reference that an image would be staged under. */
    readonly identify: ManifestImages['stage'];
  };
  readonly ledger: Ledger;
  readonly renderTimes: Pick<RenderTimes, 'forecast'>;
  readonly slots: EstimateSlots;
  /** Items in work at a time. */
  readonly window: number;
}

/** Each looks at two or three small records; a store answers some hundreds of them per second. */
const LOOKS_AT_ONCE = 16;
/** Between two renders in one slot: the end is noticed within a second, and the next submit takes half of one. */
const HANDOVER_SECONDS = 1.5;
/** What a run takes in addition to its render, in Temporal and in the store. */
const RUN_SECONDS = 0.5;

/**
 * Estimates what a batch of a manifest would do, cost and take. Reads ledger, cache and learned render times; stages,
 * buys and starts nothing. In flat memory but for a hash per line.
 * @param open - Streams the manifest from its beginning; called twice.
 * @throws VideoError `InvalidRequest` with every fault by line, as a start would; `StoreUnavailable`, `RecordDamaged`.
 */
export async function estimateManifest(
  open: () => Promise<AsyncIterable<Uint8Array>>,
  { images, ledger, renderTimes, slots, window, ...options }: EstimateOptions,
): Promise<ManifestEstimate> {
  const { check, identify: stage } = images;
  const prepared = await prepareManifest(open, {
    ...options,
    images: { stage, ...(check !== undefined && { check }) },
  });
  try {
    const { items, duplicates: duplicate, faults } = prepared;
    const sum = new Sum();
    const looked = mapParallel(firsts(prepared.lines()), LOOKS_AT_ONCE, async ({ request }) => ({
      request: canonicalRequest(request),
      key: cacheKeyOf(request),
      ...(await previewRequest(ledger, request, { signal: options.signal })),
    }));
    for await (const line of looked) {
      options.signal?.throwIfAborted();
      sum.add(line);
    }
    const total = items + faults.length;
    const runs = items - duplicate;
    return {
      counts: { total, invalid: faults.length, duplicate, ...sum.counts },
      billed: sum.billed(),
      duration: durationOf(sum.renders(), { renderTimes, slots, window, runs }),
    };
  } finally {
    await prepared.dispose();
  }
}

async function* firsts(lines: AsyncIterable<StoredItem>): AsyncGenerator<StoredItem> {
  for await (const line of lines) if (line.same_as === undefined) yield line;
}

type Looked = Preview & { readonly request: CanonicalRequest; readonly key: string | undefined };

/** So many renders of one kind. */
export interface Renders {
  readonly kind: RenderKind;
  readonly count: number;
}

class Sum {
  readonly counts = { cached: 0, adopt: 0, buy: 0, fetch: 0 };
  /** Cache keys that a line of this manifest buys. */
  readonly #bought = new Set<string>();
  readonly #kinds = new Map<string, { kind: RenderKind; count: number }>();

  add({ action, request, key }: Looked): void {
    if (action === 'cache') this.counts.cached += 1;
    else if (action === 'follow') this.counts.adopt += 1;
    // Another tenant's line with the same video; "refresh" may come late enough to want a newer one.
    else if (key !== undefined && request.cache === 'use' && this.#bought.has(key)) this.counts.adopt += 1;
    else {
      this.counts[action] += 1;
      if (key !== undefined && request.cache !== 'off') this.#bought.add(key);
      const { resolution, duration: seconds, audio } = request;
      const name = `${resolution} ${seconds} ${audio}`;
      const known = this.#kinds.get(name) ?? { kind: { resolution, seconds, audio }, count: 0 };
      known.count += 1;
      this.#kinds.set(name, known);
    }
  }

  renders(): Renders[] {
    return [...this.#kinds.values()];
  }

  billed(): Billable[] {
    const tiers = new Map<string, Billable>();
    for (const { kind, count } of this.#kinds.values()) {
      const { resolution, audio } = kind;
      const name = `${resolution} ${audio}`;
      const seconds = (tiers.get(name)?.seconds ?? 0) + kind.seconds * count;
      tiers.set(name, { resolution, audio, seconds });
    }
    return [...tiers.values()];
  }
}

/**
 * How long renders take in the slots of an account, each slot taking the next as soon as it is free; those of others
 * that come first count as usual ones of this batch.
 * @param options.runs - Items in all, also those that buy nothing.
 */
export function durationOf(
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
  const least = (RUN_SECONDS * runs) / window;
  const all = (which: 'earliestMs' | 'latestMs'): number => {
    const times = forecasts.map(({ count, [which]: ms }) => ({ count, seconds: ms / 1000 + HANDOVER_SECONDS }));
    const count = times.reduce((sum, time) => sum + time.count, 0);
    if (count === 0) return Math.ceil(least);
    const usual = times.reduce((sum, time) => sum + time.count * time.seconds, 0) / count;
    const others = { count: slots.ahead, seconds: usual };
    return Math.ceil(Math.max(least, lastEnd([others, ...times], atOnce)));
  };
  return {
    earliest_seconds: all('earliestMs'),
    latest_seconds: all('latestMs'),
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
