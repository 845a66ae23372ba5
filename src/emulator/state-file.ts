import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Counters } from './counters.js';
import type { EmulatorTask } from './task.js';
import type { Upload } from './upload-store.js';

/** Counts the forms of the file; one of another form is left unread, for nothing in it is worth a conversion. */
export const STATE_VERSION = 3;

/** What survives the end of the process. Settings and faults do not: a new process has those of its start. */
export interface SavedState {
  version: typeof STATE_VERSION;
  /** Signs policies and result addresses. */
  secret: string;
  tasks: EmulatorTask[];
  uploads: Upload[];
  counters: Counters;
}

/** The state of an earlier process, or undefined when there is none of this form. @throws SyntaxError for a damaged file. */
export function loadState(file: string): SavedState | undefined {
  if (!existsSync(file)) return undefined;
  const saved = JSON.parse(readFileSync(file, 'utf8')) as Partial<SavedState>;
  return saved.version === STATE_VERSION ? (saved as SavedState) : undefined;
}

/**
 * Replaces the file in one step, so that a process killed in between leaves the old state or the new one.
 * Not flushed to the disk: it is to survive the end of the process, not that of the machine.
 */
export function saveState(file: string, state: SavedState): void {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.tmp`;
  writeFileSync(temporary, JSON.stringify(state));
  renameSync(temporary, file);
}
