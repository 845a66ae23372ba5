export { type ClipOptions, makeClip } from './clip.js';
export {
  type Emulator,
  type EmulatorFault,
  type EmulatorOptions,
  type EmulatorSettings,
  type EmulatorState,
  type EmulatorTask,
  type EmulatorTaskStatus,
  startEmulator,
} from './server.js';
