import { setTimeout as sleep } from 'node:timers/promises';
import { aborted } from '../async/aborted.js';
import { VideoRunError } from '../client/run-error.js';
import type { CommandIo } from './io.js';

/** Ctrl-C and SIGTERM while a command runs. */
export interface Interrupts {
  /** Aborts at the first one. */
  readonly first: AbortSignal;
  /** Aborts at the second one. */
  readonly second: AbortSignal;
}

/** Time for the cleanup after an interrupt: temporary files, half a copy. */
const CLEAN_UP_MS = 500;

/** Runs `use` with Ctrl-C and SIGTERM as signals instead of a sudden end. */
export async function withInterrupts<T>(
  { onInterrupt }: Pick<CommandIo, 'onInterrupt'>,
  use: (interrupts: Interrupts) => Promise<T>,
): Promise<T> {
  const [first, second] = [new AbortController(), new AbortController()];
  const stop = onInterrupt(() => (first.signal.aborted ? second : first).abort());
  try {
    return await use({ first: first.signal, second: second.signal });
  } finally {
    stop();
  }
}

/**
 * Waits for `work`, but not beyond an interrupt.
 * @throws VideoRunError `Interrupted` with `message` on an interrupt.
 */
export async function unlessInterrupted<T>(work: Promise<T>, signal: AbortSignal, message: string): Promise<T> {
  const settled = work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  const winner = await Promise.race([settled, aborted(signal)]);
  if (signal.aborted) {
    await Promise.race([settled, sleep(CLEAN_UP_MS)]);
    throw new VideoRunError('', { type: 'Interrupted', message });
  }
  if (winner === 'aborted' || 'error' in winner) return work; // rejects with its own error
  return winner.value;
}
