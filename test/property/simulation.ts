import type { Clock } from '../../src/async/clock.js';
import type { Random } from './random.js';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly act: () => void;
}

/** Ends every promise of a process that died: its code never runs on. */
const NEVER = new Promise<never>(() => {});

/** Simulated time: events in order of their moment; between two of them all code runs as far as it can. */
export class Simulation {
  nowMs: number;
  steps = 0;
  readonly random: Random;
  readonly #events: Event[] = [];
  #order = 0;

  constructor(random: Random, startMs: number) {
    this.random = random;
    this.nowMs = startMs;
  }

  at(atMs: number, act: () => void): void {
    const event = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, act };
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#events[middle]!;
      // Descending, so that the next event is at the end.
      if (other.atMs > event.atMs || (other.atMs === event.atMs && other.order > event.order)) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
  }

  timer(ms: number): Promise<void> {
    return new Promise((done) => this.at(this.nowMs + ms, done));
  }

  /** Runs until `done()` says so; `false` when time, steps or events run out first. */
  async run(done: () => boolean, limits: { readonly untilMs: number; readonly steps: number }): Promise<boolean> {
    for (;;) {
      // Every microtask and every stream callback ends before the next event.
      await new Promise((settled) => setImmediate(settled));
      if (done()) return true;
      const event = this.#events.pop();
      if (event === undefined || event.atMs > limits.untilMs || ++this.steps > limits.steps) return false;
      this.nowMs = event.atMs;
      event.act();
    }
  }
}

/** A worker process: it may stop for any time between two operations, and it may die. */
export class Process {
  alive = true;
  stalledUntilMs = 0;
  readonly skewMs: number;
  readonly #sim: Simulation;
  readonly #latency: () => number;

  constructor(sim: Simulation, skewMs: number, latency: () => number) {
    this.#sim = sim;
    this.skewMs = skewMs;
    this.#latency = latency;
  }

  get responsive(): boolean {
    return this.alive && this.stalledUntilMs <= this.#sim.nowMs;
  }

  /** Continues the process's code at `atMs`, or later when it is stopped, or never when it is dead. */
  resume(atMs: number, act: () => void): void {
    this.#sim.at(atMs, () => {
      if (!this.alive) return;
      if (this.stalledUntilMs > this.#sim.nowMs) this.resume(this.stalledUntilMs, act);
      else act();
    });
  }

  /**
   * One operation on something outside: leaves now, takes effect after a while (also when the process has died
   * meanwhile), and is answered later still.
   */
  operation<T>(
    effect: () => T,
    options: { readonly lostAs?: Error | undefined; readonly refusedAs?: Error | undefined } = {},
  ): Promise<T> {
    if (!this.alive) return NEVER;
    return new Promise<T>((resolve, reject) => {
      const arrives = this.#sim.nowMs + this.#latency();
      this.#sim.at(arrives, () => {
        if (options.refusedAs !== undefined) {
          this.resume(this.#sim.nowMs + this.#latency(), () => reject(options.refusedAs));
          return;
        }
        let answer: () => void;
        try {
          const result = effect();
          answer = () => (options.lostAs === undefined ? resolve(result) : reject(options.lostAs));
        } catch (error) {
          answer = () => reject(error);
        }
        this.resume(this.#sim.nowMs + this.#latency(), answer);
      });
    });
  }

  clock(): Clock {
    return {
      now: () => this.#sim.nowMs + this.skewMs,
      monotonicMs: () => this.#sim.nowMs,
      sleep: (ms, signal) =>
        new Promise<void>((resolve, reject) => {
          if (signal?.aborted) {
            reject(signal.reason);
            return;
          }
          const stop = () => reject(signal?.reason);
          signal?.addEventListener('abort', stop, { once: true });
          this.resume(this.#sim.nowMs + ms, () => {
            signal?.removeEventListener('abort', stop);
            resolve();
          });
        }),
    };
  }
}
