import { type Clock, DAY } from './clock.js';
import type { EmulatorSettings } from './settings.js';
import { createTask, type EmulatorTask, hasEnded, type TaskSpec } from './task.js';
import type { TaskChange } from './task-control.js';
import type { EmulatorTaskStatus } from './task-status.js';
import { ApiError } from './wire.js';

/** Filter of the list; times in epoch milliseconds. */
interface TaskFilter {
  account: string;
  from: number;
  to: number;
  task_id?: string | undefined;
  model_name?: string | undefined;
  status?: string | undefined;
  api_key_id?: string | undefined;
}

/** A row of the list, whose status may be out of date. */
export interface ListedTask {
  readonly task: EmulatorTask;
  readonly status: EmulatorTaskStatus;
}

/** The documents show 38 and 42 ms between submit and start when a slot is free. */
const QUEUE_MS = 40;

/**
 * All tasks. Each call first lets the tasks start and end that are due by now. There is no timer and no I/O; the owner
 * saves the state when `onChange` is called.
 */
export class TaskRegistry {
  readonly #byId = new Map<string, EmulatorTask>();
  /** Tasks that have not ended, by account and in the order of their submits. */
  readonly #open = new Map<string, EmulatorTask[]>();
  readonly #now: Clock;
  readonly #settings: () => EmulatorSettings;
  readonly #onChange: () => void;

  constructor(now: Clock, settings: () => EmulatorSettings, onChange: () => void) {
    this.#now = now;
    this.#settings = settings;
    this.#onChange = onChange;
  }

  /** Returns every task, oldest submit first. */
  all(): EmulatorTask[] {
    return [...this.#byId.values()];
  }

  /** Returns a task of any account, forgotten or not. */
  get(taskId: string): EmulatorTask | undefined {
    return this.#byId.get(taskId);
  }

  /** Returns a task that the account can query: until 24 h after its end, unless it is forgotten. */
  find(taskId: string, account: string): EmulatorTask | undefined {
    const t = this.advance();
    const task = this.#byId.get(taskId);
    return task?.account === account && isKnown(task, t) ? task : undefined;
  }

  /** Returns the rows of the list, oldest submit first. */
  list(filter: TaskFilter): ListedTask[] {
    const t = this.advance();
    const { list_lag_ms, list_skew_ms, list_stale_ms } = this.#settings();
    const matches = (wanted: string | undefined, actual: string): boolean => !wanted || wanted === actual;
    return this.all()
      .filter((task) => {
        const at = task.submit_ms + list_skew_ms;
        return (
          task.account === filter.account &&
          isKnown(task, t) &&
          at >= filter.from &&
          Math.floor(at / 1000) * 1000 <= filter.to && // The filter has a resolution of one second.
          task.submit_ms + list_lag_ms <= t &&
          matches(filter.task_id, task.task_id) &&
          matches(filter.model_name, task.model) &&
          matches(filter.api_key_id, task.api_key_id)
        );
      })
      .map((task) => ({ task, status: statusAt(task, t - list_stale_ms) }))
      .filter(({ status }) => matches(filter.status, status));
  }

  /** Whether one more task of the account would have to wait for a slot. */
  isFull(account: string): boolean {
    this.advance();
    return (this.#open.get(account) ?? []).length >= this.#settings().slots;
  }

  create(spec: TaskSpec): EmulatorTask {
    const task = createTask(spec, this.#settings(), this.advance(), this.#byId.size);
    this.#add(task);
    this.advance();
    this.#onChange();
    return task;
  }

  /** Cancels a task for its client. @throws ApiError 400 unless it is PENDING. */
  cancel(task: EmulatorTask | undefined): void {
    if (task?.status !== 'PENDING') {
      const message = 'Failed to cancel the task, please confirm if the task is in PENDING status.';
      throw new ApiError(400, 'UnsupportedOperation', message);
    }
    this.change(task, { status: 'CANCELED' });
  }

  /** Ends, forgets or remembers a task. @throws ApiError 400 to end a task that has ended. */
  change(task: EmulatorTask, change: TaskChange): void {
    const t = this.advance();
    const { status, code, message, forgotten } = change;
    if (forgotten !== undefined) task.forgotten = forgotten;
    if (status !== undefined) {
      if (hasEnded(task)) throw new ApiError(400, 'InvalidParameter', `the task is ${task.status} already`);
      if (status === 'CANCELED') {
        task.status = 'CANCELED';
        if (task.start_ms !== null && task.start_ms > t) task.start_ms = null;
      } else {
        const failure = { ...(code !== undefined && { code }), ...(message !== undefined && { message }) };
        task.failure = status === 'SUCCEEDED' ? null : failure;
        task.start_ms = Math.min(task.start_ms ?? t, t);
      }
      task.end_ms = t;
      this.#dropEnded(task.account);
      this.advance(t);
    }
    this.#onChange();
  }

  /** Applies a new speed to the remaining time of every task that is scheduled. */
  rescale(oldSpeed: number, newSpeed: number): void {
    const t = this.#now();
    const rescaled = (at: number): number => (at <= t ? at : t + Math.round(((at - t) * oldSpeed) / newSpeed));
    for (const task of [...this.#open.values()].flat()) {
      if (task.start_ms !== null) task.start_ms = rescaled(task.start_ms);
      if (task.end_ms !== null) task.end_ms = rescaled(task.end_ms);
    }
  }

  /** Continues with the tasks of an earlier process. */
  restore(tasks: readonly EmulatorTask[]): void {
    for (const task of tasks) this.#add(task);
  }

  clear(): void {
    this.#byId.clear();
    this.#open.clear();
  }

  /**
   * Starts and ends tasks in the order in which they are due, until now.
   * @param earliest - time before which no task starts.
   * @returns the current time.
   */
  advance(earliest = 0): number {
    const t = this.#now();
    let hasChanged = false;
    for (const [account, open] of this.#open) {
      if (!this.#advanceAccount(open, t, earliest)) continue;
      hasChanged = true;
      this.#dropEnded(account);
    }
    if (hasChanged) this.#onChange();
    return t;
  }

  /** Returns whether a task of the account has changed. */
  #advanceAccount(open: EmulatorTask[], t: number, earliest: number): boolean {
    let hasChanged = false;
    let freeSlots = this.#settings().slots - open.filter(occupiesSlot).length;
    let slotFreeSince = earliest;
    for (;;) {
      const next = freeSlots > 0 ? open.find((task) => task.status === 'PENDING' && task.start_ms === null) : undefined;
      if (next !== undefined) {
        next.start_ms = Math.max(next.submit_ms + this.#atSpeed(QUEUE_MS), slotFreeSince);
        next.end_ms = next.start_ms + this.#atSpeed(next.render_ms);
        freeSlots--;
        hasChanged = true;
        continue;
      }
      const [ending] = open
        .filter((task) => occupiesSlot(task) && (task.end_ms ?? Number.POSITIVE_INFINITY) <= t)
        .sort((a, b) => (a.end_ms ?? 0) - (b.end_ms ?? 0));
      if (ending === undefined) break;
      slotFreeSince = Math.max(earliest, ending.end_ms ?? t);
      ending.status = ending.failure === null ? 'SUCCEEDED' : 'FAILED';
      ending.billed_seconds = ending.failure === null ? ending.duration : 0; // A failed task is free of charge.
      freeSlots++;
      hasChanged = true;
    }
    for (const task of open) {
      if (task.status !== 'PENDING' || task.start_ms === null || task.start_ms > t) continue;
      task.status = 'RUNNING';
      hasChanged = true;
    }
    return hasChanged;
  }

  #add(task: EmulatorTask): void {
    this.#byId.set(task.task_id, task);
    if (hasEnded(task)) return;
    const open = this.#open.get(task.account);
    if (open === undefined) this.#open.set(task.account, [task]);
    else open.push(task);
  }

  #dropEnded(account: string): void {
    const open = this.#open.get(account) ?? [];
    this.#open.set(
      account,
      open.filter((task) => !hasEnded(task)),
    );
  }

  #atSpeed(ms: number): number {
    return Math.round(ms / this.#settings().speed);
  }
}

function occupiesSlot(task: EmulatorTask): boolean {
  return task.status === 'RUNNING' || (task.status === 'PENDING' && task.start_ms !== null);
}

function isKnown(task: EmulatorTask, t: number): boolean {
  const since = hasEnded(task) ? (task.end_ms ?? task.submit_ms) : task.submit_ms;
  return !task.forgotten && t - since <= DAY;
}

/** Returns the status that the task had at an earlier time. */
function statusAt(task: EmulatorTask, t: number): EmulatorTaskStatus {
  if (hasEnded(task) && (task.end_ms ?? 0) <= t) return task.status;
  if (task.status === 'PENDING' || task.start_ms === null || task.start_ms > t) return 'PENDING';
  return 'RUNNING';
}
