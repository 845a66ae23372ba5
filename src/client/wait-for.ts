import type { Client } from '@temporalio/client';
import { untilAborted } from '../async/aborted.js';
import { VideoRunError } from './run-error.js';
import type { WaitOptions } from './video-start.js';

/**
 * Waits for the end of a run within the caller's bounds. The call to Temporal ends with the wait.
 * @throws as `wait`; the reason of `signal`; VideoRunError `WaitTimedOut`.
 */
export async function waitFor<T>(
  client: Client,
  id: string,
  { signal, timeoutMs }: WaitOptions,
  wait: () => Promise<T>,
): Promise<T> {
  if (signal === undefined && timeoutMs === undefined) return wait();
  signal?.throwIfAborted();
  const stop = new AbortController();
  const end = (): void => stop.abort(signal?.reason);
  signal?.addEventListener('abort', end, { once: true });
  const timer =
    timeoutMs === undefined ? undefined : setTimeout(() => stop.abort(waitTimedOut(id, timeoutMs)), timeoutMs);
  try {
    return await untilAborted(client.withAbortSignal(stop.signal, wait), stop.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}

const waitTimedOut = (id: string, timeoutMs: number): VideoRunError =>
  new VideoRunError(id, {
    type: 'WaitTimedOut',
    message: `${id} has not ended within ${timeoutMs} ms; it continues`,
    next_step: 'Wait for it again with `result`, or end it with `cancel`.',
  });
