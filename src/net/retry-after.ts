/**
 * Reads a `Retry-After` header as a delay in milliseconds, never negative.
 *
 * Accepts delay-seconds and the preferred HTTP-date form (RFC 9110, sections 10.2.3 and 5.6.7). Anything else is
 * `undefined`: the caller then keeps to its own schedule.
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const atMs = Date.parse(value);
  // Date.parse rolls 31 February over; a date that does not print back is one the sender did not mean.
  if (Number.isNaN(atMs) || new Date(atMs).toUTCString() !== value) return undefined;
  return Math.max(0, atMs - nowMs);
}
