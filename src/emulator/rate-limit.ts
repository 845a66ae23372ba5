import type { Clock } from './clock.js';
import type { EmulatorSettings } from './settings.js';
import { ApiError } from './wire.js';

/** Counts requests over the last second, per kind of request and account. */
export class RateLimit {
  readonly #recent = new Map<string, number[]>();
  readonly #now: Clock;
  readonly #settings: () => EmulatorSettings;

  constructor(now: Clock, settings: () => EmulatorSettings) {
    this.#now = now;
    this.#settings = settings;
  }

  /** @throws ApiError 429 when the account has used up this second's share; `rate` 0 is no limit. */
  pass(kind: string, account: string, rate: number): void {
    if (rate === 0) return;
    const t = this.#now();
    const name = `${kind}:${account}`;
    const window = (this.#recent.get(name) ?? []).filter((at) => at > t - 1000 && at <= t);
    this.#recent.set(name, window);
    if (window.length >= rate) throw throttled(this.#settings());
    window.push(t);
  }

  reset(): void {
    this.#recent.clear();
  }
}

/** The 429 of the settings. */
export function throttled({ throttle_code, throttle_retry_after }: EmulatorSettings): ApiError {
  const headers = throttle_retry_after === null ? {} : { 'retry-after': String(throttle_retry_after) };
  return new ApiError(429, throttle_code, 'Requests rate limit exceeded, please try again later.', headers);
}
