import { type Dispatcher, request } from 'undici';
import { momentOf, type ServerMoment } from '../async/server-clock.js';

/**
 * Reads the time of an HTTP server from the date of its answer; any answer has one.
 * @param url - Is requested without a key.
 * @param timeoutMs - Bound on the whole call.
 * @throws an error of the network, or that says that the answer has no date.
 */
export async function readServerTime(
  url: string,
  { method, dispatcher, timeoutMs }: { method: 'GET' | 'HEAD'; dispatcher: Dispatcher; timeoutMs: number },
): Promise<ServerMoment> {
  const sentMs = performance.now();
  const { headers, body } = await request(url, { method, dispatcher, signal: AbortSignal.timeout(timeoutMs) });
  const moment = momentOf(headers, sentMs, performance.now());
  await body.dump();
  if (moment === undefined) throw new Error('its answer has no date');
  return moment;
}
