import { ApiError } from './wire.js';

export const HOUR = 3_600_000;

/** How long a finished task and the address of its result exist; also the widest window of the list. */
export const DAY = 24 * HOUR;

/** Returns the provider's time in epoch milliseconds. */
export type Clock = () => number;

/** The provider's zone is UTC+8; its documents show such times without naming a zone. */
const BEIJING_HOURS = 8;

/** Formats a time as a query's answer does: 'YYYY-MM-DD HH:mm:ss.SSS' in UTC+8. */
export function formatTime(ms: number): string {
  return new Date(ms + BEIJING_HOURS * HOUR).toISOString().replace('T', ' ').replace('Z', '');
}

/**
 * Parses the time of a list filter, 'YYYYMMDDhhmmss', into epoch milliseconds.
 * @param utcOffsetHours - zone in which the list reads its filter.
 * @throws ApiError 400 for any other text.
 */
export function parseTime(text: string, utcOffsetHours: number): number {
  const digits = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text);
  const [year = NaN, month = 1, day, hour, minute, second] = (digits ?? []).slice(1).map(Number);
  const ms = Date.UTC(year, month - 1, day, hour, minute, second) - utcOffsetHours * HOUR;
  if (Number.isNaN(ms)) throw new ApiError(400, 'InvalidParameter', `Invalid time: ${text}, expected yyyyMMddHHmmss`);
  return ms;
}
