/** Length of a UTC day in milliseconds; UTC has no daylight saving time. */
export const DAY_MS = 86_400_000;

/** Length of an hour in milliseconds. */
export const HOUR_MS = 3_600_000;

/** The UTC day of a moment in milliseconds since the epoch, as `YYYY-MM-DD`. Budgets, bills and reports count by it. */
export const utcDay = (atMs: number): string => new Date(atMs).toISOString().slice(0, 10);

/** The UTC hour of a moment in milliseconds since the epoch, as `YYYY-MM-DDThh`. */
export const utcHour = (atMs: number): string => new Date(atMs).toISOString().slice(0, 13);

/** A moment in milliseconds since the epoch to the minute, for people: `YYYY-MM-DDThh:mmZ`. */
export const utcMinute = (atMs: number): string => `${new Date(atMs).toISOString().slice(0, 16)}Z`;

/** A moment in milliseconds since the epoch to the second, for people: `YYYY-MM-DDThh:mm:ssZ`. */
export const utcSecond = (atMs: number): string => `${new Date(atMs).toISOString().slice(0, 19)}Z`;

/** The UTC time of day of a moment in milliseconds since the epoch, as `hh:mm:ss`. */
export const utcTime = (atMs: number): string => new Date(atMs).toISOString().slice(11, 19);
