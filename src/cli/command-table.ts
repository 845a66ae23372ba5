import type { Command } from 'commander';
import type { CommandContext } from './context.js';

/** What each file of `commands/` exports. */
interface CommandModule {
  /** Adds arguments, flags, help and action to a command that so far has a name and a summary. */
  readonly defineCommand: (command: Command, context: CommandContext) => void;
}

export interface CommandRow {
  readonly name: string;
  /** Its line in the overview. */
  readonly summary: string;
  /** Only the command that runs, or whose help is shown, is loaded. */
  readonly load: () => Promise<CommandModule>;
  /**
   * The parts that it works with. `temporal` (default): those of the configuration, and the address of Temporal may be
   * a flag; `configured`: the same without that flag; `own`: what it starts itself, or none.
   */
  readonly parts?: 'temporal' | 'configured' | 'own';
}

/** Every command, in the order of the help text. */
export const COMMANDS: readonly CommandRow[] = [
  {
    name: 'generate',
    summary: 'run one generation and wait for its video',
    load: () => import('./commands/generate.js'),
  },
  { name: 'status', summary: 'show one run', load: () => import('./commands/status.js') },
  { name: 'watch', summary: 'follow one run to its end', load: () => import('./commands/watch.js') },
  { name: 'cancel', summary: 'cancel one run', load: () => import('./commands/cancel.js') },
  { name: 'retry', summary: 'run the request of an ended run again', load: () => import('./commands/retry.js') },
  {
    name: 'resolve',
    summary: 'decide which task belongs to a run in needs_attention',
    load: () => import('./commands/resolve.js'),
  },
  {
    name: 'conform',
    summary: 'make an archived video exactly this frame rate and size',
    load: () => import('./commands/conform.js'),
  },
  { name: 'list', summary: 'list runs, newest first', load: () => import('./commands/list.js') },
  {
    name: 'batch',
    summary: 'many videos from one manifest: start, status, report, retry, …',
    load: () => import('./commands/batch.js'),
  },
  {
    name: 'schedule',
    summary: 'start batches on a schedule: create, list, show, trigger, …',
    load: () => import('./commands/schedule.js'),
  },
  {
    name: 'presign',
    summary: 'print a time-limited https address of an archived video',
    load: () => import('./commands/presign.js'),
  },
  {
    name: 'stage',
    summary: 'put an image into the asset store and print its asset: reference',
    load: () => import('./commands/stage.js'),
    parts: 'configured',
  },
  {
    name: 'cost',
    summary: 'show what was paid, from the ledger',
    load: () => import('./commands/cost.js'),
    parts: 'configured',
  },
  {
    name: 'audit',
    summary: 'explain every task of the account, and rescue what was paid and lost',
    load: () => import('./commands/audit.js'),
  },
  {
    name: 'purge',
    summary: 'delete old videos and images',
    load: () => import('./commands/purge.js'),
    parts: 'configured',
  },
  {
    name: 'slots',
    summary: 'show who holds the slots of the account, and who waits for one',
    load: () => import('./commands/slots.js'),
  },
  { name: 'worker', summary: 'run a worker until SIGTERM', load: () => import('./commands/worker.js') },
  {
    name: 'dev',
    summary: 'run Temporal, its Web UI, the emulator and a worker until Ctrl-C',
    load: () => import('./commands/dev.js'),
    parts: 'own',
  },
  {
    name: 'temporal',
    summary: "run Temporal's own command line",
    load: () => import('./commands/temporal.js'),
    parts: 'configured',
  },
  {
    name: 'emulator',
    summary: 'run the provider emulator alone',
    load: () => import('./commands/emulator.js'),
    parts: 'own',
  },
  {
    name: 'setup',
    summary: 'register the search attributes and the hourly sweep in the configured namespace',
    load: () => import('./commands/setup.js'),
  },
  {
    name: 'webhook',
    summary: 'test the configured webhook',
    load: () => import('./commands/webhook.js'),
    parts: 'configured',
  },
  {
    name: 'doctor',
    summary: 'check configuration, Temporal, store, key and provider, and say how to fix problems',
    load: () => import('./commands/doctor.js'),
  },
  {
    name: 'completion',
    summary: 'print a script that completes commands and flags in bash, zsh or fish',
    load: () => import('./commands/completion.js'),
    parts: 'own',
  },
];
