/** One moment of a server's clock, and when it was here: both bounds by this machine's monotonic clock. */
export interface ServerMoment {
  /** Milliseconds since the epoch, by the server; it is between this and `latestMs`. */
  readonly earliestMs: number;
  readonly latestMs: number;
  /** Monotonic milliseconds before which the server had not read its clock, and after which it had. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

/**
 * A server's clock, learned from the dates in its answers. Each answer bounds the distance to this machine's monotonic
 * clock, and the bounds of several answers are intersected, so that whole seconds become exact after a few. It does not
 * depend on this machine's own wall clock, which may be wrong.
 */
export class ServerClock {
  readonly #monotonicMs: () => number;
  /** Server's time minus monotonic time, at least and at most. */
  #bounds: { readonly low: number; readonly high: number } | undefined;

  constructor(monotonicMs: () => number = () => performance.now()) {
    this.#monotonicMs = monotonicMs;
  }

  /** Takes in one moment. One that contradicts the earlier ones replaces them: one of the clocks was set. */
  observe({ earliestMs, latestMs, sentMs, answeredMs }: ServerMoment): void {
    const low = earliestMs - answeredMs;
    const high = latestMs - sentMs;
    const before = this.#bounds;
    const both = { low: Math.max(low, before?.low ?? low), high: Math.min(high, before?.high ?? high) };
    this.#bounds = both.low <= both.high ? both : { low, high };
  }

  /** The server's time now, milliseconds since the epoch; undefined before the first answer. */
  now(): number | undefined {
    if (this.#bounds === undefined) return undefined;
    return Math.round(this.#monotonicMs() + (this.#bounds.low + this.#bounds.high) / 2);
  }

  /**
   * How far another clock is certainly ahead of the server's; negative: behind; 0 where the answers do not show it.
   * @param nowMs - Time of the other clock.
   */
  skewOf(nowMs: number): number {
    if (this.#bounds === undefined) return 0;
    const monotonicMs = this.#monotonicMs();
    const ahead = nowMs - (monotonicMs + this.#bounds.high);
    const behind = nowMs - (monotonicMs + this.#bounds.low);
    return ahead > 0 ? ahead : Math.min(behind, 0);
  }

  /** Whether the answers show that another clock, at `nowMs`, differs from the server's by at most `limitMs`. */
  isWithin(limitMs: number, nowMs: number): boolean {
    if (this.#bounds === undefined) return false;
    const { low, high } = this.#bounds;
    const distanceMs = nowMs - this.#monotonicMs();
    return Math.max(Math.abs(distanceMs - low), Math.abs(distanceMs - high)) <= limitMs;
  }
}

/**
 * The moment in an answer's `Date` header, which names a whole second.
 * @returns `undefined` without a date, and for an answer that a cache has kept.
 */
export function momentOf(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  sentMs: number,
  answeredMs: number,
): ServerMoment | undefined {
  const dateMs = Date.parse(String(headers['date']));
  if (Number.isNaN(dateMs) || headers['age'] !== undefined) return undefined;
  return { earliestMs: dateMs, latestMs: dateMs + 1_000, sentMs, answeredMs };
}
