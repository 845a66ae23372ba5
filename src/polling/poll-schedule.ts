import type { Forecast } from './forecast.js';

/** Every interval of the schedule, in milliseconds. */
export interface PollTimes {
  /** Between submit and the first look: a task that finds a free slot starts within 42 ms (API reference, samples). */
  readonly firstLookMs: number;
  /** While the video may be done any moment, for a narrow forecast … */
  readonly tightMinMs: number;
  /** … and for a wide one. */
  readonly tightMaxMs: number;
  /** Between looks while nothing was learned, for a short render … */
  readonly coldMinMs: number;
  /** … and for a long one. */
  readonly coldMaxMs: number;
  /** Longest interval of a task that waits in the provider's queue, is long overdue, or cannot be queried. */
  readonly patientMs: number;
  /** Longest interval, regardless of learned times and of `Retry-After`. */
  readonly quietMaxMs: number;
}

export const POLL_TIMES: PollTimes = {
  firstLookMs: 1_000,
  tightMinMs: 1_000, // five running tasks ask 5 times a second: half the worker's budget of 10
  tightMaxMs: 2_000, // mean delay 1 s
  coldMinMs: 3_000,
  coldMaxMs: 5_500, // the official SDK's 5 s, with the jitter that it lacks; for the first video of a kind only
  patientMs: 15_000, // the interval that the image-to-video API reference recommends
  quietMaxMs: 300_000, // one look in five minutes costs nothing, and a silence without end would hide a failed task
};

/**
 * The tight looks are this many in a forecast: half of them, the mean, stay well below 12 requests with the others, 0.7
 * s late.
 */
const LOOKS_IN_FORECAST = 14;
/** From this many renders on the forecast is trusted enough to be silent until it. */
const TRUSTED_SAMPLES = 3;

/** What the next delay depends on; times in milliseconds, `random` in 0..1. */
export interface PollMoment {
  /** `unseen`: not asked yet; `queued`: the provider said PENDING; `running`: it said RUNNING. */
  readonly phase: 'unseen' | 'queued' | 'running';
  /** Since the submit (`unseen`, `queued`), or since rendering began by the provider's time (`running`). */
  readonly elapsedMs: number;
  readonly forecast: Forecast;
  /** Looks in a row without a usable answer: faults, or UNKNOWN. */
  readonly faults: number;
  /** The provider's `Retry-After`, if there was one. */
  readonly retryAfterMs?: number | undefined;
  readonly random: number;
}

/** Milliseconds until the next query of one task; never negative, never above `quietMaxMs`. */
export function nextQueryDelay(moment: PollMoment, times: PollTimes = POLL_TIMES): number {
  const wanted = moment.faults > 0 ? faultDelay(moment, times) : delayByPhase(moment, times);
  // `Retry-After` is a minimum: an earlier query only earns the next 429.
  return Math.round(Math.min(times.quietMaxMs, Math.max(wanted, moment.retryAfterMs ?? 0)));
}

/** Between two looks while the video may be done any moment. */
export function tightInterval({ earliestMs, latestMs }: Forecast, times: PollTimes = POLL_TIMES): number {
  return clamp((latestMs - earliestMs) / LOOKS_IN_FORECAST, times.tightMinMs, times.tightMaxMs);
}

function delayByPhase(moment: PollMoment, times: PollTimes): number {
  const { phase, forecast, random } = moment;
  const elapsedMs = Math.max(0, moment.elapsedMs);
  if (phase === 'unseen') return Math.max(0, Math.min(times.firstLookMs, forecast.earliestMs) - elapsedMs);
  if (phase === 'queued') {
    // It cannot end before it starts, and the provider later reports when it started: only the shown stage is late.
    const rare = clamp(forecast.earliestMs / 2, times.tightMinMs, times.patientMs);
    return jittered(clamp(elapsedMs / 2, times.tightMinMs, rare), random);
  }
  return forecast.samples === 0
    ? jittered(coldInterval(elapsedMs, times), random)
    : learnedDelay(elapsedMs, forecast, random, times);
}

function learnedDelay(elapsedMs: number, forecast: Forecast, random: number, times: PollTimes): number {
  const { earliestMs, latestMs, samples } = forecast;
  const tight = tightInterval(forecast, times);
  if (elapsedMs < earliestMs) {
    const quiet = Math.max(tight, earliestMs - elapsedMs + random * tight);
    // One or two renders may have been odd ones; a few looks on the way bound what that costs.
    return samples < TRUSTED_SAMPLES ? Math.min(quiet, Math.max(tight, earliestMs / 4)) : quiet;
  }
  return jittered(clamp((elapsedMs - latestMs) / 10, tight, times.patientMs), random);
}

/**
 * Nothing was learned, and two documented samples are no reason for silence: the interval is a twelfth of what has
 * passed, so that the delay stays in proportion, and grows again beyond three minutes.
 */
function coldInterval(elapsedMs: number, { coldMinMs, coldMaxMs, patientMs }: PollTimes): number {
  return clamp(elapsedMs / 12, coldMinMs, clamp(elapsedMs / 36, coldMaxMs, patientMs));
}

function faultDelay({ faults, random }: PollMoment, { tightMinMs, patientMs }: PollTimes): number {
  return jittered(Math.min(patientMs, tightMinMs * 2 ** Math.min(faults - 1, 20)), random);
}

/** Up to 10 % more: workers that restart together would otherwise ask together for ever. */
function jittered(ms: number, random: number): number {
  return ms * (1 + 0.1 * random);
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}
