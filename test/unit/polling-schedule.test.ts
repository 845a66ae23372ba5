import { describe, expect, test } from 'vitest';
import { type Forecast, forecastOf, guessForecast, type RenderKind } from '../../src/polling/forecast.js';
import { nextQueryDelay, type PollMoment, tightInterval } from '../../src/polling/poll-schedule.js';
import { mean, seededRandom } from './polling-simulation.js';

const KIND: RenderKind = { resolution: '720P', seconds: 10, audio: true };
const LEARNED: Forecast = { earliestMs: 171_000, latestMs: 189_000, samples: 24 };
const FEW: Forecast = { ...LEARNED, samples: 2 };
const GUESS = guessForecast(KIND, []);

const moment = (change: Partial<PollMoment>): PollMoment => ({
  phase: 'running',
  elapsedMs: 0,
  forecast: LEARNED,
  faults: 0,
  random: 0,
  ...change,
});

test.each<{ change: Partial<PollMoment>; delay: number; why: string }>([
  { change: { phase: 'unseen' }, delay: 1_000, why: 'a fresh task needs a moment to start' },
  { change: { phase: 'unseen', elapsedMs: 60_000 }, delay: 0, why: 'a task that was taken over is looked at once' },
  { change: { phase: 'queued', elapsedMs: 1_000 }, delay: 1_000, why: 'it just missed the first look' },
  { change: { phase: 'queued', elapsedMs: 20_000 }, delay: 10_000, why: 'it waits for a slot' },
  { change: { phase: 'queued', elapsedMs: 600_000 }, delay: 15_000, why: 'it waits for long' },
  { change: { elapsedMs: 1_000 }, delay: 170_000, why: 'no video of this kind ends earlier' },
  { change: { elapsedMs: 1_000, random: 1 }, delay: 171_286, why: 'the phase of the tight looks is random' },
  { change: { elapsedMs: 1_000, forecast: FEW }, delay: 42_750, why: 'two renders may have been odd ones' },
  { change: { elapsedMs: 170_900 }, delay: 1_286, why: 'never closer than tight' },
  { change: { elapsedMs: 180_000 }, delay: 1_286, why: 'it may end any moment' },
  { change: { elapsedMs: 239_000 }, delay: 5_000, why: 'it is 50 s late' },
  { change: { elapsedMs: 3_600_000 }, delay: 15_000, why: 'it is very late' },
  { change: { elapsedMs: -5_000 }, delay: 176_000 - 5_000, why: 'a clock that is behind counts as the start' },
  { change: { elapsedMs: 1_000, forecast: GUESS }, delay: 3_000, why: 'nothing was learned' },
  { change: { elapsedMs: 60_000, forecast: GUESS }, delay: 5_000, why: 'nothing was learned and it takes longer' },
  { change: { elapsedMs: 900_000, forecast: GUESS }, delay: 15_000, why: 'nothing was learned and it takes very long' },
  { change: { elapsedMs: 1_000, faults: 1 }, delay: 1_000, why: 'the first fault may be a blip' },
  { change: { elapsedMs: 1_000, faults: 3 }, delay: 4_000, why: 'the third fault in a row is none' },
  { change: { elapsedMs: 1_000, faults: 40 }, delay: 15_000, why: 'it fails all the time' },
  { change: { elapsedMs: 1_000, faults: 1, retryAfterMs: 7_000 }, delay: 7_000, why: 'the provider asked for it' },
  { change: { faults: 1, retryAfterMs: 86_400_000 }, delay: 300_000, why: 'a day would stop the watch' },
  {
    change: { forecast: { earliestMs: 3e6, latestMs: 3.1e6, samples: 9 } },
    delay: 300_000,
    why: 'no silence is longer',
  },
])('the next look comes after $delay ms because $why', ({ change, delay }) => {
  expect(nextQueryDelay(moment(change))).toBe(delay);
});

test.each([
  { spreadMs: 0, intervalMs: 1_000 },
  { spreadMs: 21_000, intervalMs: 1_500 },
  { spreadMs: 600_000, intervalMs: 2_000 },
])('renders that differ by $spreadMs ms are queried every $intervalMs ms', ({ spreadMs, intervalMs }) => {
  expect(tightInterval({ earliestMs: 100_000, latestMs: 100_000 + spreadMs, samples: 9 })).toBe(intervalMs);
});

/** Requests and delay of the schedule alone: one request takes 50 ms, rendering starts 40 ms after the submit. */
function watchOne(renderMs: number, forecast: Forecast, random: () => number): { requests: number; delayMs: number } {
  const startMs = 40;
  let atMs = nextQueryDelay(moment({ phase: 'unseen', forecast, random: random() }));
  for (let requests = 1; ; requests += 1) {
    atMs += 50;
    if (atMs >= startMs + renderMs) return { requests, delayMs: atMs - startMs - renderMs };
    const phase = atMs < startMs ? 'queued' : 'running';
    atMs += nextQueryDelay(moment({ phase, elapsedMs: atMs - startMs, forecast, random: random() }));
  }
}

/** The official SDK's wait: 1, 1, 2, 2, 2, 4, 4, 4, 5, 5 … seconds between its looks. */
function watchOneAsTheSdk(renderMs: number): { requests: number; delayMs: number } {
  const pauses = [1, 1, 2, 2, 2, 4, 4, 4];
  let atMs = 0;
  for (let requests = 1; ; requests += 1) {
    atMs += 50;
    if (atMs >= 40 + renderMs) return { requests, delayMs: atMs - 40 - renderMs };
    atMs += 1000 * (pauses[requests - 1] ?? 5);
  }
}

describe('over 1000 renders', () => {
  const RENDERS = 1_000;
  const figures = (seconds: number, jitter: number, learned: number, watch = watchOne) => {
    const random = seededRandom(seconds + learned);
    const render = (): number => seconds * 1000 * (1 + jitter * (2 * random() - 1));
    const seen = Array.from({ length: RENDERS }, () => {
      const samples = Array.from({ length: learned }, (_, nth) => ({ endedAtMs: nth * 1e6, renderMs: render() }));
      return watch(render(), forecastOf(samples) ?? GUESS, random);
    });
    return { requests: mean(seen.map((one) => one.requests)), delayMs: mean(seen.map((one) => one.delayMs)) };
  };

  test.each([
    { seconds: 180, jitter: 0.05, learned: 24, requests: 12, delayMs: 1_000 },
    { seconds: 180, jitter: 0.05, learned: 3, requests: 12, delayMs: 1_000 },
    { seconds: 90, jitter: 0.05, learned: 24, requests: 8, delayMs: 1_000 },
    { seconds: 30, jitter: 0.05, learned: 24, requests: 5, delayMs: 1_000 },
    { seconds: 180, jitter: 0, learned: 24, requests: 5, delayMs: 1_000 },
    { seconds: 180, jitter: 0.15, learned: 24, requests: 18, delayMs: 1_500 },
  ])('$seconds s renders (jitter $jitter, $learned learned) take at most $requests requests and $delayMs ms', (row) => {
    const seen = figures(row.seconds, row.jitter, row.learned);
    expect(seen.requests).toBeLessThanOrEqual(row.requests);
    expect(seen.delayMs).toBeLessThanOrEqual(row.delayMs);
  });

  test.each([30, 90, 180])(
    'a first %i s render asks no more than the official SDK and is not much later',
    (seconds) => {
      const ours = figures(seconds, 0.05, 0);
      const sdk = figures(seconds, 0.05, 0, watchOneAsTheSdk);
      expect(ours.requests).toBeLessThanOrEqual(1.1 * sdk.requests);
      expect(ours.delayMs).toBeLessThanOrEqual(1.5 * sdk.delayMs);
    },
  );
});
