import { createHash } from 'node:crypto';
import type { Client, Connection } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { connectClient, temporalUnreachable } from '../client/connect.js';
import { findConnectFault } from '../client/connect-fault.js';
import { addressOf, type TemporalTarget } from '../client/temporal-target.js';
import type { Times } from '../config/times.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import type { ClockWatch } from './clock-watch.js';
import { findStoreFault, lastPollMs } from './health.js';
import { logNow } from './logger.js';
import type { StepCount } from './purchase-monitor.js';

/** Temporal's time of a poll is used in whole seconds. */
const POLL_TIME_UNIT_MS = 1_000;

export interface WorkerWatchOptions {
  readonly client: Client;
  readonly connection: NativeConnection;
  readonly taskQueue: string;
  /** By which Temporal names this worker's polls. */
  readonly identity: string;
  readonly temporal: TemporalTarget;
  /** Reads address and credentials again; undefined where they cannot change. */
  readonly readTemporal: (() => Promise<TemporalTarget>) | undefined;
  readonly store: AssetStore;
  /** What this worker does: one without work does not ask the store. */
  readonly steps: () => StepCount;
  readonly clocks: ClockWatch;
  readonly times: Pick<Times, 'watchEveryMs' | 'temporalAwayMs' | 'storeRefusedMs' | 'connectTemporalMs'>;
  /** Called when connections must be opened again, with what the new ones are opened with. */
  readonly onNewTarget: (target: TemporalTarget) => void;
  /** Called when the worker cannot go on. */
  readonly onFault: (error: VideoError) => void;
}

/**
 * Watches what changes below a running worker: renewed credentials of Temporal are used at once, and what cannot be
 * used ends the worker with the reason, instead of leaving a process that does no work.
 * @returns stops it.
 */
export function watchWorker(options: WorkerWatchOptions): () => void {
  const { times } = options;
  const watch = new WorkerWatch(options);
  let timer: NodeJS.Timeout;
  let stopped = false;
  const look = async (): Promise<void> => {
    await watch.look();
    if (!stopped) timer = setTimeout(look, times.watchEveryMs).unref();
  };
  timer = setTimeout(look, times.watchEveryMs).unref();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

class WorkerWatch {
  readonly #options: WorkerWatchOptions;
  #temporal: TemporalTarget;
  /** Monotonic milliseconds since when Temporal does not answer, and the store refuses us. */
  #temporalAwaySince: number | undefined;
  #storeRefusedSince: number | undefined;
  /** The last look at the polls: when it was sent, and the time of the newest poll that Temporal had seen by then. */
  #polls: { readonly sentMs: number; readonly newestMs: number } | undefined;
  /** Steps that had begun at the last look at the store; undefined before the first one. */
  #stepsSeen: number | undefined;

  constructor(options: WorkerWatchOptions) {
    this.#options = options;
    this.#temporal = options.temporal;
  }

  /** Looks once; never rejects. */
  async look(): Promise<void> {
    await Promise.all([this.#lookAtTemporal(), this.#lookAtStore()]).catch((error: unknown) =>
      logNow('WARN', 'The worker could not look at its servers', { error }),
    );
  }

  async #lookAtTemporal(): Promise<void> {
    await this.#renewCredentials();
    const { client, taskQueue, identity, times, onFault } = this.#options;
    const sentMs = performance.now();
    try {
      const polledMs = await lastPollMs(client, taskQueue, identity);
      this.#temporalAwaySince = undefined;
      this.#observePoll(polledMs ?? 0, sentMs);
    } catch (cause) {
      this.#temporalAwaySince ??= sentMs;
      const awayMs = performance.now() - this.#temporalAwaySince;
      if (awayMs < times.temporalAwayMs) return;
      const target = this.#temporal;
      const fault = await findConnectFault(addressOf(target), target);
      onFault(temporalUnreachable(target, cause, fault));
    }
  }

  /**
   * Learns Temporal's time from a poll that is new: it began after the last look. How long ago the poll of an earlier
   * look began is not known, because a worker whose places are all taken does not poll.
   */
  #observePoll(polledMs: number, sentMs: number): void {
    const before = this.#polls;
    this.#polls = { sentMs, newestMs: Math.max(polledMs, before?.newestMs ?? 0) };
    if (before === undefined || polledMs <= before.newestMs) return;
    this.#options.clocks.observe('temporal', {
      earliestMs: polledMs,
      latestMs: polledMs + POLL_TIME_UNIT_MS,
      sentMs: before.sentMs,
      answeredMs: performance.now(),
    });
  }

  /** Uses a renewed API key at once; everything else that changed needs new connections. */
  async #renewCredentials(): Promise<void> {
    const { readTemporal, client, connection, times, onNewTarget } = this.#options;
    if (readTemporal === undefined) return;
    let read: TemporalTarget;
    try {
      read = await readTemporal();
    } catch (error) {
      // Half of a pair of files may be written already: the next look reads it again.
      logNow('WARN', "Temporal's renewed settings cannot be read yet", { error });
      return;
    }
    const { payloadCodec, dataConverter } = this.#temporal;
    const target = { ...read, payloadCodec, dataConverter };
    if (fingerprintOf(target) === fingerprintOf(this.#temporal)) return;
    const { apiKey } = target.connection as { apiKey?: string };
    const isKeyAlone = fingerprintOf(withoutKey(target)) === fingerprintOf(withoutKey(this.#temporal));
    if (isKeyAlone && apiKey !== undefined) {
      (client.connection as Connection).setApiKey(apiKey);
      await connection.setApiKey(apiKey);
      this.#temporal = target;
      logNow('INFO', "Temporal's API key was renewed and is used from now on");
      return;
    }
    try {
      const trial = await connectClient(target, { timeoutMs: times.connectTemporalMs });
      await trial.connection.close();
    } catch (error) {
      logNow('WARN', "Temporal's renewed settings do not work yet; the earlier ones stay in use", { error });
      return;
    }
    this.#temporal = target;
    logNow('INFO', "Temporal's settings were renewed; the worker connects again");
    onNewTarget(target);
  }

  async #lookAtStore(): Promise<void> {
    const { store, steps, times, onFault } = this.#options;
    const { begun, running } = steps();
    if (this.#stepsSeen === begun && running === 0 && this.#storeRefusedSince === undefined) return;
    this.#stepsSeen = begun;
    const fault = await findStoreFault(store);
    // A store that is away comes back; one that refuses us does so until somebody changes something.
    if (fault?.type !== FailureType.ConfigurationInvalid) {
      this.#storeRefusedSince = undefined;
      return;
    }
    this.#storeRefusedSince ??= performance.now();
    if (performance.now() - this.#storeRefusedSince < times.storeRefusedMs) return;
    const minutes = Math.round(times.storeRefusedMs / 60_000);
    onFault(
      new VideoError(FailureType.ConfigurationInvalid, `${fault.message}, and has done so for ${minutes} min`, {
        cause: fault,
        nextStep:
          `${fault.nextStep ?? ''} A credentials file is read again by itself; variables need a restart.`.trim(),
      }),
    );
  }
}

const withoutKey = ({ connection, ...target }: TemporalTarget): TemporalTarget => {
  const { apiKey: _, ...others } = connection as { apiKey?: unknown };
  return { ...target, connection: others };
};

/** Identifies what a connection is opened with; a hash, because it holds keys. */
function fingerprintOf({ payloadCodec: _codec, dataConverter: _converter, proxy, ...target }: TemporalTarget): string {
  const text = JSON.stringify({ ...target, proxy: proxy?.href });
  return createHash('sha256').update(text).digest('hex');
}
