import { AsyncLocalStorage } from 'node:async_hooks';
import { FailureType } from '../contract/failure-type.js';
import { MODEL } from '../contract/model.js';
import { VideoError } from '../contract/video-error.js';
import type { ListTasksQuery } from '../dashscope/client.js';
import type { ListedTask, TaskPage, TaskSnapshot, TaskStatus } from '../dashscope/wire.js';
import {
  LIST_BOUND_MS,
  LIST_MARGIN_MS,
  LIST_PAGE_SIZE,
  ListSweep,
  SWEEP_EVERY_MS,
  type SweepCandidate,
} from './list-sweep.js';
import { withPlausibleTimes } from './plausible-times.js';
import { nextQueryDelay, POLL_TIMES, type PollTimes } from './poll-schedule.js';
import type { QueryBudget } from './query-budget.js';
import {
  type ActiveWatch,
  type PolledTask,
  RememberedWatches,
  type RenderEta,
  type TaskWatcher,
  type TaskWatcherOptions,
  type WatchLoad,
  type WatchOptions,
} from './watch.js';

/** From this many watched tasks on the first looks are put together, so that a list can answer them. */
const LARGE_FLEET = 10;
/** Time between such common first looks, in milliseconds: how late a stage may be shown as queued in a fleet. */
const LARGE_FLEET_LOOK_MS = 10_000;
/** Overdue by this much, a task that the list shows as running is queried now and then; in milliseconds. */
const OVERDUE_MS = 5_000;

const ENDED: ReadonlySet<TaskStatus> = new Set(['SUCCEEDED', 'FAILED', 'CANCELED']);

/**
 * Serves every watched task of this process from one budget. Tasks are asked in the order in which they became due, so
 * none starves; a task that cannot be asked delays no other one.
 */
export function createTaskWatcher(options: TaskWatcherOptions): TaskWatcher {
  return new Watcher(options);
}

class Watcher implements TaskWatcher {
  readonly #options: TaskWatcherOptions;
  readonly #times: PollTimes;
  readonly #budget: QueryBudget;
  readonly #sweep: ListSweep;
  readonly #watched = new Set<ActiveWatch>();
  readonly #remembered = new RememberedWatches();
  /** Calls a function as part of no step: what serves all watches belongs to none, in traces and logs. */
  readonly #asNobody = AsyncLocalStorage.snapshot();
  #isRunning = false;
  /** How far the provider's clock is ahead of ours, as the last answer showed it, in milliseconds. */
  #providerAheadMs = 0;
  /** Aborted when something changed that may be due earlier than what is slept for. */
  #wakeup = new AbortController();

  constructor(options: TaskWatcherOptions) {
    const { budget, clock, times } = options;
    this.#options = options;
    this.#times = { ...POLL_TIMES, ...times };
    this.#budget = budget;
    this.#sweep = new ListSweep(() => clock.monotonicMs());
  }

  watch(task: PolledTask, options: WatchOptions): Promise<TaskSnapshot> {
    const { signal } = options;
    const { clock } = this.#options;
    return new Promise<TaskSnapshot>((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const before = this.#remembered.take(task.taskId, clock.monotonicMs() - this.#times.patientMs);
      const one: ActiveWatch = {
        task,
        options,
        over: new AbortController(),
        asCaller: AsyncLocalStorage.snapshot(),
        isAsking: false,
        faults: 0,
        dueMs: 0,
        isUnlisted: false,
        isEndListed: false,
        submittedAtMs: task.submittedAtMs ?? clock.now(),
        ...(before ?? {
          phase: 'unseen',
          startedAtMs: undefined,
          createdAtMs: this.#createdAtMs(task),
          queriedMs: clock.monotonicMs(),
          listedMs: Number.NEGATIVE_INFINITY,
          listedOpenAtMs: undefined,
        }),
        resolve: (snapshot) => {
          if (snapshot.status === 'RUNNING') this.#remembered.add(one);
          this.#end(one, onAbort, () => resolve(snapshot));
        },
        reject: (reason) => this.#end(one, onAbort, () => reject(reason)),
      };
      if (before === undefined) one.dueMs = this.#firstLookMs(task);
      else this.#schedule(one);
      const onAbort = (): void => one.reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#watched.add(one);
      this.#wake();
      if (!this.#isRunning) void this.#asNobody(() => this.#run());
    });
  }

  eta(task: PolledTask): RenderEta {
    const { stats, clock } = this.#options;
    const { earliestMs, latestMs, samples } = stats.forecast(task);
    const nowMs = clock.now();
    const one =
      [...this.#watched].find((watched) => watched.task.taskId === task.taskId) ?? this.#remembered.get(task.taskId);
    const startedAtMs =
      one?.startedAtMs ?? (one?.phase === 'queued' ? nowMs : Math.min(nowMs, task.submittedAtMs ?? nowMs));
    const latestAtMs = Math.max(nowMs, startedAtMs + latestMs);
    return { earliestAtMs: Math.min(latestAtMs, Math.max(nowMs, startedAtMs + earliestMs)), latestAtMs, samples };
  }

  load(): WatchLoad {
    const count = (phase: ActiveWatch['phase']) => [...this.#watched].filter((one) => one.phase === phase).length;
    const tasks = { unseen: count('unseen'), queued: count('queued'), rendering: count('running') };
    return { tasks, share: this.#budget.share, allowed: this.#budget.rate() };
  }

  #end(one: ActiveWatch, onAbort: () => void, settle: () => void): void {
    if (!this.#watched.delete(one)) return;
    one.options.signal.removeEventListener('abort', onAbort);
    one.over.abort(one.options.signal.reason);
    settle();
    this.#wake();
  }

  #firstLookMs(task: PolledTask): number {
    const { clock, stats, random, list } = this.#options;
    const nowMs = clock.monotonicMs();
    if (task.submittedAtMs === undefined) return nowMs;
    const elapsedMs = clock.now() - task.submittedAtMs;
    const forecast = stats.forecast(task);
    const moment = { phase: 'unseen', elapsedMs, forecast, faults: 0, random: random() } as const;
    const dueMs = nowMs + nextQueryDelay(moment, this.#times);
    const isFleet = list !== undefined && this.#sweep.isAvailable() && this.#watched.size >= LARGE_FLEET;
    // A task that may be done soon is not kept waiting for its fellows.
    if (!isFleet || elapsedMs + 2 * LARGE_FLEET_LOOK_MS > forecast.earliestMs) return dueMs;
    return Math.ceil(dueMs / LARGE_FLEET_LOOK_MS) * LARGE_FLEET_LOOK_MS;
  }

  #createdAtMs({ submittedAtMs }: PolledTask): number | undefined {
    return submittedAtMs === undefined ? undefined : submittedAtMs + this.#providerAheadMs;
  }

  #wake(): void {
    this.#wakeup.abort();
  }

  /** Sends what is due, one request after the other, without waiting for answers; ends when nothing is watched. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    const { clock } = this.#options;
    while (this.#watched.size > 0) {
      const first = this.#firstDue();
      const nowMs = clock.monotonicMs();
      const readyMs = first === undefined ? Number.POSITIVE_INFINITY : Math.max(first.dueMs, this.#budget.nextMs());
      if (first === undefined || readyMs > nowMs) await this.#sleepUntil(readyMs, nowMs);
      else this.#send(first, nowMs);
    }
    this.#isRunning = false;
  }

  async #sleepUntil(readyMs: number, nowMs: number): Promise<void> {
    this.#wakeup = new AbortController();
    const { signal } = this.#wakeup;
    // An answer under way wakes this up; the minute is for a clock that was moved.
    await this.#options.clock.sleep(Math.min(Math.ceil(readyMs - nowMs), 60_000), signal).catch(() => undefined);
  }

  #firstDue(): ActiveWatch | undefined {
    let first: ActiveWatch | undefined;
    for (const one of this.#watched) {
      if (!one.isAsking && (first === undefined || one.dueMs < first.dueMs)) first = one;
    }
    return first;
  }

  #send(first: ActiveWatch, nowMs: number): void {
    const { list } = this.#options;
    const isListable = (one: ActiveWatch): boolean => !one.isAsking && !one.isEndListed && one.faults === 0;
    if (list !== undefined && isListable(first)) {
      const listable = [...this.#watched].filter(isListable).map((one) => this.#candidate(one));
      const group = this.#sweep.group(this.#candidate(first), listable);
      if (group.length > 0) {
        const listMs = this.#sweep.nextMs(group);
        if (nowMs < listMs) first.dueMs = listMs;
        else {
          void this.#list(
            list,
            group.map(({ one }) => one),
          );
        }
        return;
      }
    }
    void first.asCaller(() => this.#query(first));
  }

  #candidate(one: ActiveWatch): SweepCandidate & { readonly one: ActiveWatch } {
    const { dueMs, createdAtMs, listedMs, isUnlisted } = one;
    // Of a task that was never seen a list cannot hide anything yet.
    const queriedMs = one.phase === 'unseen' ? this.#options.clock.monotonicMs() : one.queriedMs;
    const { latestMs } = this.#options.stats.forecast(one.task);
    const isOverdue = one.phase === 'running' && this.#elapsedMs(one) > latestMs + OVERDUE_MS;
    return { one, dueMs, createdAtMs, queriedMs, listedMs, isUnlisted, isOverdue };
  }

  async #query(one: ActiveWatch): Promise<void> {
    const { query, clock } = this.#options;
    one.isAsking = true;
    const request = this.#budget.begin();
    try {
      const snapshot = await query(one.task.taskId, { signal: one.over.signal });
      this.#budget.answered(request);
      one.queriedMs = clock.monotonicMs();
      one.isUnlisted = false;
      if (this.#watched.has(one)) this.#queried(one, snapshot);
    } catch (error) {
      const isShared = this.#budget.settleFault(request, error);
      // A fault of all keeps the task's place in the order; its own puts it back.
      if (!isShared) one.faults += 1;
      if (this.#watched.has(one)) {
        if (!isShared) this.#schedule(one, error instanceof VideoError ? error.retryAfterMs : undefined);
        this.#notify(one, () => one.options.onFault?.(error));
      }
    } finally {
      one.isAsking = false;
      this.#wake();
    }
  }

  #queried(one: ActiveWatch, look: TaskSnapshot): void {
    const { submittedAtMs } = one.task;
    const { clock, onOddity } = this.#options;
    const snapshot =
      submittedAtMs === undefined ? look : withPlausibleTimes(look, { submittedAtMs, nowMs: clock.now(), onOddity });
    const { status, submitTimeMs, scheduledTimeMs, endTimeMs } = snapshot;
    one.faults = status === 'UNKNOWN' ? one.faults + 1 : 0;
    one.createdAtMs = submitTimeMs ?? one.createdAtMs;
    if (submittedAtMs === undefined && submitTimeMs !== undefined) {
      one.submittedAtMs = Math.min(one.submittedAtMs, submitTimeMs);
    }
    // Our clock and the provider's may differ: the submit is known by both.
    const aheadMs = submittedAtMs === undefined || submitTimeMs === undefined ? 0 : submitTimeMs - submittedAtMs;
    if (submittedAtMs !== undefined) this.#providerAheadMs = aheadMs;
    this.#follow(one, status, scheduledTimeMs === undefined ? undefined : scheduledTimeMs - aheadMs);
    if (ENDED.has(status)) this.#judgeList(one, endTimeMs === undefined ? undefined : endTimeMs - aheadMs);
    else if (one.isEndListed) one.isUnlisted = true; // the list is ahead of the truth: leave it out once
    one.isEndListed = false;
    if (status === 'SUCCEEDED' && scheduledTimeMs !== undefined && endTimeMs !== undefined) {
      this.#options.stats.learn(one.task, { endedAtMs: endTimeMs, renderMs: endTimeMs - scheduledTimeMs });
    }
    this.#schedule(one);
    this.#deliver(one, snapshot);
  }

  #judgeList(one: ActiveWatch, endedAtMs: number | undefined): void {
    if (one.listedOpenAtMs === undefined || endedAtMs === undefined) return;
    this.#sweep.ended(one.listedOpenAtMs - endedAtMs, one.isEndListed);
  }

  /** Takes a status over into the phase, and the start of rendering by our clock when it is known. */
  #follow(one: ActiveWatch, status: TaskStatus, startedAtMs: number | undefined): void {
    // A task does not go back: a list that says so is behind.
    if (status === 'PENDING' && one.phase === 'unseen') one.phase = 'queued';
    if (status !== 'RUNNING') return;
    one.phase = 'running';
    const nowMs = this.#options.clock.now();
    one.startedAtMs = Math.min(nowMs, startedAtMs ?? one.startedAtMs ?? nowMs);
  }

  #deliver(one: ActiveWatch, snapshot: TaskSnapshot): void {
    this.#notify(one, () => {
      if (one.options.shouldStop?.(snapshot) === true || ENDED.has(snapshot.status)) one.resolve(snapshot);
    });
  }

  #notify(one: ActiveWatch, call: () => void): void {
    try {
      call();
    } catch (error) {
      one.reject(error);
    }
  }

  #schedule(one: ActiveWatch, retryAfterMs?: number): void {
    const { clock, stats, random } = this.#options;
    const { phase, faults } = one;
    const forecast = stats.forecast(one.task);
    const elapsedMs = this.#elapsedMs(one);
    const delay = nextQueryDelay({ phase, elapsedMs, forecast, faults, retryAfterMs, random: random() }, this.#times);
    // A task that was looked at and says nothing, such as an unknown one, is not asked again at once.
    one.dueMs = clock.monotonicMs() + Math.max(delay, this.#times.tightMinMs);
  }

  #elapsedMs({ startedAtMs, submittedAtMs }: ActiveWatch): number {
    return this.#options.clock.now() - (startedAtMs ?? submittedAtMs);
  }

  async #list(list: (query: ListTasksQuery) => Promise<TaskPage>, group: readonly ActiveWatch[]): Promise<void> {
    for (const one of group) one.isAsking = true;
    const created = group.flatMap(({ createdAtMs }) => createdAtMs ?? []);
    const query = {
      modelName: MODEL,
      pageSize: LIST_PAGE_SIZE,
      startMs: Math.min(...created) - LIST_MARGIN_MS,
      endMs: Math.max(...created) + LIST_MARGIN_MS,
    };
    const missing = new Map<string, ActiveWatch[]>();
    for (const one of group) missing.set(one.task.taskId, [...(missing.get(one.task.taskId) ?? []), one]);
    const { clock } = this.#options;
    const [late, done] = [new AbortController(), new AbortController()];
    void clock.sleep(LIST_BOUND_MS, done.signal).then(
      () => late.abort(new Error('The list took too long')),
      () => undefined,
    );
    let request = this.#budget.begin();
    try {
      for (let pageNo = 1; ; pageNo += 1) {
        const page = await list({ ...query, pageNo, signal: late.signal });
        this.#budget.answered(request);
        for (const row of page.tasks) {
          for (const one of missing.get(row.taskId) ?? []) this.#listed(one, row);
          missing.delete(row.taskId);
        }
        if (pageNo >= page.totalPages || !this.#sweep.wantsPage(missing.size)) break;
        request = this.#budget.begin();
      }
      const unlisted = [...missing.values()].flat();
      for (const one of unlisted) one.isUnlisted = true;
      // A list may show a task late; one that has none of several running ones reads its filter in another time zone.
      const isBlind = unlisted.length === group.length && group.every(({ phase }) => phase === 'running');
      if (isBlind) this.#sweep.failed(undefined);
    } catch (error) {
      // A refused list says nothing about the key: only the queries do.
      if (error instanceof VideoError && error.type === FailureType.ProviderThrottled) {
        this.#budget.throttled(request, error.retryAfterMs);
      } else {
        this.#budget.failed(request);
        this.#sweep.failed(error);
      }
    } finally {
      done.abort();
      for (const one of group) one.isAsking = false;
      this.#wake();
    }
  }

  #listed(one: ActiveWatch, row: ListedTask): void {
    if (!this.#watched.has(one)) return;
    const { clock } = this.#options;
    const { taskId, status, createdAtMs, startedAtMs } = row;
    if (ENDED.has(status) || status === 'UNKNOWN') {
      one.isEndListed = true;
      one.dueMs = Number.NEGATIVE_INFINITY; // its query is the next request
      return;
    }
    const { submittedAtMs } = one.task;
    const aheadMs = submittedAtMs === undefined || createdAtMs === undefined ? 0 : createdAtMs - submittedAtMs;
    // What a query said about the start is not replaced: the list's clock may be another one.
    this.#follow(one, status, one.startedAtMs ?? (startedAtMs === undefined ? undefined : startedAtMs - aheadMs));
    one.listedMs = clock.monotonicMs();
    one.listedOpenAtMs = clock.now();
    this.#schedule(one);
    // Another task more costs a list nothing, so a wide forecast is no reason to look more rarely.
    if (one.dueMs - one.listedMs <= 1.1 * this.#times.tightMaxMs) one.dueMs = one.listedMs + SWEEP_EVERY_MS;
    this.#deliver(one, {
      taskId,
      status,
      submitTimeMs: createdAtMs,
      scheduledTimeMs: startedAtMs,
      requestId: undefined,
    });
  }
}
