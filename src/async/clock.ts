import { setTimeout as delay } from 'node:timers/promises';

/** Time, injected so that tests control it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds that never go back; they may stop while the machine sleeps. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  },
};

/** Time since a moment; never goes back. */
export interface Stopwatch {
  /** Milliseconds since the epoch, when it was started. */
  readonly startedAtMs: number;
  elapsedMs(): number;
}

/**
 * Starts a stopwatch that shows the larger of both clocks, so that neither a clock set back nor a sleeping machine
 * hides time.
 * @param alreadyMs - What an earlier stopwatch has shown, when this one continues it.
 */
export function stopwatch(clock: Clock, alreadyMs = 0): Stopwatch {
  const startedAtMs = clock.now();
  const startedMonotonic = clock.monotonicMs();
  return {
    startedAtMs,
    elapsedMs: () => alreadyMs + Math.max(clock.now() - startedAtMs, clock.monotonicMs() - startedMonotonic),
  };
}

/**
 * Runs `work` for at most `ms` milliseconds. After that its signal is aborted, its end is not awaited, and the result
 * is `undefined`.
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const timeout = new AbortController();
  const done = new AbortController();
  const timer = clock.sleep(ms, done.signal).then(
    () => {
      timeout.abort(new Error('out of time'));
      return undefined;
    },
    () => undefined,
  );
  const result = work(timeout.signal);
  result.catch(() => undefined); // nothing else listens when the timer wins
  try {
    return await Promise.race([result, timer]);
  } finally {
    done.abort();
  }
}
