import { expect, test, vi } from 'vitest';
import { momentOf, ServerClock } from '../../src/async/server-clock.js';
import { ClockWatch } from '../../src/worker/clock-watch.js';

const TRUE_MS = Date.UTC(2026, 10, 30, 12);
const HOUR = 3_600_000;

/** A machine whose wall clock is off, and servers that show the time in whole seconds. */
function machine(aheadMs: number) {
  const state = { elapsedMs: 0, aheadMs };
  const faults: string[] = [];
  const warnings: string[] = [];
  const watch = new ClockWatch({
    startLimitMs: 60_000,
    driftLimitMs: 120_000,
    onFault: ({ message }) => void faults.push(message),
    onWarning: (message) => void warnings.push(message),
    now: () => TRUE_MS + state.elapsedMs + state.aheadMs,
    monotonicMs: () => state.elapsedMs,
  });
  /** An answer that takes 100 ms. */
  const answer = (server: 'provider' | 'store' | 'temporal', aheadOfTruthMs = 0, latestAfterMs = 1_000) => {
    const sentMs = state.elapsedMs;
    state.elapsedMs += 100;
    const earliestMs = Math.floor((TRUE_MS + state.elapsedMs + aheadOfTruthMs) / 1_000) * 1_000;
    watch.observe(server, {
      earliestMs,
      latestMs: earliestMs + latestAfterMs,
      sentMs,
      answeredMs: state.elapsedMs,
    });
  };
  /** Answers of these servers, in turn, every ten seconds for `minutes`. */
  const answersFor = (minutes: number, ...answers: (() => void)[]) => {
    for (const endMs = state.elapsedMs + minutes * 60_000; state.elapsedMs < endMs; state.elapsedMs += 10_000) {
      for (const give of answers) give();
    }
  };
  return { state, watch, answer, answersFor, faults, warnings };
}

test.each([
  [3 * HOUR, /(10800|10799) s ahead of the provider's/],
  [-3 * HOUR, /(10800|10799) s behind the provider's/],
  [90_000, /9\d s ahead of the provider's|8\d s ahead/],
])('a clock that is off by %d ms is refused at start', (aheadMs, says) => {
  const { watch, answer } = machine(aheadMs);
  answer('provider');
  expect(() => watch.requireRightClock()).toThrow(says);
});

test.each([0, 59_000, -59_000])(
  'a clock that is off by %d ms is not, nor one that nobody could be compared with',
  (ms) => {
    const { watch, answer } = machine(ms);
    watch.requireRightClock();
    answer('provider');
    answer('store');
    watch.requireRightClock();
  },
);

test.each(['store', 'temporal'] as const)(
  "a clock that drifts ends the worker once the %s's has shown it for two minutes",
  (server) => {
    const { state, watch, answer, answersFor, faults } = machine(0);
    answer(server);
    watch.requireRightClock();
    state.aheadMs = -3 * HOUR;
    answersFor(1.5, () => answer(server));
    expect(faults).toEqual([]);
    answersFor(1, () => answer(server));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/(10800|10799) s behind/);
  },
);

test('a thousand answers of one connection are no drift, however many differ', () => {
  const { watch, answer, faults, warnings } = machine(0);
  watch.requireRightClock();
  for (let n = 0; n < 1_000; n += 1) answer('store', 5 * HOUR);
  expect([...faults, ...warnings]).toEqual([]);
});

test.each([
  ['Temporal agrees', ['store'], ['temporal']],
  ['the provider agrees', ['store'], ['provider']],
  ["Temporal's differs and both others agree", ['temporal'], ['store', 'provider']],
] as const)('a server that differs for an hour is reported once, and ends no worker, while %s', (_, wrong, right) => {
  const { watch, answer, answersFor, faults, warnings } = machine(0);
  watch.requireRightClock();
  const wrongAnswers = wrong.map((server) => () => answer(server, 5 * HOUR));
  answersFor(60, ...wrongAnswers, ...right.map((server) => () => answer(server)));
  expect(faults).toEqual([]);
  expect(warnings).toHaveLength(1);
});

test('a clock that agrees with its own machine alone ends the worker: two others contradict it', () => {
  const { state, watch, answer, answersFor, faults } = machine(0);
  watch.requireRightClock();
  state.aheadMs = 2 * HOUR;
  const temporalHere = () => answer('temporal', 2 * HOUR);
  answersFor(
    4,
    () => answer('store'),
    () => answer('provider'),
    temporalHere,
  );
  expect(faults).toHaveLength(1);
});

test('a server that agreed before the difference began contradicts nothing', () => {
  const { state, watch, answer, answersFor, faults } = machine(0);
  answer('provider');
  watch.requireRightClock();
  answer('provider');
  state.elapsedMs += 1_000;
  answersFor(4, () => answer('store', 5 * HOUR));
  expect(faults).toHaveLength(1);
});

test("a provider whose clock jumps is reported once, and ends no worker: its clock is not this machine's", () => {
  const { watch, answer, answersFor, faults, warnings } = machine(0);
  watch.requireRightClock();
  answersFor(
    5,
    () => answer('provider', 25 * HOUR),
    () => answer('store'),
  );
  expect(faults).toEqual([]);
  expect(warnings).toEqual([expect.stringMatching(/behind the provider's/)]);
});

test.each(['provider', 'store'] as const)(
  "a worker that connects again goes on while the %s's clock is wrong: it was right when the worker started",
  (server) => {
    const { watch, answer, faults } = machine(0);
    answer(server);
    watch.requireRightClock();
    answer(server, 25 * HOUR);
    watch.requireRightClock();
    expect(faults).toEqual([]);
  },
);

test('one odd date is no drift', () => {
  const { watch, answer, answersFor, faults, warnings } = machine(0);
  watch.requireRightClock();
  answersFor(
    10,
    () => answer('store', 5 * HOUR),
    () => answer('store'),
  );
  expect([...faults, ...warnings]).toEqual([]);
});

test("a poll that began since the last look shows Temporal's hour, not its second", () => {
  const { state, watch, answer, answersFor, faults } = machine(0);
  watch.requireRightClock();
  answersFor(5, () => answer('temporal', -20_000, 31_000));
  expect(faults).toEqual([]);
  state.aheadMs = 2 * HOUR;
  answersFor(5, () => answer('temporal', -20_000, 31_000));
  expect(faults).toHaveLength(1);
});

test("whole seconds of several answers give a server's time within their common bounds", () => {
  let elapsedMs = 0;
  const clock = new ServerClock(() => elapsedMs);
  expect(clock.now()).toBeUndefined();
  expect(clock.skewOf(TRUE_MS)).toBe(0);
  for (let n = 0; n < 20; n += 1) {
    elapsedMs += 730;
    const date = new Date(TRUE_MS + elapsedMs).toUTCString();
    const moment = momentOf({ date }, elapsedMs - 20, elapsedMs);
    if (moment !== undefined) clock.observe(moment);
  }
  expect(Math.abs((clock.now() ?? 0) - (TRUE_MS + elapsedMs))).toBeLessThan(60);
  elapsedMs += 60_000;
  expect(Math.abs((clock.now() ?? 0) - (TRUE_MS + elapsedMs))).toBeLessThan(60);
});

test.each([{}, { date: 'yesterday' }, { date: 'Mon, 30 Nov 2026 12:00:00 GMT', age: '300' }])(
  'an answer with %j shows no time',
  (headers) => {
    expect(momentOf(headers, 0, 1)).toBeUndefined();
  },
);

test('a fault is reported to the worker as an error with the fix', () => {
  const onFault = vi.fn();
  const options = { startLimitMs: 60_000, driftLimitMs: 120_000, onFault, onWarning: () => undefined };
  let elapsedMs = 0;
  const watch = new ClockWatch({ ...options, now: () => TRUE_MS + elapsedMs, monotonicMs: () => elapsedMs });
  watch.requireRightClock();
  for (; elapsedMs <= 120_000; elapsedMs += 60_000) {
    const serverMs = TRUE_MS + HOUR + elapsedMs;
    watch.observe('store', { earliestMs: serverMs, latestMs: serverMs, sentMs: elapsedMs, answeredMs: elapsedMs });
  }
  expect(onFault).toHaveBeenCalledWith(
    expect.objectContaining({ type: 'ConfigurationInvalid', nextStep: expect.stringContaining('NTP') }),
  );
});
