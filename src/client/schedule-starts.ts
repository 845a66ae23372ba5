import type { CalendarSpecDescription } from '@temporalio/client';
import { DAY_MS } from '../contract/utc.js';
import { timeFormat } from './local-time.js';

export const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** The clocks of a time zone. Local times are milliseconds as if they were UTC. */
interface ZoneClocks {
  /** Local time minus UTC at a moment. */
  readonly offset: (atMs: number) => number;
  readonly local: (atMs: number) => number;
  /**
   * The moment that Temporal's server takes a local time for. A repeated one is its second occurrence in zones from UTC
   * eastwards, and the first in those west of it; a skipped one is an hour later, or earlier.
   */
  readonly moment: (localMs: number) => number;
}

/** @param timezone - IANA name. */
export function zoneClocks(timezone: string): ZoneClocks {
  const format = timeFormat(timezone);
  const offset = (atMs: number) => asUtc(format(new Date(atMs))) - Math.floor(atMs / MINUTE_MS) * MINUTE_MS;
  return {
    offset,
    local: (atMs) => atMs + offset(atMs),
    moment: (localMs) => {
      // As Go's `time.Date` does, with which the server reads local times: the offset of the local time as if it were
      // UTC is a guess, and that of the moment which follows from it counts.
      const guess = offset(localMs);
      return localMs - offset(localMs - guess);
    },
  };
}

/** `2027-03-28 02:30` as if it were UTC. */
export const asUtc = (local: string): number => Date.parse(`${local.replace(' ', 'T')}Z`);

/**
 * The moments at which Temporal's server starts the runs of a schedule between two others, without jitter. Near a
 * change of clocks they are not what the expression says: the server matches the whole hour before a longer step a
 * second time, and judges a day's weekday by its midnight, which may not exist (its versions up to 1.32).
 */
export function scheduleStarts(
  entries: readonly CalendarSpecDescription[],
  clocks: ZoneClocks,
  fromMs: number,
  toMs: number,
): number[] {
  const starts: number[] = [];
  const lastLocal = toMs + clocks.offset(toMs) + DAY_MS;
  for (let afterMs = fromMs - MINUTE_MS; ; ) {
    const next = Math.min(...entries.map((entry) => nextStart(entry, clocks, afterMs, lastLocal)));
    if (!(next < toMs)) return starts;
    starts.push(next);
    afterMs = next;
  }
}

/** The first start of one entry after a moment; infinite when there is none before a local time. */
function nextStart(entry: CalendarSpecDescription, clocks: ZoneClocks, afterMs: number, lastLocal: number): number {
  const { local, moment } = clocks;
  let hour = hourOf(local(afterMs));
  let minute = local(afterMs) + MINUTE_MS;
  // In the second pass of an hour, starts are this much later than their local times.
  let laterMs = hourOf(local(afterMs - HOUR_MS)) === hour ? HOUR_MS : 0;
  const goTo = (nextHour: number, later = 0): void => {
    hour = nextHour;
    minute = nextHour;
    laterMs = later;
  };
  while (hour <= lastLocal) {
    const day = dayOf(hour);
    if (!isDayDue(entry, hour, local(moment(minute)))) {
      goTo(day + DAY_MS);
      continue;
    }
    while (dayOf(hour) === day && !isIn(entry.hour, new Date(hour).getUTCHours())) goTo(hour + HOUR_MS);
    if (dayOf(hour) !== day) continue;
    while (minute < hour + HOUR_MS && !isIn(entry.minute, new Date(minute).getUTCMinutes())) minute += MINUTE_MS;
    if (minute === hour + HOUR_MS) {
      const isRepeated = laterMs === 0 && moment(minute) - moment(hour) > HOUR_MS;
      goTo(isRepeated ? hour : minute, isRepeated ? HOUR_MS : 0);
      continue;
    }
    const startMs = moment(minute);
    if (hourOf(local(startMs)) === hour) return startMs + laterMs;
    goTo(hour + HOUR_MS, laterMs);
  }
  return Number.POSITIVE_INFINITY;
}

const hourOf = (localMs: number): number => Math.floor(localMs / HOUR_MS) * HOUR_MS;
const dayOf = (localMs: number): number => Math.floor(localMs / DAY_MS) * DAY_MS;

export const MONTHS = [
  'JANUARY',
  'FEBRUARY',
  'MARCH',
  'APRIL',
  'MAY',
  'JUNE',
  'JULY',
  'AUGUST',
  'SEPTEMBER',
  'OCTOBER',
  'NOVEMBER',
  'DECEMBER',
] as const;
const DAYS = ['SUNDAY', 'MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY'] as const;

/** Whether a local minute is one of an entry. */
export function isDue(entry: CalendarSpecDescription, localMs: number): boolean {
  const time = new Date(localMs);
  return (
    isIn(entry.minute, time.getUTCMinutes()) &&
    isIn(entry.hour, time.getUTCHours()) &&
    isDayDue(entry, localMs, localMs)
  );
}

/** @param weekdayMs - A local time on the weekday that counts. */
function isDayDue(entry: CalendarSpecDescription, localMs: number, weekdayMs: number): boolean {
  const time = new Date(localMs);
  return (
    isIn(entry.dayOfMonth, time.getUTCDate()) &&
    (entry.year.length === 0 || isIn(entry.year, time.getUTCFullYear())) &&
    isIn(entry.month.map(numbered(MONTHS)), time.getUTCMonth()) &&
    isIn(entry.dayOfWeek.map(numbered(DAYS)), new Date(weekdayMs).getUTCDay())
  );
}

interface NumberRange {
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

const isIn = (ranges: readonly NumberRange[], value: number): boolean =>
  ranges.some(({ start, end, step }) => value >= start && value <= end && (value - start) % Math.max(1, step) === 0);

/** A range of names as one of their places in `names`. */
const numbered =
  <N extends string>(names: readonly N[]) =>
  ({ start, end, step }: { readonly start: N; readonly end: N; readonly step: number }): NumberRange => ({
    start: names.indexOf(start),
    end: names.indexOf(end),
    step,
  });
