import { DAY_MS, utcDay } from '../contract/utc.js';

/** Days of a default report. */
const DAYS = 30;
/** One listing each; a leap year. */
const DAYS_MAX = 366;

/**
 * The days from `first` (default: 30 days in all) to `last`, both included, in order.
 * @returns nothing when `first` is after `last` or more than a year before it.
 */
export function daysUntil(last: string, first?: string): string[] {
  const lastMs = Date.parse(`${last}T00:00:00Z`);
  const firstMs = first === undefined ? lastMs - (DAYS - 1) * DAY_MS : Date.parse(`${first}T00:00:00Z`);
  const count = (lastMs - firstMs) / DAY_MS + 1;
  if (!(count >= 1 && count <= DAYS_MAX)) return [];
  return Array.from({ length: count }, (_, index) => utcDay(firstMs + index * DAY_MS));
}
