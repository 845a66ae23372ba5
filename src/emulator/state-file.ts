import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Counters } from './counters.js';
import type { EmulatorTask } from './task.js';
import type { Upload } from './upload-store.js';

/** Version of the file's format. A file of another version is ignored: test data is not worth a migration. */
export const STATE_VERSION = 3;

/** State that survives the end of the process. Settings and faults do not: a new process has those of its start. */
interface SavedState {
  version: typeof STATE_VERSION;
  /** Key that signs upload policies and result addresses. */
  secret: string;
  tasks: EmulatorTask[];
  uploads: Upload[];
  counters: Counters;
}

/**
 * Loads the state of an earlier process; undefined when there is none of this version.
 * @throws SyntaxError for a damaged file.
 */
export function loadState(file: string): SavedState | undefined {
  if (!existsSync(file)) return undefined;
  const saved = JSON.parse(readFileSync(file, 'utf8')) as Partial<SavedState>;
  return saved.version === STATE_VERSION ? (saved as SavedState) : undefined;
}

/**
 * Replaces the file atomically: a process killed during the call keeps the old state or the new one. The file is not
 * flushed to disk, because it has to survive the process and not the machine.
 */
export function saveState(file: string, state: SavedState): void {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.tmp`;
  writeFileSync(temporary, JSON.stringify(state));
  renameSync(temporary, file);
}
