export { type ClipOptions, makeClip } from './clip/plain-clip.js';
export type { Emulator, EmulatorOptions, EmulatorState } from './emulator.js';
export type { EmulatorFault, FaultKind, Operation } from './faults.js';
export { startEmulator } from './server.js';
export type { EmulatorSettings } from './settings.js';
export type { EmulatorTask, EmulatorTaskStatus, TaskFailure } from './task.js';
export type { ExternalTask, TaskChange } from './task-control.js';
