import { Context } from '@temporalio/activity';

/** The first heartbeat after so long: most steps end earlier, and a heartbeat that is sent is an Action. */
const FIRST_MS = 1_000;
/**
 * Heartbeats within the step's heartbeat timeout. The SDK sends fewer, and each call costs: one a second for each of
 * 500 tasks is a fifth of a core.
 */
const IN_TIMEOUT = 6;
/** The same for a step without that timeout. */
const EVERY_MS = 5_000;

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
  const { heartbeatTimeoutMs } = context.info;
  const everyMs = heartbeatTimeoutMs === undefined ? EVERY_MS : heartbeatTimeoutMs / IN_TIMEOUT;
  const beat = (): void => {
    context.heartbeat(details());
    timer = setTimeout(beat, everyMs);
  };
  let timer = setTimeout(beat, Math.min(FIRST_MS, everyMs));
  try {
    return await step(signal);
  } catch (error) {
    // The reason says why (cancel, pause, reset, shutdown); an AbortError would hide it.
    if (signal.aborted) throw signal.reason;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** The last heartbeat of this step's previous attempt, or undefined; its form is that of the version that sent it. */
export const previousHeartbeat = (): unknown => Context.current().info.heartbeatDetails;
