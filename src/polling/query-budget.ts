import { untilAborted } from '../async/aborted.js';
import type { Clock } from '../async/clock.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** How long the rate takes from nothing to the whole budget once the provider answers again, in milliseconds. */
const RECOVER_MS = 75_000;
/** What is left of the rate after a 429; the curve then stays near the rate that failed for about half a minute. */
const AFTER_429 = 0.7;
/** Slowest rate, in requests per second: a storm of 429s is probed every five seconds. */
const RATE_MIN = 0.2;
/** Share of the budget that is used: requests that are sent evenly arrive unevenly, and no second shall have more. */
const USED = 0.8;
/** First pause after a 429 in milliseconds, doubled by each further one up to the longest. */
const PAUSE_MS = 1_000;
const PAUSE_MAX_MS = 15_000; // the interval that the API reference recommends
/** Pause after a refused key, in milliseconds: a person has to fix it, which takes much longer. */
const REFUSED_PAUSE_MS = 15_000;
/** Longest `Retry-After` that is honoured, in milliseconds: a stray header must not stop the worker for a day. */
const RETRY_AFTER_MAX_MS = 300_000;
/** How often a request that waits looks whether the provider answers again, in milliseconds. */
const PROBED_EVERY_MS = 1_000;

/** These refuse every task alike: the key, the account, the address. */
const REFUSES_ALL: ReadonlySet<FailureType> = new Set([
  FailureType.CredentialsMissing,
  FailureType.CredentialsRejected,
  FailureType.AccountBlocked,
  FailureType.ConfigurationInvalid,
]);

export interface QueryBudgetOptions {
  /** This worker's share of the account's 20 requests per second (API reference; queries and lists count). */
  readonly perSecond: number;
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
  /** Uniform in 0..1. */
  readonly random: () => number;
}

/** A request that has begun; ended once, in one of the ways of {@link QueryBudget}. */
export interface BudgetedRequest {
  readonly begunMs: number;
}

/**
 * When this worker may send its next status request. Requests are spread evenly, never in bursts. After a 429 the rate
 * falls and comes back along the curve of CUBIC (RFC 9438): soon near the rate that failed, then carefully beyond it;
 * workers that share an account find their shares this way without knowing of each other. While the provider refuses
 * (429, key), one request at a time finds out when it is over.
 */
export class QueryBudget {
  readonly #options: QueryBudgetOptions;
  readonly #budget: number;
  #nextMs = 0;
  /** No request is sent before; monotonic milliseconds. */
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  /** Requests of others have half of the rate at most, so that the watcher has its turns; monotonic milliseconds. */
  #nextOtherMs = 0;
  /** The last request that waits for its turn. */
  #lastTurn: Promise<unknown> = Promise.resolve();
  #underway = 0;
  /** Refusals in a row; above 0 one request at a time is sent. */
  #refusals = 0;
  #cutMs = Number.NEGATIVE_INFINITY;
  #rateBeforeCut: number;

  constructor(options: QueryBudgetOptions) {
    this.#options = options;
    this.#budget = options.perSecond * USED;
    this.#rateBeforeCut = this.#budget;
  }

  /** Requests per second while nothing was refused. */
  get share(): number {
    return this.#budget;
  }

  /** Requests per second at this moment. */
  rate(): number {
    const growth = this.#budget / RECOVER_MS ** 3;
    const flatMs = Math.cbrt((this.#rateBeforeCut * (1 - AFTER_429)) / growth);
    const sinceMs = this.#options.clock.monotonicMs() - this.#cutMs;
    const rate =
      sinceMs === Number.POSITIVE_INFINITY ? this.#budget : growth * (sinceMs - flatMs) ** 3 + this.#rateBeforeCut;
    return Math.min(this.#budget, Math.max(Math.min(RATE_MIN, this.#budget), rate));
  }

  /**
   * Monotonic milliseconds at which the next request may begin; infinite while the answer of the one under way decides.
   */
  nextMs(): number {
    return this.#refusals > 0 && this.#underway > 0 ? Number.POSITIVE_INFINITY : this.#nextMs;
  }

  begin(): BudgetedRequest {
    const begunMs = this.#options.clock.monotonicMs();
    this.#underway += 1;
    this.#nextMs = Math.max(begunMs, this.#nextMs) + 1000 / this.rate();
    return { begunMs };
  }

  /**
   * Sends a request of another caller than the watcher, which asks {@link nextMs}: in the order of the calls, and
   * counted like the watcher's.
   * @throws as `send` does; the signal's reason when it aborts before the turn.
   */
  async run<T>(send: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#lastTurn;
    const turn = before.then(() => this.#awaitTurn(signal));
    this.#lastTurn = turn.catch(() => undefined);
    // Raced with the turns before alone: this one itself notices its abort, and must not begin for nobody.
    await untilAborted(before, signal);
    const request = await turn;
    try {
      const answer = await send();
      this.answered(request);
      return answer;
    } catch (error) {
      // A refused list says nothing about the key: only the watcher's queries do.
      const isThrottled = error instanceof VideoError && error.type === FailureType.ProviderThrottled;
      if (isThrottled) this.throttled(request, error.retryAfterMs);
      else this.failed(request);
      throw error;
    }
  }

  async #awaitTurn(signal: AbortSignal | undefined): Promise<BudgetedRequest> {
    const { clock } = this.#options;
    for (;;) {
      signal?.throwIfAborted();
      const nowMs = clock.monotonicMs();
      const mustWaitMs =
        this.nextMs() === Number.POSITIVE_INFINITY ? PROBED_EVERY_MS : Math.ceil(this.#nextOtherMs - nowMs);
      if (mustWaitMs > 0) {
        await clock.sleep(mustWaitMs, signal);
        continue;
      }
      // Reserved before the wait: a busy watcher would otherwise take every turn.
      const turnMs = Math.max(nowMs, this.#nextMs);
      this.#nextMs = turnMs + 1000 / this.rate();
      if (turnMs > nowMs) await clock.sleep(Math.ceil(turnMs - nowMs), signal);
      const begunMs = clock.monotonicMs();
      if (begunMs < this.#pausedUntilMs || this.nextMs() === Number.POSITIVE_INFINITY) continue;
      // After a stall several turns are over at once; the next request keeps its distance from this one.
      this.#nextMs = Math.max(this.#nextMs, begunMs + 1000 / this.rate());
      this.#nextOtherMs = begunMs + 2000 / this.rate();
      this.#underway += 1;
      return { begunMs };
    }
  }

  /** The provider answered, with any status of the task. */
  answered(_request: BudgetedRequest): void {
    this.#underway -= 1;
    this.#refusals = 0;
  }

  /** 429: less for all. */
  throttled({ begunMs }: BudgetedRequest, retryAfterMs = 0): void {
    this.#underway -= 1;
    this.#refusals += 1;
    // Requests that were under way at the last cut say the same thing once more.
    if (begunMs > this.#cutMs) {
      this.#rateBeforeCut = this.rate();
      this.#cutMs = this.#options.clock.monotonicMs();
    }
    const pause = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.min(this.#refusals - 1, 10));
    this.#pause(Math.max(pause * (0.5 + 0.5 * this.#options.random()), Math.min(retryAfterMs, RETRY_AFTER_MAX_MS)));
  }

  /** Key or account were refused: so would every other request be. */
  refused(_request: BudgetedRequest): void {
    this.#underway -= 1;
    this.#refusals += 1;
    this.#pause(REFUSED_PAUSE_MS * (0.9 + 0.1 * this.#options.random()));
  }

  /** No answer, or one that says nothing about the others: abort, time-out, reset, 5xx. */
  failed(_request: BudgetedRequest): void {
    this.#underway -= 1;
  }

  /** Settles a request that failed. @returns whether the fault concerns every task alike. */
  settleFault(request: BudgetedRequest, error: unknown): boolean {
    const known = error instanceof VideoError ? error : undefined;
    if (known?.type === FailureType.ProviderThrottled) this.throttled(request, known.retryAfterMs);
    else if (known !== undefined && REFUSES_ALL.has(known.type)) this.refused(request);
    else {
      this.failed(request);
      return false;
    }
    return true;
  }

  #pause(ms: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#options.clock.monotonicMs() + ms);
    this.#nextMs = Math.max(this.#nextMs, this.#pausedUntilMs);
  }
}
