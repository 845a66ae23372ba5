import { expect, test } from 'vitest';
import { forecastOf, guessForecast, type RenderKind } from '../../src/polling/forecast.js';
import { seededRandom } from './polling-simulation.js';

const KIND: RenderKind = { resolution: '720P', seconds: 10, audio: true };
const of = (...seconds: number[]) => {
  const forecast = forecastOf(seconds.map((s, hour) => ({ endedAtMs: (hour * 3600 + s) * 1000, renderMs: s * 1000 })));
  if (forecast === undefined) throw new Error('no forecast');
  return { from: forecast.earliestMs / 1000, to: forecast.latestMs / 1000, samples: forecast.samples };
};
const repeat = (times: number, seconds: number): number[] => Array.from({ length: times }, () => seconds);

test('the guess before the first render holds the two documented ones', () => {
  const { earliestMs, latestMs, samples } = guessForecast(KIND, []);
  expect(earliestMs).toBeLessThan(59_000);
  expect(latestMs).toBeGreaterThan(73_000);
  expect(samples).toBe(0);
});

test('the guess for one kind follows what other kinds took', () => {
  const other = { kind: { ...KIND, seconds: 5 }, renderMs: 66_000, endedAtMs: 1 }; // twice as long as documented
  expect(guessForecast(KIND, [other]).latestMs).toBe(2 * guessForecast(KIND, []).latestMs);
});

test('the more renders are known, the closer the forecast is to their range', () => {
  const width = (times: number) => of(...repeat(times, 100)).to - of(...repeat(times, 100)).from;
  expect([1, 2, 4, 20].map(width)).toEqual([20, 10, 5, 1]);
});

test('the forecast holds every ordinary render', () => {
  const { from, to } = of(171, 189, 175, 180, 185, 173, 187, 179);
  expect(from).toBeLessThan(171);
  expect(to).toBeGreaterThan(189);
  expect(to - from).toBeLessThan(18 * 1.6);
});

test.each([
  { odd: 900, why: 'one that hung' },
  { odd: 5, why: 'one that was far too quick' },
])('a single odd render, $why, does not move the forecast', ({ odd }) => {
  const usual = of(...repeat(9, 100));
  const after = of(...repeat(5, 100), odd, ...repeat(4, 100));
  expect(Math.abs(after.from - usual.from)).toBeLessThan(1);
  expect(Math.abs(after.to - usual.to)).toBeLessThan(1);
});

test('a provider that became faster is believed after two renders', () => {
  expect(of(...repeat(20, 90), 60).from).toBeGreaterThan(60);
  const { from, to } = of(...repeat(20, 90), 60, 61);
  expect(from).toBeLessThan(60);
  expect(to).toBeLessThan(70);
});

test('a provider that became slower is believed after four renders', () => {
  expect(of(...repeat(20, 60), 90, 91, 90).from).toBeLessThan(60);
  const { from, to } = of(...repeat(20, 60), 90, 91, 90, 92);
  expect(from).toBeGreaterThan(80);
  expect(to).toBeGreaterThan(92);
});

test('renders that began together and end in the order of their lengths are no drift', () => {
  const random = seededRandom(5);
  const samples = Array.from({ length: 24 }, (_, nth) => {
    const renderMs = 180_000 * (0.85 + 0.3 * random());
    return { endedAtMs: nth * 250 + renderMs, renderMs };
  });
  const shortest = Math.min(...samples.map(({ renderMs }) => renderMs));
  const known = samples.toSorted((a, b) => a.endedAtMs - b.endedAtMs);
  expect(forecastOf(known)?.earliestMs).toBeLessThan(shortest);
});

test('a slow drift is followed: what is older than 24 renders is forgotten', () => {
  const { from } = of(...Array.from({ length: 100 }, (_, index) => 60 + index));
  expect(from).toBeGreaterThan(130);
});

test('without a render there is no forecast', () => {
  expect(forecastOf([])).toBeUndefined();
});
