import { ServerClock, type ServerMoment } from '../async/server-clock.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** Whose clocks this machine's is measured against, as messages name them. */
const SERVERS = { provider: "the provider's", store: "the asset store's", temporal: "Temporal's" } as const;
export type ClockServer = keyof typeof SERVERS;

/**
 * Milliseconds for which a difference must last to count: one server of a store, with a clock of its own, may answer
 * everything on a connection. Within them each of the other servers has usually answered, too: a poll of Temporal's
 * takes a minute, and is noticed half a minute later.
 */
const LASTS_MS = 120_000;

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

/** What is known of one server's clock. */
interface Watched {
  readonly clock: ServerClock;
  /** Monotonic milliseconds of the last measurement. */
  measuredMs: number;
  /** Monotonic milliseconds of the first of the measurements in a row that differ. */
  differsSinceMs: number | undefined;
  hasWarned: boolean;
}

/**
 * Measures this machine's clock against the servers that the worker talks to: lost submits are found by times, so a
 * worker with a wrong clock would take the task of another run for its own. A worker ends when its clock differs from
 * the store's or from Temporal's for two minutes, unless more of the other servers agree with it than differ in that
 * time. From the provider's alone it differs when the provider's is wrong, which no other worker changes, so that is
 * logged.
 */
export class ClockWatch {
  readonly #options: ClockWatchOptions;
  readonly #now: () => number;
  readonly #monotonicMs: () => number;
  readonly #servers: Readonly<Record<ClockServer, Watched>>;
  #started = false;
  #faulty = false;

  constructor(options: ClockWatchOptions) {
    const { now = Date.now, monotonicMs = () => performance.now() } = options;
    this.#options = options;
    this.#now = now;
    this.#monotonicMs = monotonicMs;
    const watched = (): Watched => ({
      clock: new ServerClock(monotonicMs),
      measuredMs: Number.NEGATIVE_INFINITY,
      differsSinceMs: undefined,
      hasWarned: false,
    });
    this.#servers = { provider: watched(), store: watched(), temporal: watched() };
  }

  /** Takes in a moment of a server's clock; judged once the worker has started. */
  observe(server: ClockServer, moment: ServerMoment): void {
    const watched = this.#servers[server];
    watched.clock.observe(moment);
    watched.measuredMs = this.#monotonicMs();
    if (this.#started) this.#judge(server, watched);
  }

  /**
   * Judges what was measured while the worker started, and every measurement from now on. A worker that only connects
   * again goes on being judged by its measurements: one wrong server must not end every worker whose certificate is
   * renewed.
   * @throws VideoError `ConfigurationInvalid` when this clock differs from any of the servers' at the start.
   */
  requireRightClock(): void {
    if (this.#started) return;
    this.#started = true;
    for (const server of Object.keys(SERVERS) as ClockServer[]) {
      const skewMs = this.#skewOf(server);
      if (Math.abs(skewMs) > this.#options.startLimitMs) throw this.#error(server, skewMs);
    }
  }

  #judge(server: ClockServer, watched: Watched): void {
    const { startLimitMs, driftLimitMs, onWarning, onFault } = this.#options;
    const skewMs = this.#skewOf(server);
    if (Math.abs(skewMs) <= startLimitMs) {
      watched.differsSinceMs = undefined;
      watched.hasWarned = false;
      return;
    }
    watched.differsSinceMs ??= watched.measuredMs;
    if (watched.measuredMs - watched.differsSinceMs < LASTS_MS || this.#faulty) return;
    const error = this.#error(server, skewMs);
    const isWrong = Math.abs(skewMs) > driftLimitMs && server !== 'provider';
    if (isWrong && !this.#isContradicted(server, watched.differsSinceMs, skewMs)) {
      this.#faulty = true;
      onFault(error);
    } else if (!watched.hasWarned) {
      watched.hasWarned = true;
      onWarning(error.message);
    }
  }

  /** Whether more of the other servers, as measured since the difference began, agree with this clock than differ. */
  #isContradicted(server: ClockServer, sinceMs: number, skewMs: number): boolean {
    const { startLimitMs } = this.#options;
    let [agreeing, differing] = [0, 0];
    for (const other of Object.keys(SERVERS) as ClockServer[]) {
      const { clock, measuredMs } = this.#servers[other];
      if (other === server || measuredMs < sinceMs) continue;
      const otherSkewMs = this.#skewOf(other);
      if (clock.isWithin(startLimitMs, this.#now())) agreeing += 1;
      else if (Math.abs(otherSkewMs) > startLimitMs && Math.sign(otherSkewMs) === Math.sign(skewMs)) differing += 1;
    }
    return agreeing > differing;
  }

  #skewOf(server: ClockServer): number {
    return this.#servers[server].clock.skewOf(this.#now());
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
