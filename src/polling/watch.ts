import type { Clock } from '../async/clock.js';
import type { Oddity } from '../dashscope/answer-reader.js';
import type { ListTasksQuery } from '../dashscope/client.js';
import type { TaskPage, TaskSnapshot } from '../dashscope/wire.js';
import type { RenderKind } from './forecast.js';
import type { PollTimes } from './poll-schedule.js';
import type { QueryBudget } from './query-budget.js';
import type { RenderTimes } from './render-times.js';

export interface TaskWatcherOptions {
  /** One look at one task, such as `DashScopeClient.queryTask`. */
  readonly query: (taskId: string, options: { readonly signal: AbortSignal }) => Promise<TaskSnapshot>;
  /** One page of the account's tasks, such as `DashScopeClient.listTasks`; without it every task is queried. */
  readonly list?: ((query: ListTasksQuery) => Promise<TaskPage>) | undefined;
  /** Shared by all watched tasks, and by everything else that asks about tasks in this process. */
  readonly budget: QueryBudget;
  readonly clock: Clock;
  /** Uniform in 0..1. */
  readonly random: () => number;
  /** Learned render times; every success is added to them. */
  readonly stats: RenderTimes;
  /** Intervals; default {@link POLL_TIMES}. */
  readonly times?: Partial<PollTimes> | undefined;
  /** Receives the times of an answer that cannot be. */
  readonly onOddity?: ((oddity: Oddity) => void) | undefined;
}

/** A task to watch. */
export interface PolledTask extends RenderKind {
  readonly taskId: string;
  /**
   * When the provider accepted it by our clock, in milliseconds since the epoch; without it the first look is at once.
   */
  readonly submittedAtMs?: number | undefined;
}

export interface WatchOptions {
  /** Ends the watch with its reason. */
  readonly signal: AbortSignal;
  /**
   * Called with every look that said something; one that came from the list has no request id. Returning `true` ends
   * the watch with this snapshot, throwing ends it with that error: so UNKNOWN is judged by the caller.
   */
  readonly shouldStop?: ((snapshot: TaskSnapshot) => boolean | undefined) | undefined;
  /** Called with every look that failed; the watch goes on. */
  readonly onFault?: ((error: unknown) => void) | undefined;
}

/** When a video is expected, in milliseconds since the epoch. */
export interface RenderEta {
  readonly earliestAtMs: number;
  /** Never in the past: an overdue video is expected any moment. */
  readonly latestAtMs: number;
  /** Renders that it rests on; 0: a guess. */
  readonly samples: number;
}

/** How many tasks are watched, and how fast they may be queried. */
export interface WatchLoad {
  /** Tasks that were not looked at yet, that the provider has not begun, and that it renders. */
  readonly tasks: { readonly unseen: number; readonly queued: number; readonly rendering: number };
  /** Requests per second: what is evenly spread at most, and what of it the provider allows just now. */
  readonly share: number;
  readonly allowed: number;
}

/** Watches tasks to their ends. */
export interface TaskWatcher {
  /**
   * Resolves with the snapshot that shows the task SUCCEEDED, FAILED or CANCELED, or with the one at which `shouldStop`
   * returned true. No failed look ends it: faults, 429 and a refused key are waited out.
   */
  watch(task: PolledTask, options: WatchOptions): Promise<TaskSnapshot>;
  /** When the video is expected; sharper while the task is being watched. */
  eta(task: PolledTask): RenderEta;
  /** What is watched, and how fast, at this moment. */
  load(): WatchLoad;
}

/** One watch; times in monotonic milliseconds unless said otherwise. */
export interface ActiveWatch {
  readonly task: PolledTask;
  readonly options: WatchOptions;
  readonly resolve: (snapshot: TaskSnapshot) => void;
  readonly reject: (reason: unknown) => void;
  /** Ends a query of this watch. */
  readonly over: AbortController;
  /** Calls a function as part of the step that watches. */
  readonly asCaller: (call: () => void) => void;
  phase: 'unseen' | 'queued' | 'running';
  dueMs: number;
  isAsking: boolean;
  /** Looks in a row without a usable answer. */
  faults: number;
  /** When rendering began by our clock, in milliseconds since the epoch. */
  startedAtMs: number | undefined;
  /** When the provider created the task, by its clock, in milliseconds since the epoch. */
  createdAtMs: number | undefined;
  queriedMs: number;
  listedMs: number;
  /** When it was submitted by our clock, as well as is known, in milliseconds since the epoch. */
  submittedAtMs: number;
  isUnlisted: boolean;
  /** A list says that it ended; its query comes first. */
  isEndListed: boolean;
  /** When a list last showed it as not ended, by our clock, in milliseconds since the epoch. */
  listedOpenAtMs: number | undefined;
}

/** What is left of a watch that ended when rendering began, for the next one of the same task. */
type RememberedWatch = Pick<
  ActiveWatch,
  'phase' | 'startedAtMs' | 'createdAtMs' | 'queriedMs' | 'listedMs' | 'listedOpenAtMs'
>;

/** Watches that are remembered: more than a worker has at a time. */
const REMEMBERED_MAX = 1_000;

/**
 * What is left of ended watches. A caller may watch a task until it runs, and later on to its end: the second watch
 * begins with what the first one saw.
 */
export class RememberedWatches {
  /** By task id; the youngest last. */
  readonly #byId = new Map<string, RememberedWatch>();

  get(taskId: string): RememberedWatch | undefined {
    return this.#byId.get(taskId);
  }

  add({ task, phase, startedAtMs, createdAtMs, queriedMs, listedMs, listedOpenAtMs }: ActiveWatch): void {
    this.#byId.delete(task.taskId); // so that it becomes the youngest
    this.#byId.set(task.taskId, { phase, startedAtMs, createdAtMs, queriedMs, listedMs, listedOpenAtMs });
    for (const taskId of this.#byId.keys()) {
      if (this.#byId.size <= REMEMBERED_MAX) break;
      this.#byId.delete(taskId);
    }
  }

  /** Removes and returns a watch, unless it was last seen before `sinceMs` (monotonic): its task may have ended. */
  take(taskId: string, sinceMs: number): RememberedWatch | undefined {
    const before = this.#byId.get(taskId);
    this.#byId.delete(taskId);
    if (before === undefined) return undefined;
    return Math.max(before.queriedMs, before.listedMs) >= sinceMs ? before : undefined;
  }
}
