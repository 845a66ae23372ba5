import type { Readable, Writable } from 'node:stream';

/** The process around a command; a test gives its own. */
export interface CommandIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Directory that relative paths start from. */
  readonly cwd: string;
  readonly homeDir: string;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** Results only. */
  readonly stdout: Writable & { readonly isTTY?: boolean };
  /** Progress, remarks and errors. */
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** Calls `handler` at each SIGINT and SIGTERM, which then no longer end the process; returns how to stop that. */
  readonly onInterrupt: (handler: () => void) => () => void;
}
