import { setTimeout as delay } from 'node:timers/promises';

/** Time as the ledger sees it; injected, so that tests own it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds that never go back; they may stand still while the machine sleeps. */
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
 * Starts a watch that shows the larger of both clocks: a stepped one or a sleeping machine hides no time.
 * @param alreadyMs - What another watch has shown before, if this one goes on where it stopped.
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
 * Gives `work` at most `ms`; afterwards its signal is aborted, its end is not waited for, and the answer is
 * `undefined`.
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const late = new AbortController();
  const done = new AbortController();
  const timer = clock.sleep(ms, done.signal).then(
    () => {
      late.abort(new Error('out of time'));
      return undefined;
    },
    () => undefined,
  );
  const result = work(late.signal);
  result.catch(() => {}); // when the timer wins, nobody else listens
  try {
    return await Promise.race([result, timer]);
  } finally {
    done.abort();
  }
}
