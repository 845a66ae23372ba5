import { type Clock, DAY } from './clock.js';
import type { EmulatorSettings } from './settings.js';
import { type EmulatorTask, type EmulatorTaskStatus, isOver, makeTask, type TaskSpec } from './task.js';
import type { TaskChange } from './task-control.js';
import { ApiError } from './wire.js';

/** What a client may narrow the list by; times in epoch milliseconds. */
export interface TaskFilter {
  account: string;
  from: number;
  to: number;
  task_id?: string | undefined;
  model_name?: string | undefined;
  status?: string | undefined;
  api_key_id?: string | undefined;
}

/** A task as the list sees it, which may be behind. */
export interface ListedTask {
  readonly task: EmulatorTask;
  readonly status: EmulatorTaskStatus;
}

/** The documents show 38 and 42 ms between submit and start when a slot is free. */
const QUEUE_MS = 40;

/** All tasks and the clockwork that starts and ends them. No I/O; whoever owns it writes the state when `changed` is called. */
export class TaskRegistry {
  readonly #byId = new Map<string, EmulatorTask>();
  /** Tasks that are not over, by account and in the order of their submits: the clockwork looks at nothing else. */
  readonly #open = new Map<string, EmulatorTask[]>();
  readonly #now: Clock;
  readonly #settings: () => EmulatorSettings;
  readonly #changed: () => void;

  constructor(now: Clock, settings: () => EmulatorSettings, changed: () => void) {
    this.#now = now;
    this.#settings = settings;
    this.#changed = changed;
  }

  /** Every task, oldest submit first. */
  all(): EmulatorTask[] {
    return [...this.#byId.values()];
  }

  /** The task whoever asks, whatever was forgotten. */
  get(taskId: string): EmulatorTask | undefined {
    return this.#byId.get(taskId);
  }

  /** Takes over the tasks of an earlier process. */
  restore(tasks: readonly EmulatorTask[]): void {
    this.clear();
    for (const task of tasks) this.#add(task);
  }

  clear(): void {
    this.#byId.clear();
    this.#open.clear();
  }

  /** Replays starts and ends up to now, in order; no task starts before `earliest`. Returns now. */
  advance(earliest = 0): number {
    const t = this.#now();
    let changed = false;
    for (const [account, open] of this.#open) {
      if (!this.#advanceAccount(open, t, earliest)) continue;
      changed = true;
      this.#open.set(
        account,
        open.filter((task) => !isOver(task)),
      );
    }
    if (changed) this.#changed();
    return t;
  }

  #advanceAccount(open: EmulatorTask[], t: number, earliest: number): boolean {
    let changed = false;
    let free = this.#settings().slots - open.filter(occupies).length;
    let moment = earliest; // when the latest slot became free
    for (;;) {
      const next = free > 0 ? open.find((task) => task.status === 'PENDING' && task.start_ms === null) : undefined;
      if (next !== undefined) {
        next.start_ms = Math.max(next.submit_ms + this.#scaled(QUEUE_MS), moment);
        next.end_ms = next.start_ms + this.#scaled(next.render_ms);
        free--;
        changed = true;
        continue;
      }
      const [ending] = open
        .filter((task) => occupies(task) && (task.end_ms ?? Number.POSITIVE_INFINITY) <= t)
        .sort((a, b) => (a.end_ms ?? 0) - (b.end_ms ?? 0));
      if (ending === undefined) break;
      moment = Math.max(earliest, ending.end_ms ?? t);
      ending.status = ending.failure === null ? 'SUCCEEDED' : 'FAILED';
      ending.billed_seconds = ending.failure === null ? ending.duration : 0; // failures are free
      free++;
      changed = true;
    }
    for (const task of open) {
      if (task.status !== 'PENDING' || task.start_ms === null || task.start_ms > t) continue;
      task.status = 'RUNNING';
      changed = true;
    }
    return changed;
  }

  /** A task that this account may see: for 24 h after its end, unless it was forgotten. */
  find(taskId: string, account: string): EmulatorTask | undefined {
    const t = this.advance();
    const task = this.#byId.get(taskId);
    return task?.account === account && isKnown(task, t) ? task : undefined;
  }

  /** What the list shows, oldest submit first. */
  list(filter: TaskFilter): ListedTask[] {
    const t = this.advance();
    const { list_lag_ms, list_skew_ms, list_stale_ms } = this.#settings();
    const wanted = (value: string | undefined, actual: string): boolean => !value || value === actual;
    return this.all()
      .filter((task) => {
        const at = task.submit_ms + list_skew_ms;
        return (
          task.account === filter.account &&
          isKnown(task, t) &&
          at >= filter.from &&
          Math.floor(at / 1000) * 1000 <= filter.to && // the filter knows whole seconds
          task.submit_ms + list_lag_ms <= t &&
          wanted(filter.task_id, task.task_id) &&
          wanted(filter.model_name, task.model) &&
          wanted(filter.api_key_id, task.api_key_id)
        );
      })
      .map((task) => ({ task, status: statusAt(task, t - list_stale_ms) }))
      .filter(({ status }) => wanted(filter.status, status));
  }

  /** Whether a submit of this account would have to wait for a slot. */
  isFull(account: string): boolean {
    this.advance();
    return (this.#open.get(account) ?? []).length >= this.#settings().slots;
  }

  create(spec: TaskSpec): EmulatorTask {
    const task = makeTask(spec, this.#settings(), this.advance(), this.#byId.size);
    this.#add(task);
    this.advance();
    this.#changed();
    return task;
  }

  /** The client's cancel. @throws ApiError 400 unless the task is PENDING. */
  cancel(task: EmulatorTask | undefined): void {
    if (task?.status !== 'PENDING') {
      const message = 'Failed to cancel the task, please confirm if the task is in PENDING status.';
      throw new ApiError(400, 'UnsupportedOperation', message);
    }
    this.change(task, { status: 'CANCELED' });
  }

  /** Ends, forgets or remembers a task. @throws ApiError 400 when a task that is over should end again. */
  change(task: EmulatorTask, change: TaskChange): void {
    const t = this.advance();
    const { status, code, message, forgotten } = change;
    if (forgotten !== undefined) task.forgotten = forgotten;
    if (status !== undefined) {
      if (isOver(task)) throw new ApiError(400, 'InvalidParameter', `the task is ${task.status} already`);
      if (status === 'CANCELED') {
        task.status = 'CANCELED';
        if (task.start_ms !== null && task.start_ms > t) task.start_ms = null;
      } else {
        task.failure =
          status === 'SUCCEEDED'
            ? null
            : { ...(code !== undefined && { code }), ...(message !== undefined && { message }) };
        task.start_ms = Math.min(task.start_ms ?? t, t);
      }
      task.end_ms = t;
      this.#dropOver(task.account);
      this.advance(t);
    }
    this.#changed();
  }

  /** Applies a new speed to what remains of every running task. */
  rescale(before: number, after: number): void {
    const t = this.#now();
    const rescaled = (at: number): number => (at <= t ? at : t + Math.round(((at - t) * before) / after));
    for (const task of [...this.#open.values()].flat()) {
      if (task.start_ms !== null) task.start_ms = rescaled(task.start_ms);
      if (task.end_ms !== null) task.end_ms = rescaled(task.end_ms);
    }
  }

  #add(task: EmulatorTask): void {
    this.#byId.set(task.task_id, task);
    if (isOver(task)) return;
    const open = this.#open.get(task.account);
    if (open === undefined) this.#open.set(task.account, [task]);
    else open.push(task);
  }

  #dropOver(account: string): void {
    const open = this.#open.get(account) ?? [];
    this.#open.set(
      account,
      open.filter((task) => !isOver(task)),
    );
  }

  #scaled(ms: number): number {
    return Math.round(ms / this.#settings().speed);
  }
}

function occupies(task: EmulatorTask): boolean {
  return task.status === 'RUNNING' || (task.status === 'PENDING' && task.start_ms !== null);
}

function isKnown(task: EmulatorTask, t: number): boolean {
  const since = isOver(task) ? (task.end_ms ?? task.submit_ms) : task.submit_ms;
  return !task.forgotten && t - since <= DAY;
}

/** The status that the task had at an earlier time. */
function statusAt(task: EmulatorTask, t: number): EmulatorTaskStatus {
  if (isOver(task) && (task.end_ms ?? 0) <= t) return task.status;
  if (task.status === 'PENDING' || task.start_ms === null || task.start_ms > t) return 'PENDING';
  return 'RUNNING';
}
