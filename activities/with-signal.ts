import { Context } from '@temporalio/activity';
import { toActivityFailure } from './activity-failure.js';

/** Heartbeats are sent at most this often by the SDK's throttle, so a finer tick costs nothing. */
const TICK_MS = 1_000;

/**
 * Runs a step that may be cancelled: heartbeats from the first second, ends with the signal's own reason.
 * @param details - What each heartbeat tells; the next attempt finds it with {@link previousHeartbeat}.
 */
export async function withSignal<T>(
  step: (signal: AbortSignal) => Promise<T>,
  details: () => unknown = () => undefined,
): Promise<T> {
  const context = Context.current();
  const signal = context.cancellationSignal;
  // Not at once: most steps end within the first tick, and a heartbeat that is sent is an Action on Temporal Cloud.
  const ticker = setInterval(() => context.heartbeat(details()), TICK_MS);
  try {
    return await step(signal);
  } catch (error) {
    // The reason says why (cancel, pause, reset, shutdown); an AbortError would hide it.
    if (signal.aborted) throw signal.reason;
    throw toActivityFailure(error);
  } finally {
    clearInterval(ticker);
  }
}

/** What the heartbeats of an earlier attempt of this step told last, or undefined; of whatever shape that attempt's version gave it. */
export const previousHeartbeat = (): unknown => Context.current().info.heartbeatDetails;
