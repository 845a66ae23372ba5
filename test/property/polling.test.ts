import fc from 'fast-check';
import { expect, test } from 'vitest';
import { forecastOf } from '../../src/polling/forecast.js';
import { nextQueryDelay, POLL_TIMES, type PollMoment } from '../../src/polling/poll-schedule.js';

const ms = fc.double({ min: 0, max: 1e7, noNaN: true });
const forecast = fc
  .record({ earliestMs: ms, width: ms, samples: fc.nat(24) })
  .map(({ earliestMs, width, samples }) => ({ earliestMs, latestMs: earliestMs + width, samples }));
const moment: fc.Arbitrary<PollMoment> = fc.record({
  phase: fc.constantFrom('unseen', 'queued', 'running'),
  elapsedMs: fc.double({ min: -1e7, max: 1e8, noNaN: true }),
  forecast,
  faults: fc.nat(2_000),
  retryAfterMs: fc.option(ms, { nil: undefined }),
  random: fc.double({ min: 0, max: 1, noNaN: true }),
});

test('no look is due in the past or later than the longest silence', () => {
  fc.assert(
    fc.property(moment, (one) => {
      const delay = nextQueryDelay(one);
      expect(delay).toBeGreaterThanOrEqual(0);
      expect(delay).toBeLessThanOrEqual(POLL_TIMES.quietMaxMs);
    }),
  );
});

test('two looks at one task are never closer than the tight interval', () => {
  fc.assert(
    fc.property(moment, (one) => {
      if (one.phase === 'unseen' && one.faults === 0) return; // the first look has none before it
      expect(nextQueryDelay(one)).toBeGreaterThanOrEqual(POLL_TIMES.tightMinMs);
    }),
  );
});

test('a longer wish of the provider never leads to an earlier look, and is kept up to the longest silence', () => {
  fc.assert(
    fc.property(moment, ms, ms, (one, a, b) => {
      const [shorter, longer] = [Math.min(a, b), Math.max(a, b)];
      const delay = nextQueryDelay({ ...one, retryAfterMs: longer });
      expect(delay).toBeGreaterThanOrEqual(nextQueryDelay({ ...one, retryAfterMs: shorter }));
      expect(delay).toBeGreaterThanOrEqual(Math.min(Math.round(longer), POLL_TIMES.quietMaxMs));
    }),
  );
});

test('more faults in a row never lead to an earlier look', () => {
  fc.assert(
    fc.property(moment, fc.integer({ min: 1, max: 50 }), (one, faults) => {
      expect(nextQueryDelay({ ...one, faults: faults + 1 })).toBeGreaterThanOrEqual(nextQueryDelay({ ...one, faults }));
    }),
  );
});

test('a settled forecast is silent before its earliest end and never misses it by more than two tight intervals', () => {
  fc.assert(
    fc.property(moment, (one) => {
      const settled = { ...one, phase: 'running' as const, faults: 0, retryAfterMs: undefined };
      if (settled.forecast.samples < 3) return;
      const elapsedMs = Math.max(0, settled.elapsedMs);
      const lookMs = elapsedMs + nextQueryDelay(settled);
      const { earliestMs } = settled.forecast;
      if (elapsedMs >= earliestMs || earliestMs - elapsedMs > POLL_TIMES.quietMaxMs) return;
      expect(lookMs).toBeGreaterThanOrEqual(Math.floor(earliestMs));
      expect(lookMs).toBeLessThanOrEqual(earliestMs + 2 * POLL_TIMES.tightMaxMs);
    }),
  );
});

test('a forecast is a range of times that are none before zero, and holds the middle of equal renders', () => {
  const renders = fc.array(fc.record({ endedAtMs: fc.nat(), renderMs: fc.nat(10_800_000) }), { minLength: 1 });
  fc.assert(
    fc.property(renders, (samples) => {
      const range = forecastOf(samples);
      expect(range?.earliestMs).toBeGreaterThanOrEqual(0);
      expect(range?.latestMs).toBeGreaterThanOrEqual(range?.earliestMs ?? Number.NaN);
      expect(range?.samples).toBeLessThanOrEqual(24);
    }),
  );
  fc.assert(
    fc.property(fc.nat(10_800_000), fc.integer({ min: 1, max: 60 }), (renderMs, times) => {
      const range = forecastOf(Array.from({ length: times }, (_, endedAtMs) => ({ endedAtMs, renderMs })));
      expect(range?.earliestMs).toBeLessThanOrEqual(renderMs);
      expect(range?.latestMs).toBeGreaterThanOrEqual(renderMs);
    }),
  );
});
