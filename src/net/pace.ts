/**
 * Least that a sender sends within a time in which more is awaited. One that sends a byte a second would otherwise keep
 * one of the worker's places for minutes, and a few hundred of them all places.
 */
export const LEAST_BYTES = 16 * 1024;

/** A sender sent too little for too long. */
export class SlowError extends Error {
  override readonly name = 'SlowError';

  constructor(slowMs: number) {
    super(`less than ${LEAST_BYTES} bytes came in ${slowMs / 1000} s`);
  }
}

/** How long a sender lets us wait for {@link LEAST_BYTES}; what the reader of its bytes takes does not count. */
export class Pace {
  /** Longest wait in milliseconds. */
  readonly slowMs: number;
  #waitedMs = 0;
  #bytes = 0;

  constructor(slowMs: number) {
    this.slowMs = slowMs;
  }

  /** Milliseconds that the sender may still let us wait. */
  get leftMs(): number {
    return Math.max(0, this.slowMs - this.#waitedMs);
  }

  /** Notes a wait, and the bytes that ended it. */
  note(waitedMs: number, bytes: number): void {
    this.#bytes += bytes;
    this.#waitedMs += waitedMs;
    if (this.#bytes < LEAST_BYTES) return;
    this.#bytes = 0;
    this.#waitedMs = 0;
  }
}
