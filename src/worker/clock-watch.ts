import { ServerClock, type ServerMoment } from '../async/server-clock.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** Whose clocks this machine's is measured against, as messages name them. */
const SERVERS = { provider: "the provider's", store: "the asset store's", temporal: "Temporal's" } as const;
export type ClockServer = keyof typeof SERVERS;

/** Differing measurements in a row that count: one odd date is no drift. */
const TIMES_IN_A_ROW = 3;

export interface ClockWatchOptions {
  /** Most that this clock may differ at start, in milliseconds: half of what a purchase's proof allows. */
  readonly startLimitMs: number;
  /** Most that it may differ later; what lies between is logged. */
  readonly driftLimitMs: number;
  /** Called once per server that differs, and once when the clock is too wrong to go on. Must not throw. */
  readonly onWarning: (message: string) => void;
  readonly onFault: (error: VideoError) => void;
  /** Milliseconds since the epoch; default: this machine's clock. */
  readonly now?: () => number;
  readonly monotonicMs?: () => number;
}

/**
 * Measures this machine's clock against the servers that the worker talks to: lost submits are found by times, so a
 * worker with a wrong clock would take the task of another run for its own. A worker ends when its clock differs from
 * the store's or from Temporal's; from the provider's alone it differs when the provider's is wrong, which no other
 * worker changes, so that is logged.
 */
export class ClockWatch {
  readonly #options: ClockWatchOptions;
  readonly #now: () => number;
  readonly #clocks: Readonly<Record<ClockServer, ServerClock>>;
  readonly #inARow = new Map<ClockServer, number>();
  readonly #warned = new Set<ClockServer>();
  #started = false;
  #faulty = false;

  constructor(options: ClockWatchOptions) {
    const { now = Date.now, monotonicMs } = options;
    this.#options = options;
    this.#now = now;
    const clock = () => new ServerClock(monotonicMs);
    this.#clocks = { provider: clock(), store: clock(), temporal: clock() };
  }

  /** Takes in a moment of a server's clock; judged once the worker has started. */
  observe(server: ClockServer, moment: ServerMoment): void {
    this.#clocks[server].observe(moment);
    if (this.#started) this.#judge(server);
  }

  /**
   * Judges what was measured while the worker started, and every measurement from now on.
   * @throws VideoError `ConfigurationInvalid` when this clock differs from any of the servers'.
   */
  requireRightClock(): void {
    this.#started = true;
    for (const server of Object.keys(SERVERS) as ClockServer[]) {
      const skewMs = this.#skewOf(server);
      if (Math.abs(skewMs) > this.#options.startLimitMs) throw this.#error(server, skewMs);
    }
  }

  #judge(server: ClockServer): void {
    const { startLimitMs, driftLimitMs, onWarning, onFault } = this.#options;
    const skewMs = this.#skewOf(server);
    const inARow = Math.abs(skewMs) > startLimitMs ? (this.#inARow.get(server) ?? 0) + 1 : 0;
    this.#inARow.set(server, inARow);
    if (inARow === 0) this.#warned.delete(server);
    if (inARow < TIMES_IN_A_ROW || this.#faulty) return;
    const error = this.#error(server, skewMs);
    if (Math.abs(skewMs) > driftLimitMs && server !== 'provider') {
      this.#faulty = true;
      onFault(error);
    } else if (!this.#warned.has(server)) {
      this.#warned.add(server);
      onWarning(error.message);
    }
  }

  #skewOf(server: ClockServer): number {
    return this.#clocks[server].skewOf(this.#now());
  }

  #error(server: ClockServer, skewMs: number): VideoError {
    const most = this.#options.startLimitMs / 1000;
    const off = `${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs < 0 ? 'behind' : 'ahead of'} ${SERVERS[server]}`;
    return new VideoError(
      FailureType.ConfigurationInvalid,
      `This machine's clock is ${off}; at most ${most} s are safe, because a lost purchase is found by its time`,
      { nextStep: "Set this machine's clock, preferably by NTP, and start the worker again." },
    );
  }
}
