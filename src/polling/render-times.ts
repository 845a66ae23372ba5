import type { Resolution } from '../contract/model.js';
import type { AssetStore } from '../storage/asset-store.js';
import { type JsonRecord, readRecord, writeRecord } from '../storage/json-record.js';
import { type Scope, safeName, statsRoot } from '../storage/keys.js';
import {
  byStart,
  type Forecast,
  forecastOf,
  guessForecast,
  type RenderKind,
  type RenderSample,
  SAMPLES_MAX,
} from './forecast.js';

/** Render times, as the watcher learns and reads them. */
export interface RenderTimes {
  forecast(kind: RenderKind): Forecast;
  /** Takes one finished render in; never throws. */
  learn(kind: RenderKind, sample: RenderSample): void;
}

export interface LearnedRenderTimesOptions {
  readonly store: AssetStore;
  readonly scope: Scope;
  /** Names this worker's object; stable across restarts where possible, so that no objects pile up. */
  readonly worker: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Called for damaged records and store faults; learning continues in memory. */
  readonly onWarning: (message: string) => void;
  /**
   * Between two writes, and two reads of the other workers' objects, in milliseconds; default {@link SYNC_EVERY_MS}.
   */
  readonly syncEveryMs?: number | undefined;
}

/** A lost write costs one sample, and the other workers learn by themselves meanwhile. */
const SYNC_EVERY_MS = 60_000;
/** A worker that has not written for so long is gone; the others have taken over what it knew. */
const ABANDONED_MS = 14 * 86_400_000;
/** Objects that are read at once: more workers than this share what the first of them know. */
const OBJECTS_MAX = 64;
/** No render takes longer: the service gives up after 3 hours (API reference, InternalError.Timeout). */
const RENDER_MS_MAX = 3 * 3_600_000;

interface Learned {
  readonly kind: RenderKind;
  /** By their starts, at most {@link SAMPLES_MAX}. */
  samples: RenderSample[];
  forecast: Forecast | undefined;
}

/**
 * Render times of one account, kept in the asset store: each worker writes an object of its own with all that it knows,
 * and takes in those of the others. At most 24 samples for each of the 56 kinds (2 tiers, 14 lengths, with sound or
 * not).
 */
export class LearnedRenderTimes implements RenderTimes {
  readonly #options: LearnedRenderTimesOptions;
  readonly #learned = new Map<string, Learned>();
  readonly #key: string;
  #changed = false;
  #syncedAtMs = Number.NEGATIVE_INFINITY;
  #syncing: Promise<void> | undefined;

  constructor(options: LearnedRenderTimesOptions) {
    this.#options = options;
    this.#key = `${statsRoot(options.scope)}/${safeName(options.worker)}.json`;
  }

  /** The expectation at this moment; takes new knowledge of other workers in behind the scenes. */
  forecast(kind: RenderKind): Forecast {
    this.#syncWhenDue();
    return this.#learned.get(nameOf(kind))?.forecast ?? guessForecast(kind, this.#newest());
  }

  learn(kind: RenderKind, sample: RenderSample): void {
    if (!isRender(sample)) return;
    this.#changed = this.#take(kind, [sample]) || this.#changed;
    this.#syncWhenDue();
  }

  /** Reads what others have learned and writes what this worker knows; ends when both are done, never rejects. */
  async sync(signal?: AbortSignal): Promise<void> {
    await this.#syncing;
    this.#syncedAtMs = this.#options.now();
    this.#syncing = this.#readAll(signal, { tidy: true })
      .then(() => this.#write(signal))
      .catch((error: unknown) => {
        if (signal?.aborted !== true) this.#warn('Learned render times could not be read or written', error);
      })
      .finally(() => {
        this.#syncing = undefined;
      });
    await this.#syncing;
  }

  /** Reads what the workers have learned, once, and changes nothing in the store; never rejects. */
  async load(signal?: AbortSignal): Promise<void> {
    this.#syncedAtMs = this.#options.now();
    await this.#readAll(signal, { tidy: false }).catch((error: unknown) => {
      if (signal?.aborted !== true) this.#warn('Learned render times could not be read', error);
    });
  }

  #syncWhenDue(): void {
    const { now, syncEveryMs = SYNC_EVERY_MS } = this.#options;
    if (this.#syncing === undefined && now() - this.#syncedAtMs >= syncEveryMs) void this.sync();
  }

  async #readAll(signal: AbortSignal | undefined, { tidy }: { readonly tidy: boolean }): Promise<void> {
    const { store, scope, now } = this.#options;
    const found: { readonly key: string; readonly modifiedAtMs: number }[] = [];
    for await (const { key, modifiedAtMs } of store.list(`${statsRoot(scope)}/`, { signal })) {
      if (tidy && key !== this.#key && now() - modifiedAtMs > ABANDONED_MS) await store.delete(key, { signal });
      else found.push({ key, modifiedAtMs });
    }
    found.sort((a, b) => b.modifiedAtMs - a.modifiedAtMs);
    for (const { key } of found.slice(0, OBJECTS_MAX)) {
      try {
        const record = await readRecord(store, key, { signal });
        if (record !== undefined) this.#takeRecord(record);
      } catch (error) {
        if (signal?.aborted) throw error;
        this.#warn(`Learned render times in ${key} are left out`, error);
      }
    }
  }

  async #write(signal: AbortSignal | undefined): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    const kinds = [...this.#learned.values()].map(({ kind, samples }) => ({
      ...kind,
      renders: samples.map(({ endedAtMs, renderMs }) => [endedAtMs, renderMs]),
    }));
    try {
      await writeRecord(this.#options.store, this.#key, { v: 1, kinds }, { signal });
    } catch (error) {
      this.#changed = true;
      throw error;
    }
  }

  #takeRecord(record: JsonRecord): void {
    if (record['v'] !== 1 || !Array.isArray(record['kinds'])) throw new Error('it is not of version 1');
    for (const entry of record['kinds'] as readonly JsonRecord[]) {
      const { resolution, seconds, audio, renders } = entry;
      const known = (resolution === '720P' || resolution === '1080P') && typeof seconds === 'number';
      if (!known || !(seconds > 0 && seconds < 1_000) || typeof audio !== 'boolean' || !Array.isArray(renders)) {
        throw new Error('it has a kind of render that does not exist');
      }
      const samples = renders.map((pair: readonly number[]) => ({
        endedAtMs: pair?.[0] ?? Number.NaN,
        renderMs: pair?.[1] ?? Number.NaN,
      }));
      if (!samples.every(isRender)) throw new Error('it has a time that is none');
      this.#take({ resolution: resolution as Resolution, seconds, audio }, samples);
    }
  }

  /** @returns whether anything was new. */
  #take(kind: RenderKind, samples: readonly RenderSample[]): boolean {
    const name = nameOf(kind);
    const learned = this.#learned.get(name) ?? { kind, samples: [], forecast: undefined };
    const known = new Set(learned.samples.map(idOf));
    const fresh = samples.filter((sample) => !known.has(idOf(sample)));
    if (fresh.length === 0) return false;
    // Not by arrival: another worker's older renders must not look like the newest ones.
    learned.samples = [...learned.samples, ...fresh].sort(byStart).slice(-SAMPLES_MAX);
    learned.forecast = forecastOf(learned.samples);
    this.#learned.set(name, learned);
    return true;
  }

  #newest(): (RenderSample & { kind: RenderKind })[] {
    return [...this.#learned.values()]
      .flatMap(({ kind, samples }) => samples.map((sample) => ({ ...sample, kind })))
      .sort(byStart)
      .slice(-SAMPLES_MAX);
  }

  #warn(what: string, error: unknown): void {
    this.#options.onWarning(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Reads what the workers of an account have learned; changes nothing in the store. */
export async function readRenderTimes(
  store: AssetStore,
  scope: Scope,
  signal?: AbortSignal,
): Promise<Pick<RenderTimes, 'forecast'>> {
  const times = new LearnedRenderTimes({
    store,
    scope,
    worker: 'reader',
    now: Date.now,
    syncEveryMs: Number.POSITIVE_INFINITY,
    onWarning: () => undefined, // the forecast says on how many renders it rests
  });
  await times.load(signal);
  return times;
}

function nameOf({ resolution, seconds, audio }: RenderKind): string {
  return `${resolution}/${seconds}/${audio}`;
}

function idOf({ endedAtMs, renderMs }: RenderSample): string {
  return `${endedAtMs}/${renderMs}`;
}

function isRender({ endedAtMs, renderMs }: RenderSample): boolean {
  return Number.isFinite(endedAtMs) && endedAtMs > 0 && renderMs >= 0 && renderMs <= RENDER_MS_MAX;
}
