import { redactText } from '../net/redact.js';
import { logNow } from './logger.js';

/** How an error reached the process: thrown where nothing catches it, or as a rejection that nothing handles. */
type UncaughtKind = 'exception' | 'rejection';

/** What follows an error that nothing caught. */
export interface UncaughtErrorHandling {
  /** Counts each of them. */
  readonly count: (kind: UncaughtKind) => void;
  /** Begins to drain; called once, with the first error. */
  readonly drain: (error: Error) => void;
  /** The longest drain in milliseconds. The process ends after it, even if something still runs. */
  readonly drainMs: number;
}

/** Ends the process when its drain does not; every supervisor restarts on it. */
const EXIT_CODE = 1;

/**
 * Handles errors that nothing caught, in a process that is a worker's own. Each is logged and counted; the first one
 * begins a drain, because the state that it leaves is unknown. A warning of Node.js becomes a line of our log.
 * @returns how to stop that.
 */
export function handleUncaughtErrors({ count, drain, drainMs }: UncaughtErrorHandling): () => void {
  let deadline: NodeJS.Timeout | undefined;
  const handle = (kind: UncaughtKind, thrown: unknown): void => {
    const error = thrown instanceof Error ? thrown : new Error(redactText(String(thrown)));
    logNow('ERROR', `Uncaught ${kind}; the worker finishes what it runs and ends`, { error });
    count(kind);
    if (deadline !== undefined) return;
    deadline = setTimeout(() => {
      logNow('ERROR', `The worker did not finish within ${drainMs} ms after an uncaught ${kind}`);
      process.exit(EXIT_CODE);
    }, drainMs);
    drain(error);
  };
  const onException = (error: unknown) => handle('exception', error);
  const onRejection = (reason: unknown) => handle('rejection', reason);
  const onWarning = ({ name, message }: Error) => logNow('WARN', message, { name });
  const printWarnings = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', onWarning);
  process.on('uncaughtException', onException);
  process.on('unhandledRejection', onRejection);
  return () => {
    clearTimeout(deadline);
    process.off('uncaughtException', onException);
    process.off('unhandledRejection', onRejection);
    process.off('warning', onWarning);
    for (const listener of printWarnings) process.on('warning', listener);
  };
}
