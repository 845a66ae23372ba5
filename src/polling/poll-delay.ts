/** While a video may be done any moment: five running tasks then ask 5 times a second, half the budget of 10. */
export const TIGHT_POLL_MS = 1_000;
/** Once it is late: three times slower than tight, so that a long render stays below the account's 20 queries/s. */
export const PATIENT_POLL_MS = 5_000;
/** Longest pause after faults in a row: the interval that the provider recommends for video. */
export const FAULT_POLL_MS = 15_000;

/** What the next delay depends on; times in milliseconds, `random` in 0..1. */
export interface PollMoment {
  readonly elapsedMs: number;
  /** Queries in a row that failed; 0 after an answer. */
  readonly faults: number;
  /** The provider's own wish, when it gave one. */
  readonly retryAfterMs?: number | undefined;
  readonly random: number;
}

/** Milliseconds until the next query of one task. */
export function nextPollDelay({ elapsedMs, faults, retryAfterMs, random }: PollMoment): number {
  const base =
    faults > 0
      ? Math.min(FAULT_POLL_MS, TIGHT_POLL_MS * 2 ** (faults - 1))
      : elapsedMs < 60_000
        ? TIGHT_POLL_MS
        : PATIENT_POLL_MS;
  // Up to 10 % more: workers that restart together would otherwise query together for ever.
  return Math.max(Math.round(base * (1 + 0.1 * random)), retryAfterMs ?? 0);
}
