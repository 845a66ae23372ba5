import type { Config } from '../config/config.js';
import type { VideoError } from '../contract/video-error.js';
import { createDispatcher } from '../net/dispatcher.js';
import { readServerTime } from '../net/server-time.js';
import { ClockWatch } from './clock-watch.js';
import { logNow } from './logger.js';

/** Bound on the first look at the provider's clock; a provider that is away delays no start by more. */
const FIRST_LOOK_MS = 3_000;

/** The watch of one worker's clock. @param onFault - Ends the worker. */
export function clockWatchOf({ times }: Config, onFault: (error: VideoError) => void): ClockWatch {
  const { clockSkewMs } = times.ledger;
  // Half of the allowance: the clocks of other workers may be off in the other direction.
  const [startLimitMs, driftLimitMs] = [clockSkewMs / 2, clockSkewMs];
  return new ClockWatch({ startLimitMs, driftLimitMs, onFault, onWarning: (message) => logNow('WARN', message) });
}

/** Measures this machine's clock against the provider's, unless the provider is away. */
export async function lookAtProviderClock({ provider, proxies }: Config, clocks: ClockWatch): Promise<void> {
  const dispatcher = createDispatcher(proxies);
  try {
    const options = { method: 'HEAD', dispatcher, timeoutMs: FIRST_LOOK_MS } as const;
    clocks.observe('provider', await readServerTime(provider.baseUrl, options));
  } catch {
    // Its answers to the steps are measured later.
  } finally {
    await dispatcher.close();
  }
}
