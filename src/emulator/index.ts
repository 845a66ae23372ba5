export { type ClipOptions, makeClip } from './clip/plain-clip.js';
export type { ForeignTask } from './control.js';
export type { EmulatorFault, FaultKind, Operation } from './faults.js';
export { type Emulator, type EmulatorOptions, type EmulatorState, startEmulator } from './server.js';
export type { EmulatorSettings } from './settings.js';
export type { EmulatorTask, EmulatorTaskStatus, TaskChange, TaskFailure } from './task.js';
