import type { Billable } from '../contract/budget.js';

/** What decides how long a video renders: the same as what it is billed by. */
export type RenderKind = Billable;

/** One finished render, by the provider's own times. */
export interface RenderSample {
  /** When it ended, in milliseconds since the epoch. */
  readonly endedAtMs: number;
  /** From the start of rendering to its end, in milliseconds. */
  readonly renderMs: number;
}

/** When a render is expected to end, in milliseconds since its start. */
export interface Forecast {
  readonly earliestMs: number;
  readonly latestMs: number;
  /** Renders of this kind that it rests on; 0 is a guess from documents or from other kinds. */
  readonly samples: number;
}

/** Newest samples that are looked at: enough to know the range within 5 %, few enough to follow a slow drift. */
export const SAMPLES_MAX = 24;
/** The two documented samples of this model took 59 and 73 s for 10 s of video at 720P with sound (API reference). */
const RENDER_MS_PER_SECOND = 6_600;
/** 1080P has 2.25 times the pixels and no documented sample; the square root lies between no effect and all of it. */
const FACTOR_1080P = 1.5;
/** How far the guess may be off either way before we have seen one. */
const PRIOR_LOW = 0.5;
const PRIOR_HIGH = 2;
/** Renders in a row before the forecast after which the older ones describe another provider … */
const FASTER_AFTER = 2; // until then each is noticed late by all of its lead
/** … and beyond it: asking too early costs a few requests only, so there is time to be sure. */
const SLOWER_AFTER = 4;
/** Fewer older renders do not show their range, so nothing can be called beyond it. */
const SETTLED_SAMPLES = 4;

/** Expected render time in milliseconds by the documents alone. */
function documentedMs({ resolution, seconds }: RenderKind): number {
  return seconds * RENDER_MS_PER_SECOND * (resolution === '1080P' ? FACTOR_1080P : 1);
}

/**
 * Forecast for a kind without any sample.
 * @param others - Newest renders of other kinds: how they compare with the documents says how this one will.
 */
export function guessForecast(kind: RenderKind, others: readonly (RenderSample & { kind: RenderKind })[]): Forecast {
  const ratios = others.map((sample) => sample.renderMs / documentedMs(sample.kind));
  const usual = documentedMs(kind) * (ratios.length === 0 ? 1 : median(ratios));
  return { earliestMs: usual * PRIOR_LOW, latestMs: usual * PRIOR_HIGH, samples: 0 };
}

/**
 * Orders renders by their starts. By their ends would be wrong: of those that began together the slow ones end last,
 * which looks like a provider that becomes slower.
 */
export function byStart(a: RenderSample, b: RenderSample): number {
  return a.endedAtMs - a.renderMs - (b.endedAtMs - b.renderMs);
}

/**
 * Forecast from the renders of one kind; `undefined` without any. A single odd render does not move it;
 * some in a row beyond the same side replace everything before them.
 */
export function forecastOf(samples: readonly RenderSample[]): Forecast | undefined {
  let kept: number[] = [];
  for (const { renderMs } of samples.toSorted(byStart).slice(-SAMPLES_MAX)) {
    kept.push(renderMs);
    if (hasDrifted(kept, FASTER_AFTER, (ms, { earliestMs }) => ms < earliestMs)) kept = kept.slice(-FASTER_AFTER);
    if (hasDrifted(kept, SLOWER_AFTER, (ms, { latestMs }) => ms > latestMs)) kept = kept.slice(-SLOWER_AFTER);
  }
  return rangeOf(kept);
}

function hasDrifted(
  renders: readonly number[],
  after: number,
  isBeyond: (renderMs: number, range: Forecast) => boolean,
): boolean {
  const older = renders.slice(0, -after);
  if (older.length < SETTLED_SAMPLES) return false;
  const range = rangeOf(older);
  return range !== undefined && renders.slice(-after).every((ms) => isBeyond(ms, range));
}

function rangeOf(renders: readonly number[]): Forecast | undefined {
  if (renders.length === 0) return undefined;
  const usual = median(renders);
  const deviation = median(renders.map((ms) => Math.abs(ms - usual)));
  // 1.48 times the median deviation estimates a standard deviation; four of them hold every ordinary render of a bell
  // and of a flat distribution. A tenth is always ordinary: among equal renders the deviation is zero.
  const ordinary = Math.max(4 * 1.48 * deviation, 0.1 * usual);
  const near = renders.filter((ms) => Math.abs(ms - usual) <= ordinary);
  const low = Math.min(...near);
  const high = Math.max(...near);
  // Few samples do not show the whole range: what n of them leave out on either side is about an n-th of it. Half a
  // percent remains always: it covers the clocks and the way of an answer.
  const margin = (high - low) / near.length + usual * Math.max(0.005, 0.1 / near.length);
  return { earliestMs: Math.max(0, low - margin), latestMs: high + margin, samples: renders.length };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] ?? upper)) / 2;
}
