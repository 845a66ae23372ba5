import type { Counters } from './counters.js';
import type { EmulatorFault } from './faults.js';
import type { EmulatorSettings } from './settings.js';
import type { EmulatorTask } from './task.js';
import type { ExternalTask, TaskChange } from './task-control.js';

/** State of an emulator. */
export interface EmulatorState extends Counters {
  /** Oldest submit first. */
  tasks: EmulatorTask[];
  /** Seconds of video charged in total. */
  billed_seconds: number;
}

/** Options of {@link startEmulator}. */
export interface EmulatorOptions {
  /** TCP port; default: a free one. */
  port?: number;
  /** Address to listen on; default 127.0.0.1. */
  host?: string;
  /** The setting `api_keys`: accepted keys; default: every key that is not empty. */
  apiKeys?: string[];
  /** The setting `accounts`: account by key; keys that are not named belong to the account "default". */
  accounts?: Record<string, string>;
  /** Settings that differ from the defaults. */
  settings?: Partial<EmulatorSettings>;
  /** File in which tasks and uploads survive the process; pictures are in the folder `<stateFile>.pictures`. */
  stateFile?: string;
  /** Clock in epoch milliseconds; `time_offset_ms` is added to it. */
  now?: () => number;
}

/**
 * A running emulator. A method that gets an unknown or invalid field throws an error that names it and changes nothing,
 * so that a misspelt field is not ignored.
 */
export interface Emulator {
  /** Base URL of the provider's API, for example http://127.0.0.1:1234/api/v1. */
  readonly baseUrl: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** Returns the current state. */
  state(): EmulatorState;
  /** Changes settings and returns all of them; a new speed applies to the remaining time of running tasks. */
  changeSettings(change: Partial<EmulatorSettings>): EmulatorSettings;
  /** Queues faults. */
  queueFaults(fault: EmulatorFault | EmulatorFault[]): void;
  /** Returns the faults that are still queued. */
  queuedFaults(): EmulatorFault[];
  /** Drops the faults that are still queued. */
  clearFaults(): void;
  /** Creates a task as other software of the account would. */
  addTask(task: ExternalTask): EmulatorTask;
  /** Ends, forgets or remembers a task without its client's knowledge. */
  changeTask(taskId: string, change: TaskChange): EmulatorTask;
  /** Deletes tasks, uploads, faults and counters and restores the settings of the start. */
  reset(): void;
  /** Stops listening and closes open connections. */
  close(): Promise<void>;
}
