import { randomUUID } from 'node:crypto';
import { request } from 'undici';
import type { Config } from '../../config/config.js';
import type { Secret } from '../../config/credentials.js';
import { FailureType } from '../../contract/failure-type.js';
import { VideoError } from '../../contract/video-error.js';
import { DashScopeClient } from '../../dashscope/client.js';
import { createDispatcher } from '../../net/proxies.js';
import { untrustedHint } from '../../net/trust.js';

const NETWORK = 'Check DASHSCOPE_HTTP_BASE_URL, the network, and HTTPS_PROXY.';
/** A person waits for it; the provider answers in some 50 ms. */
const ANSWER_MS = 10_000;

/** Where the key comes from, never the key. */
export async function checkCredentials(key: Secret): Promise<string> {
  return `a key was found in ${key.source}`;
}

/** Whether the address is the provider's and takes the key: it is asked for a task that nobody has. */
export async function checkProvider({ provider, proxies, times }: Config, apiKey: string): Promise<string> {
  const { baseUrl, workspace } = provider;
  const timeouts = { readMs: times.readHttpMs };
  const dispatcher = createDispatcher(proxies);
  const client = new DashScopeClient({ baseUrl, workspace, apiKey: () => apiKey, dispatcher, timeouts });
  try {
    const { status } = await client.queryTask(randomUUID());
    if (status === 'UNKNOWN') return `${baseUrl} takes the key`;
    throw new VideoError(FailureType.ConfigurationInvalid, `${baseUrl} knows a task that nobody has made (${status})`, {
      nextStep: NETWORK,
    });
  } catch (cause) {
    if (!(cause instanceof VideoError) || cause.type !== FailureType.ProviderUnavailable) throw cause;
    const nextStep = untrustedHint(cause.cause) ?? NETWORK;
    throw new VideoError(FailureType.ProviderUnavailable, `${baseUrl}: ${cause.message}`, { cause, nextStep });
  } finally {
    await dispatcher.close();
  }
}

/**
 * Whether this clock agrees with the provider's, whose answers carry a date: what became of a lost submit is told by times.
 * @param now - Milliseconds since the epoch.
 */
export async function checkClock({ provider, proxies, times }: Config, now: () => number): Promise<string> {
  const { baseUrl } = provider;
  const dispatcher = createDispatcher(proxies);
  let skewMs: number;
  try {
    const askedMs = now();
    // Without a key: a refusal is dated as well.
    const url = `${baseUrl}/tasks/${randomUUID()}`;
    const { headers, body } = await request(url, { dispatcher, signal: AbortSignal.timeout(ANSWER_MS) });
    const answeredMs = now();
    await body.dump();
    const dateMs = Date.parse(String(headers['date']));
    if (Number.isNaN(dateMs)) throw new Error('its answer has no date');
    // The date names a whole second, and was written somewhere between question and answer.
    skewMs = (askedMs + answeredMs) / 2 - (dateMs + 500);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : String(cause);
    throw new VideoError(FailureType.ProviderUnavailable, `${baseUrl} does not tell its time: ${why}`, {
      cause,
      nextStep: untrustedHint(cause) ?? NETWORK,
    });
  } finally {
    await dispatcher.close();
  }
  const off = `${Math.abs(Math.round(skewMs / 1000))} s ${skewMs < 0 ? 'behind' : 'ahead of'} the provider's`;
  // Half of what is allowed for: the clocks of other workers may be off to the other side.
  const mostMs = times.ledger.clockSkewMs / 2;
  if (Math.abs(skewMs) <= mostMs) return `this clock is ${off}`;
  throw new VideoError(FailureType.ConfigurationInvalid, `This clock is ${off}; at most ${mostMs / 1000} s are safe`, {
    nextStep: "Set this machine's clock, best by NTP.",
  });
}
