import type { Clock } from '../../src/async/clock.js';
import { FailureType } from '../../src/contract/failure-type.js';
import { MODEL } from '../../src/contract/model.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { ListTasksQuery } from '../../src/dashscope/client.js';
import type { TaskPage, TaskSnapshot, TaskStatus } from '../../src/dashscope/wire.js';
import {
  type Forecast,
  forecastOf,
  guessForecast,
  type RenderKind,
  type RenderSample,
} from '../../src/polling/forecast.js';
import type { RenderTimes } from '../../src/polling/render-times.js';

/** Numbers in 0..1 that are the same in every run (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Timer {
  readonly atMs: number;
  readonly fire: () => void;
}

/** A clock that jumps from timer to timer: hours pass in milliseconds, in the same order every time. */
export class SimulatedClock implements Clock {
  #nowMs = Date.UTC(2026, 0, 1);
  #timers: Timer[] = [];

  now(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs - Date.UTC(2025, 11, 31);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#timers = this.#timers.filter((one) => one !== timer);
        reject(signal?.reason);
      };
      const timer = {
        atMs: this.#nowMs + Math.max(0, ms),
        fire: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      this.#timers.push(timer);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  at(atMs: number, fire: () => void): void {
    this.#timers.push({ atMs, fire });
  }

  /** Lets time pass until `done`, or for `forMs`. */
  async run(done: () => boolean, forMs = Number.POSITIVE_INFINITY): Promise<void> {
    const endMs = this.#nowMs + forMs;
    for (;;) {
      await new Promise(setImmediate); // every promise that can settle now has settled
      if (done()) return;
      let next: Timer | undefined;
      for (const timer of this.#timers) if (next === undefined || timer.atMs < next.atMs) next = timer;
      if (next === undefined && forMs === Number.POSITIVE_INFINITY) throw new Error('nothing will ever happen again');
      if (next === undefined || next.atMs > endMs) {
        this.#nowMs = endMs;
        return;
      }
      const due = next;
      this.#timers = this.#timers.filter((one) => one !== due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.fire();
    }
  }
}

export interface SimulatedTask {
  readonly taskId: string;
  readonly createdMs: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly end: TaskStatus;
}

/** What goes wrong at the simulated provider at this moment. */
export interface Troubles {
  /** Requests per second, over a sliding second, of queries and of lists. */
  rate: number;
  throttled: boolean;
  retryAfterMs: number | undefined;
  keyRefused: boolean;
  listRefused: boolean;
  /** A list is never answered. */
  listHangs: boolean;
  listStaleMs: number;
  /** The list shows tasks of this age and older only. */
  listLagMs: number;
  /** How far the provider's clock is ahead of ours. */
  clockAheadMs: number;
  queryFault: ((taskId: string) => Error | undefined) | undefined;
}

/** A provider in simulated time that keeps a log of what it was asked. */
export class SimulatedProvider {
  readonly tasks = new Map<string, SimulatedTask>();
  readonly log: {
    readonly atMs: number;
    readonly kind: 'query' | 'list';
    readonly taskId?: string;
    refused: boolean;
  }[] = [];
  readonly troubles: Troubles = {
    rate: 20,
    throttled: false,
    retryAfterMs: undefined,
    keyRefused: false,
    listRefused: false,
    listHangs: false,
    listStaleMs: 0,
    listLagMs: 0,
    clockAheadMs: 0,
    queryFault: undefined,
  };
  readonly #clock: SimulatedClock;
  readonly #random: () => number;

  constructor(clock: SimulatedClock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  create(taskId: string, renderMs: number, { queuedMs = 40, end = 'SUCCEEDED' as TaskStatus } = {}): SimulatedTask {
    const createdMs = this.#clock.now();
    const startMs = createdMs + queuedMs;
    const task = { taskId, createdMs, startMs, endMs: startMs + renderMs, end };
    this.tasks.set(taskId, task);
    return task;
  }

  readonly query = async (taskId: string, { signal }: { readonly signal?: AbortSignal }): Promise<TaskSnapshot> => {
    await this.#enter('query', taskId, signal);
    const fault = this.troubles.queryFault?.(taskId);
    if (fault !== undefined) throw fault;
    const task = this.tasks.get(taskId);
    if (task === undefined) return { taskId, status: 'UNKNOWN', requestId: 'r' };
    const status = statusAt(task, this.#clock.now());
    const ahead = this.troubles.clockAheadMs;
    const snapshot: TaskSnapshot = {
      taskId,
      status,
      requestId: 'r',
      submitTimeMs: task.createdMs + ahead,
      ...(status !== 'PENDING' && { scheduledTimeMs: task.startMs + ahead }),
      ...(status === task.end && { endTimeMs: task.endMs + ahead }),
    };
    await this.#clock.sleep(25, signal);
    return snapshot;
  };

  readonly list = async ({
    startMs = 0,
    endMs = Number.MAX_VALUE,
    pageNo,
    pageSize,
    signal,
  }: ListTasksQuery): Promise<TaskPage> => {
    await this.#enter('list', undefined, signal);
    if (this.troubles.listHangs) await this.#clock.sleep(Number.MAX_SAFE_INTEGER, signal);
    if (this.troubles.listRefused) throw new VideoError(FailureType.CredentialsRejected, 'the list is refused');
    const { clockAheadMs: ahead, listStaleMs, listLagMs } = this.troubles;
    const rows = [...this.tasks.values()]
      .filter(({ createdMs }) => createdMs + ahead >= startMs && createdMs + ahead <= endMs)
      .filter(({ createdMs }) => this.#clock.now() - createdMs >= listLagMs)
      .reverse()
      .map((task) => ({
        taskId: task.taskId,
        status: statusAt(task, this.#clock.now() - listStaleMs),
        modelName: MODEL,
        createdAtMs: task.createdMs + ahead,
        startedAtMs: task.startMs + ahead,
      }));
    await this.#clock.sleep(25, signal);
    return {
      tasks: rows.slice((pageNo - 1) * pageSize, pageNo * pageSize),
      total: rows.length,
      pageNo,
      unreadable: 0,
      totalPages: Math.ceil(rows.length / pageSize),
    };
  };

  async #enter(kind: 'query' | 'list', taskId: string | undefined, signal: AbortSignal | undefined): Promise<void> {
    await this.#clock.sleep(20 + 10 * this.#random(), signal);
    const atMs = this.#clock.now();
    const entry = { atMs, kind, refused: false, ...(taskId !== undefined && { taskId }) };
    this.log.push(entry);
    const { rate, throttled, retryAfterMs, keyRefused } = this.troubles;
    const passed = this.log.filter((one) => one.kind === kind && !one.refused && one.atMs > atMs - 1000).length;
    if (throttled || passed > rate) {
      entry.refused = true;
      throw new VideoError(FailureType.ProviderThrottled, 'slower', { retryable: true, retryAfterMs });
    }
    if (keyRefused) throw new VideoError(FailureType.CredentialsRejected, 'no such key');
  }
}

function statusAt({ startMs, endMs, end }: SimulatedTask, nowMs: number): TaskStatus {
  if (nowMs < startMs) return 'PENDING';
  return nowMs < endMs ? 'RUNNING' : end;
}

/** Render times in memory. */
export class MemoryRenderTimes implements RenderTimes {
  readonly samples: RenderSample[] = [];
  #forecast: Forecast | undefined;

  forecast(kind: RenderKind): Forecast {
    return this.#forecast ?? guessForecast(kind, []);
  }

  learn(_kind: RenderKind, sample: RenderSample): void {
    this.samples.push(sample);
    this.#forecast = forecastOf(this.samples);
  }
}

export const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? Number.NaN;

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Most entries within any window of one second. */
export function busiestSecond(atMs: readonly number[]): number {
  return Math.max(0, ...atMs.map((start) => atMs.filter((at) => at >= start && at < start + 1000).length));
}
