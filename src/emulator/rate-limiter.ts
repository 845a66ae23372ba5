import type { Clock } from './clock.js';
import type { EmulatorSettings } from './settings.js';
import { ApiError } from './wire.js';

/** Limits the requests of the last second, per kind of request and account. */
export class RateLimiter {
  readonly #recent = new Map<string, number[]>();
  readonly #now: Clock;
  readonly #settings: () => EmulatorSettings;

  constructor(now: Clock, settings: () => EmulatorSettings) {
    this.#now = now;
    this.#settings = settings;
  }

  /**
   * Counts a request.
   * @param perSecond - requests that are admitted within a second; 0: all.
   * @throws ApiError 429 for one more.
   */
  admit(kind: string, account: string, perSecond: number): void {
    if (perSecond === 0) return;
    const t = this.#now();
    const name = `${kind}:${account}`;
    const recent = (this.#recent.get(name) ?? []).filter((at) => at > t - 1000 && at <= t);
    this.#recent.set(name, recent);
    if (recent.length >= perSecond) throw throttlingError(this.#settings());
    recent.push(t);
  }

  reset(): void {
    this.#recent.clear();
  }
}

/** Returns the 429 that the settings describe. */
export function throttlingError({ throttle_code, throttle_retry_after }: EmulatorSettings): ApiError {
  const headers = throttle_retry_after === null ? {} : { 'retry-after': String(throttle_retry_after) };
  return new ApiError(429, throttle_code, 'Requests rate limit exceeded, please try again later.', headers);
}
