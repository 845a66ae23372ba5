import type { Command } from 'commander';
import type { CommandContext } from './context.js';

/** Adds arguments, flags, help and action to a command that so far has a name and a summary. */
type DefineCommand = (command: Command, context: CommandContext) => void;

interface CommandRow {
  readonly name: string;
  /** Its line in the overview. */
  readonly summary: string;
  /** Imports the command's file; only the command that runs, or whose help is shown, is loaded. */
  readonly load: () => Promise<DefineCommand>;
}

/** Every command, in the order of the help text. */
export const COMMANDS: readonly CommandRow[] = [
  {
    name: 'generate',
    summary: 'run one generation and wait for its video',
    load: async () => (await import('./commands/generate.js')).defineGenerate,
  },
  {
    name: 'status',
    summary: 'show one run',
    load: async () => (await import('./commands/status.js')).defineStatus,
  },
  {
    name: 'watch',
    summary: 'follow one run to its end',
    load: async () => (await import('./commands/watch.js')).defineWatch,
  },
  {
    name: 'cancel',
    summary: 'cancel one run',
    load: async () => (await import('./commands/cancel.js')).defineCancel,
  },
  {
    name: 'retry',
    summary: 'run the request of an ended run again',
    load: async () => (await import('./commands/retry.js')).defineRetry,
  },
  {
    name: 'resolve',
    summary: 'decide which task belongs to a run in needs_attention',
    load: async () => (await import('./commands/resolve.js')).defineResolve,
  },
  {
    name: 'list',
    summary: 'list runs, newest first',
    load: async () => (await import('./commands/list.js')).defineList,
  },
  {
    name: 'batch',
    summary: 'many videos from one manifest: start, status, report, retry, …',
    load: async () => (await import('./commands/batch.js')).defineBatch,
  },
  {
    name: 'schedule',
    summary: 'start batches on a schedule: create, list, show, trigger, …',
    load: async () => (await import('./commands/schedule.js')).defineSchedule,
  },
  {
    name: 'presign',
    summary: 'print a time-limited https address of an archived video',
    load: async () => (await import('./commands/presign.js')).definePresign,
  },
  {
    name: 'stage',
    summary: 'put an image into the asset store and print its asset: reference',
    load: async () => (await import('./commands/stage.js')).defineStage,
  },
  {
    name: 'cost',
    summary: 'show what was paid, from the ledger',
    load: async () => (await import('./commands/cost.js')).defineCost,
  },
  {
    name: 'purge',
    summary: 'delete old videos and images',
    load: async () => (await import('./commands/purge.js')).definePurge,
  },
  {
    name: 'slots',
    summary: 'show who holds the slots of the account, and who waits for one',
    load: async () => (await import('./commands/slots.js')).defineSlots,
  },
  {
    name: 'worker',
    summary: 'run a worker until SIGTERM',
    load: async () => (await import('./commands/worker.js')).defineWorker,
  },
  {
    name: 'dev',
    summary: 'run Temporal, its Web UI, the emulator and a worker until Ctrl-C',
    load: async () => (await import('./commands/dev.js')).defineDev,
  },
  {
    name: 'emulator',
    summary: 'run the provider emulator alone',
    load: async () => (await import('./commands/emulator.js')).defineEmulator,
  },
  {
    name: 'setup',
    summary: 'register the search attributes and the hourly sweep in the configured namespace',
    load: async () => (await import('./commands/setup.js')).defineSetup,
  },
  {
    name: 'webhook',
    summary: 'test the configured webhook',
    load: async () => (await import('./commands/webhook.js')).defineWebhook,
  },
  {
    name: 'doctor',
    summary: 'check configuration, Temporal, store, key and provider, and say how to fix problems',
    load: async () => (await import('./commands/doctor.js')).defineDoctor,
  },
];
