import { randomUUID } from 'node:crypto';
import { ServerClock } from '../../async/server-clock.js';
import type { Config } from '../../config/config.js';
import type { Secret } from '../../config/credentials.js';
import { FailureType } from '../../contract/failure-type.js';
import { VideoError } from '../../contract/video-error.js';
import { DashScopeClient } from '../../dashscope/client.js';
import { createDispatcher } from '../../net/dispatcher.js';
import { readServerTime } from '../../net/server-time.js';
import { untrustedHint } from '../../net/trust.js';

const NETWORK = 'Check DASHSCOPE_HTTP_BASE_URL, the network, and HTTPS_PROXY.';
/** A person waits for the answer; the provider takes some 50 ms. */
const ANSWER_MS = 10_000;

/** The place of the key, never the key. */
export async function checkCredentials(key: Secret): Promise<string> {
  return `a key was found in ${key.source}`;
}

/** Whether the address is the provider's and accepts the key: queries a task that does not exist. */
export async function checkProvider({ provider, proxies, times }: Config, apiKey: string): Promise<string> {
  const { baseUrl, workspace } = provider;
  const timeouts = { readMs: times.readHttpMs };
  const dispatcher = createDispatcher(proxies);
  const client = new DashScopeClient({ baseUrl, workspace, apiKey: () => apiKey, dispatcher, timeouts });
  try {
    const { status } = await client.queryTask(randomUUID());
    if (status === 'UNKNOWN') return `${baseUrl} accepts the key`;
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `${baseUrl} knows a task that was never created (${status})`,
      {
        nextStep: NETWORK,
      },
    );
  } catch (cause) {
    if (!(cause instanceof VideoError) || cause.type !== FailureType.ProviderUnavailable) throw cause;
    const nextStep = untrustedHint(cause.cause) ?? NETWORK;
    throw new VideoError(FailureType.ProviderUnavailable, `${baseUrl}: ${cause.message}`, { cause, nextStep });
  } finally {
    await dispatcher.close();
  }
}

/**
 * Whether this clock agrees with the provider's, whose answers carry a date: a lost submit is reconciled by times.
 * @param now - Milliseconds since the epoch.
 */
export async function checkClock({ provider, proxies, times }: Config, now: () => number): Promise<string> {
  const { baseUrl } = provider;
  const dispatcher = createDispatcher(proxies);
  const clock = new ServerClock();
  try {
    // Without a key: a refusal has a date too.
    const url = `${baseUrl}/tasks/${randomUUID()}`;
    clock.observe(await readServerTime(url, { method: 'GET', dispatcher, timeoutMs: ANSWER_MS }));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : String(cause);
    throw new VideoError(FailureType.ProviderUnavailable, `${baseUrl} does not give its time: ${why}`, {
      cause,
      nextStep: untrustedHint(cause) ?? NETWORK,
    });
  } finally {
    await dispatcher.close();
  }
  const skewMs = clock.skewOf(now());
  const off = `${Math.abs(Math.round(skewMs / 1000))} s ${skewMs < 0 ? 'behind' : 'ahead of'} the provider's`;
  // Half of the allowance: the clocks of other workers may be off in the other direction.
  const mostMs = times.ledger.clockSkewMs / 2;
  if (Math.abs(skewMs) <= mostMs) return `this clock is ${off}`;
  throw new VideoError(FailureType.ConfigurationInvalid, `This clock is ${off}; at most ${mostMs / 1000} s are safe`, {
    nextStep: "Set this machine's clock, preferably by NTP.",
  });
}
