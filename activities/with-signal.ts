import { Context } from '@temporalio/activity';

/** Milliseconds between two heartbeats. The SDK throttles what it sends, so a finer interval costs nothing. */
const HEARTBEAT_MS = 1_000;

/**
 * Runs a step that can be cancelled: it heartbeats from the first second on, and ends with the reason of its signal.
 * @param details - Content of each heartbeat; the next attempt reads it with {@link previousHeartbeat}.
 */
export async function withSignal<T>(
  step: (signal: AbortSignal) => Promise<T>,
  details: () => unknown = () => undefined,
): Promise<T> {
  const context = Context.current();
  const signal = context.cancellationSignal;
  // The first one after a second: most steps end earlier, and a heartbeat that is sent is an Action on Temporal Cloud.
  const ticker = setInterval(() => context.heartbeat(details()), HEARTBEAT_MS);
  try {
    return await step(signal);
  } catch (error) {
    // The reason says why (cancel, pause, reset, shutdown); an AbortError would hide it.
    if (signal.aborted) throw signal.reason;
    throw error;
  } finally {
    clearInterval(ticker);
  }
}

/** The last heartbeat of this step's previous attempt, or undefined; its form is that of the version that sent it. */
export const previousHeartbeat = (): unknown => Context.current().info.heartbeatDetails;
