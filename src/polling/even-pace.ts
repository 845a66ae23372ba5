import type { Clock } from '../async/clock.js';

/** How much earlier than its predecessor a request may arrive because of the network, in milliseconds. */
const JITTER_MS = 50;

/**
 * Lets requests begin at a distance from one another, in the order of the calls, so that no second has more than
 * `perSecond` of them, however many waited for a stalled process or store.
 */
export class EvenPace {
  readonly #distanceMs: number;
  readonly #clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
  #lastTurn: Promise<unknown> = Promise.resolve();
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number, clock: Pick<Clock, 'monotonicMs' | 'sleep'>) {
    this.#distanceMs = (1000 + JITTER_MS) / perSecond;
    this.#clock = clock;
  }

  /** Resolves when the caller may begin; the distance counts from the real beginning of the one before. */
  turn(): Promise<void> {
    const turn = this.#lastTurn.then(async () => {
      for (;;) {
        const waitMs = this.#lastMs + this.#distanceMs - this.#clock.monotonicMs();
        if (waitMs <= 0) break;
        await this.#clock.sleep(Math.ceil(waitMs));
      }
      this.#lastMs = this.#clock.monotonicMs();
    });
    this.#lastTurn = turn;
    return turn;
  }
}
