import { randomUUID } from 'node:crypto';
import { DAY } from './clock.js';
import { type Counters, noCounters } from './counters.js';
import { Drift } from './drift.js';
import type { EmulatorOptions, EmulatorState } from './emulator.js';
import { FaultQueue } from './faults.js';
import { PictureStore } from './picture-store.js';
import { RateLimiter } from './rate-limiter.js';
import type { RequestSubject } from './request-filter.js';
import { ResultStore } from './result-store.js';
import { changeSettings, DEFAULT_SETTINGS, type EmulatorSettings } from './settings.js';
import { Signer } from './signer.js';
import { loadState, STATE_VERSION, saveState } from './state-file.js';
import type { EmulatorTask } from './task.js';
import { type ExternalTask, parseExternalTask, parseTaskChange, type TaskChange } from './task-control.js';
import { TaskRegistry } from './task-registry.js';
import { UploadStore } from './upload-store.js';
import { ApiError } from './wire.js';

/** The emulated provider without its HTTP server: its state, and what the control interface does to it. */
export class Provider {
  readonly faults = new FaultQueue();
  readonly drift = new Drift();
  readonly counters: Counters = noCounters();
  readonly pictures: PictureStore;
  readonly uploads: UploadStore;
  readonly tasks: TaskRegistry;
  readonly results: ResultStore;
  readonly rateLimiter: RateLimiter;
  readonly #signer = new Signer();
  readonly #closing = new AbortController();
  readonly #stateFile: string | undefined;
  readonly #realNow: () => number;
  readonly #initialSettings: EmulatorSettings;
  /** Tasks that a query has answered as SUCCEEDED. */
  readonly #shownSucceeded = new Set<string>();
  #settings: EmulatorSettings;

  /** @throws ApiError 400 for invalid settings, SyntaxError for a damaged state file. */
  constructor({ apiKeys, accounts, settings, stateFile, now = Date.now }: EmulatorOptions) {
    this.#realNow = now;
    this.#stateFile = stateFile;
    this.#initialSettings = changeSettings(DEFAULT_SETTINGS, {
      ...(apiKeys !== undefined && { api_keys: apiKeys }),
      ...(accounts !== undefined && { accounts }),
      ...settings,
    });
    this.#settings = this.#initialSettings;
    const currentSettings = () => this.#settings;
    this.pictures = new PictureStore(stateFile === undefined ? undefined : `${stateFile}.pictures`);
    this.uploads = new UploadStore({
      now: this.now,
      signer: this.#signer,
      onChange: this.save,
      storePicture: (bytes) => (this.#settings.clip === 'picture' ? this.pictures.store(bytes) : null),
    });
    this.tasks = new TaskRegistry(this.now, currentSettings, this.save);
    this.results = new ResultStore(this.now, this.#signer, this.pictures);
    this.rateLimiter = new RateLimiter(this.now, currentSettings);
    if (stateFile !== undefined) this.#restore(stateFile);
  }

  /** Current settings. */
  get settings(): EmulatorSettings {
    return this.#settings;
  }

  /** Aborts when the emulator closes. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** The provider's clock. */
  readonly now = (): number => this.#realNow() + this.#settings.time_offset_ms;

  /** Writes the state file, if there is one. */
  readonly save = (): void => {
    if (this.#stateFile === undefined) return;
    saveState(this.#stateFile, {
      version: STATE_VERSION,
      secret: this.#signer.secret,
      tasks: this.tasks.all(),
      uploads: this.uploads.all(),
      counters: this.counters,
    });
  };

  state(): EmulatorState {
    this.tasks.advance();
    const tasks = structuredClone(this.tasks.all());
    const billed_seconds = tasks.reduce((sum, task) => sum + task.billed_seconds, 0);
    return { tasks, ...this.counters, billed_seconds };
  }

  changeSettings(change: Partial<EmulatorSettings>): EmulatorSettings {
    const changed = changeSettings(this.#settings, change);
    const t = this.tasks.advance();
    if (changed.speed !== this.#settings.speed) this.tasks.rescale(this.#settings.speed, changed.speed);
    if (change.drift !== undefined) this.drift.reset();
    this.#settings = changed;
    this.tasks.advance(t); // An additional slot is free from now on, not in the past.
    this.save();
    return structuredClone(changed);
  }

  /** Returns what faults and drift rules compare of a task. */
  subjectOf(taskId: string): RequestSubject {
    this.tasks.advance();
    const { prompt, status } = this.tasks.get(taskId) ?? {};
    return { taskId, prompt, status, wasShownSucceeded: this.#shownSucceeded.has(taskId) };
  }

  /** Records that a query has answered a task as SUCCEEDED. */
  recordShownSucceeded(taskId: string): void {
    this.#shownSucceeded.add(taskId);
  }

  addTask(task: ExternalTask): EmulatorTask {
    const { prompt, parameters = {}, account = 'default', model, age_ms, image } = parseExternalTask(task);
    const created = this.tasks.create({
      request_id: randomUUID(),
      source: 'control',
      account,
      key: 'other-software',
      workspace: null,
      model: model ?? this.#settings.models[0] ?? '',
      input: { prompt },
      parameters,
      image,
      age_ms,
    });
    return structuredClone(created);
  }

  changeTask(taskId: string, change: TaskChange): EmulatorTask {
    const task = this.tasks.get(taskId);
    if (task === undefined) throw new ApiError(404, 'NotFound', `no task ${taskId}`);
    this.tasks.change(task, parseTaskChange(change));
    return structuredClone(task);
  }

  reset(): void {
    this.tasks.clear();
    this.uploads.clear();
    this.results.clear();
    this.pictures.retain(new Set());
    this.faults.clear();
    this.drift.reset();
    this.#shownSucceeded.clear();
    this.rateLimiter.reset();
    Object.assign(this.counters, noCounters());
    this.#settings = this.#initialSettings;
    this.save();
  }

  /** Ends what is in progress and saves the state. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.save();
    await this.results.close();
  }

  /** Continues with the state of an earlier process; pictures that nothing needs any longer are deleted. */
  #restore(stateFile: string): void {
    const saved = loadState(stateFile);
    if (saved === undefined) return;
    this.#signer.secret = saved.secret;
    this.tasks.restore(saved.tasks);
    this.uploads.restore(saved.uploads);
    Object.assign(this.counters, saved.counters);
    const t = this.now();
    const pictures = [
      ...saved.tasks.filter(({ end_ms }) => end_ms === null || t - end_ms <= DAY),
      ...saved.uploads.filter(({ expires_ms }) => expires_ms > t),
    ].map(({ picture }) => picture);
    this.pictures.retain(new Set(pictures.filter((picture) => picture !== null)));
  }
}
