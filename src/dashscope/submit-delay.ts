/** First pause after a submit that bought nothing; the account may submit five times per second. */
const FIRST_MS = 2_000;
/** The provider says that a rate limit recovers usually within one minute. */
const LONGEST_MS = 60_000;

/**
 * Milliseconds until a submit that certainly bought nothing may be tried again; pure.
 * @param attempt - The attempt that ended, from 1.
 * @param retryAfterMs - The provider's own wish: a floor, because asking earlier only earns the next refusal.
 * @param random - Uniform in 0..1. Half of the pause is left to it: runs that were refused together do not come back
 * together.
 */
export function nextSubmitDelay(attempt: number, retryAfterMs: number | undefined, random: number): number {
  const base = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 10));
  const jittered = Math.round(base * (0.5 + random / 2));
  // On top of the wish a little as well, for everybody got the same one.
  return Math.max(jittered, Math.round((retryAfterMs ?? 0) * (1 + random / 10)));
}
