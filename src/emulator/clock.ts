import { ApiError } from './wire.js';

export const HOUR = 3_600_000;

/** Life of a finished task, of its result's address, and the widest window of the list. */
export const DAY = 24 * HOUR;

/** Reads the provider's time in epoch milliseconds. */
export type Clock = () => number;

/** The provider's zone: its documents show times of UTC+8 without saying so. */
const BEIJING_HOURS = 8;

/** 'YYYY-MM-DD HH:mm:ss.SSS' in UTC+8, as queries show times. */
export function formatTime(ms: number): string {
  return new Date(ms + BEIJING_HOURS * HOUR).toISOString().replace('T', ' ').replace('Z', '');
}

/**
 * Epoch milliseconds of a list filter's 'YYYYMMDDhhmmss'.
 * @param utcOffsetHours - zone in which the list reads its filter.
 * @throws ApiError 400 for anything else.
 */
export function parseTime(text: string, utcOffsetHours: number): number {
  const digits = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text);
  const [year = NaN, month = 1, day, hour, minute, second] = (digits ?? []).slice(1).map(Number);
  const ms = Date.UTC(year, month - 1, day, hour, minute, second) - utcOffsetHours * HOUR;
  if (Number.isNaN(ms)) throw new ApiError(400, 'InvalidParameter', `Invalid time: ${text}, expected yyyyMMddHHmmss`);
  return ms;
}
