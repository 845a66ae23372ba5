import { createHash, randomUUID } from 'node:crypto';
import { type Clock, DAY } from './clock.js';
import type { EmulatorSettings } from './settings.js';
import { ApiError, type Json } from './wire.js';

/** Status of a task as in the provider's API. */
export type EmulatorTaskStatus = 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';

/** Why a task ends FAILED; the real service sometimes leaves out both. */
export interface TaskFailure {
  code?: string;
  message?: string;
}

/** A task; times are epoch milliseconds of the provider's clock, null until reached (or until scheduled). */
export interface EmulatorTask {
  task_id: string;
  request_id: string;
  /** Whether it came by the API or, as a task of other software, by the control interface. */
  source: 'api' | 'control';
  account: string;
  api_key_id: string;
  /** `X-DashScope-WorkSpace` of the submit. */
  workspace: string | null;
  model: string;
  status: EmulatorTaskStatus;
  prompt: string;
  /** `input` as it was received, nulls included, with data URIs shortened to their type and length. */
  input: Json;
  /** `parameters` as they were received, nulls and unknown ones included. */
  parameters: Json;
  submit_ms: number;
  /** Start of rendering, may lie in the future while PENDING. */
  start_ms: number | null;
  /** End of rendering, lies in the future while RUNNING. */
  end_ms: number | null;
  /** Seconds charged: the duration once SUCCEEDED, else 0. */
  billed_seconds: number;
  /** Seconds of video. */
  duration: number;
  /** Tier: 720 or 1080. */
  sr: number;
  audio: boolean;
  /** Result size in pixels. */
  width: number;
  height: number;
  seed: number;
  /** Size to which the result is padded, in bytes. */
  min_bytes: number;
  /** Set when the task ends FAILED instead of SUCCEEDED. */
  failure: TaskFailure | null;
  /** Rendering time in milliseconds after jitter, before speed. */
  render_ms: number;
  /** Whether the service denies knowing it (UNKNOWN, not listed) although it is there. */
  forgotten: boolean;
}

/** What a new task is made from. */
export interface TaskSpec {
  request_id: string;
  source: EmulatorTask['source'];
  account: string;
  key: string;
  workspace: string | null;
  model: string;
  input: Json;
  parameters: Json;
  /** Size of the first frame; without it the settings' `aspect` is assumed. */
  image?: { width: number; height: number } | undefined;
  failure?: TaskFailure | null;
  /** Rendering time in milliseconds before speed, instead of the usual one. */
  render_ms?: number | undefined;
  /** How long ago it was submitted, in milliseconds. */
  age_ms?: number | undefined;
}

/** What can happen to a task behind the client's back; see the control interface. */
export interface TaskChange {
  status?: 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  /** With FAILED. */
  code?: string;
  /** With FAILED. */
  message?: string;
  forgotten?: boolean;
}

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

/** The documents' two samples rendered 10 s at 720P in 59 and 73 s; 1080P has 2.25 times the pixels and was not measured. */
const RENDER_SECONDS_PER_SECOND = 6.3;
const RENDER_FACTOR_1080P = 1.6;

/** Longest prompt; the rest is cut without a word. */
const MAX_PROMPT = 1500;

/** All tasks and the clockwork that starts and ends them. No I/O; whoever owns it writes the state when `changed` is called. */
export class TaskBook {
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
    const t = this.advance();
    const settings = this.#settings();
    const { input, parameters, image } = spec;
    const sr = parameters['resolution'] === '720P' ? 720 : 1080; // the dearer tier is the documented default
    const duration = typeof parameters['duration'] === 'number' ? parameters['duration'] : 5;
    const task_id = randomUUID();
    const aspect = image === undefined ? settings.aspect : image.width / image.height;
    const task: EmulatorTask = {
      task_id,
      request_id: spec.request_id,
      source: spec.source,
      account: spec.account,
      api_key_id: String(hash(spec.key) % 1_000_000),
      workspace: spec.workspace,
      model: spec.model,
      status: 'PENDING',
      prompt: [...String(input['prompt'] ?? '')].slice(0, MAX_PROMPT).join(''),
      input: shortened(input),
      parameters: shortened(parameters),
      submit_ms: t - (spec.age_ms ?? 0),
      start_ms: null,
      end_ms: null,
      billed_seconds: 0,
      duration,
      sr,
      audio: parameters['audio'] !== false, // sound is the documented default
      ...outputSize(sr, aspect, settings.geometry_multiple),
      seed: typeof parameters['seed'] === 'number' ? parameters['seed'] : hash(task_id) >>> 1,
      min_bytes: settings.result_min_bytes,
      failure: spec.failure ?? null,
      render_ms: spec.render_ms ?? this.#renderMs(duration, sr),
      forgotten: false,
    };
    this.#add(task);
    this.advance();
    this.#changed();
    return task;
  }

  #renderMs(duration: number, sr: number): number {
    const { render_seconds, jitter, seed } = this.#settings();
    const usual = duration * RENDER_SECONDS_PER_SECOND * (sr === 1080 ? RENDER_FACTOR_1080P : 1);
    const deviation = (hash(`${seed}:${this.#byId.size}`) / 0xffffffff) * 2 - 1;
    return Math.round((render_seconds ?? usual) * 1000 * (1 + jitter * deviation));
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

/** Whether the task has reached an end. */
export function isOver(task: EmulatorTask): boolean {
  return task.status !== 'PENDING' && task.status !== 'RUNNING';
}

/** A number that looks random but is the same for the same text, in 0..2^32-1. */
export function hash(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE();
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

function outputSize(sr: number, aspect: number, multiple: number): { width: number; height: number } {
  const pixels = sr === 720 ? 921_600 : 2_073_600;
  // A hair more, so that 1280 x 720 does not become 1278 x 718 by the rounding of square roots.
  const floor = (x: number): number => Math.max(multiple, Math.floor(x / multiple + 1e-9) * multiple);
  return { width: floor(Math.sqrt(pixels * aspect)), height: floor(Math.sqrt(pixels / aspect)) };
}

/** The object with data URIs cut to what a test can assert: type and number of characters. */
function shortened(object: Json): Json {
  const short = (value: unknown): unknown => {
    const data = typeof value === 'string' ? /^data:[^,]{0,100},/i.exec(value)?.[0] : undefined;
    return data === undefined ? value : `${data}… (${String(value).length} characters)`;
  };
  return Object.fromEntries(Object.entries(structuredClone(object)).map(([name, value]) => [name, short(value)]));
}
