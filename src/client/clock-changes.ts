import type { CalendarSpecDescription } from '@temporalio/client';
import { DAY_MS } from '../contract/utc.js';
import { timeFormat } from './local-time.js';

/** A local time of a schedule on a day on which the clocks of its zone are changed. */
export interface ClockChange {
  /** Local time in the schedule's zone, such as `2027-03-28 02:30`. */
  readonly local: string;
  /**
   * `missing`: the clocks skip it, and Temporal starts no run; `shifted`: they skip it, and the run starts as much
   * later; `twice`: the clocks show it twice.
   */
  readonly kind: 'missing' | 'shifted' | 'twice';
  /**
   * Runs that start. A time that comes twice has one run in a zone east of UTC, at the second time, and two in a zone
   * west of it (tried with Temporal's server 1.32).
   */
  readonly runs: 0 | 1 | 2;
  /** When the run of a shifted time starts, as local time; null otherwise. */
  readonly runs_at: string | null;
}

/** A minute of a schedule that the clocks skip or repeat. */
interface ChangedMinute {
  readonly local: string;
  /** The local time that is as much later as the clocks skip; null for a repeated minute. */
  readonly shiftedTo: string | null;
  /** Whether the zone is east of UTC after the change. */
  readonly isEast: boolean;
}

/** The times of a schedule, as Temporal describes them. */
interface ScheduleTimes {
  readonly calendars: readonly CalendarSpecDescription[];
  readonly timezone: string;
}

/** Begins the comment of an entry that we add for a time that the clocks skip. */
const SHIFTED = 'instead of ';

/** Whether an entry of a schedule was added for a time that the clocks skip. */
export const isShifted = ({ comment = '' }: { readonly comment?: string }): boolean => comment.startsWith(SHIFTED);

/**
 * The local times of a schedule that do not exist or come twice between two moments, because clocks are changed; in
 * their order. It costs one look at the zone per day, and one at each minute that is skipped or repeated.
 */
export function clockChanges(times: ScheduleTimes, from: Date, to: Date): ClockChange[] {
  const instead = new Set(times.calendars.filter(isShifted).map(({ comment = '' }) => comment.slice(SHIFTED.length)));
  return changedMinutes(times, from, to).map(({ local, shiftedTo, isEast }) => {
    if (shiftedTo === null) return { local, kind: 'twice', runs: isEast ? 1 : 2, runs_at: null };
    return instead.has(local)
      ? { local, kind: 'shifted', runs: 1, runs_at: shiftedTo }
      : { local, kind: 'missing', runs: 0, runs_at: null };
  });
}

/** Entries of a schedule for the times that the clocks skip between two moments: each as much later. */
export function shiftedEntries(times: ScheduleTimes, from: Date, to: Date) {
  return changedMinutes(times, from, to).flatMap(({ local, shiftedTo }) => {
    if (shiftedTo === null) return [];
    const { year, month, day, hour, minute } = fieldsOf(shiftedTo);
    const name = MONTHS[month - 1] as (typeof MONTHS)[number];
    return [{ year, month: name, dayOfMonth: day, hour, minute, comment: `${SHIFTED}${local}` }];
  });
}

/** The schedule's minutes that are skipped or repeated; `shiftedTo` is null for a repeated one. */
function changedMinutes({ calendars, timezone }: ScheduleTimes, from: Date, to: Date): ChangedMinute[] {
  const format = timeFormat(timezone);
  const offset = (atMs: number) => asUtc(format(new Date(atMs))) - Math.floor(atMs / MINUTE_MS) * MINUTE_MS;
  const entries = calendars.filter((calendar) => !isShifted(calendar));
  const isDue = (localMs: number) => entries.some((entry) => matches(entry, new Date(localMs)));
  const found: ChangedMinute[] = [];
  for (let start = from.getTime(); start < to.getTime(); start += DAY_MS) {
    const end = Math.min(start + DAY_MS, to.getTime());
    const [before, after] = [offset(start), offset(end)];
    if (before === after) continue;
    const changeMs = findChange(start, end, (atMs) => offset(atMs) !== before);
    const first = changeMs + Math.min(before, after);
    for (let local = first; local < changeMs + Math.max(before, after); local += MINUTE_MS) {
      if (!isDue(local)) continue;
      const shiftedTo = after > before ? localText(local + after - before) : null;
      found.push({ local: localText(local), shiftedTo, isEast: after > 0 });
    }
  }
  return found;
}

const MINUTE_MS = 60_000;

/** The first minute of a period in which `isAfter` holds. */
function findChange(start: number, end: number, isAfter: (atMs: number) => boolean): number {
  let [low, high] = [Math.floor(start / MINUTE_MS), Math.ceil(end / MINUTE_MS)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isAfter(middle * MINUTE_MS)) high = middle;
    else low = middle;
  }
  return high * MINUTE_MS;
}

const MONTHS = [
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

/** Whether a local minute, given as if it were UTC, is one of an entry. */
function matches(entry: CalendarSpecDescription, local: Date): boolean {
  const month = MONTHS[local.getUTCMonth()] as (typeof MONTHS)[number];
  const weekday = DAYS[local.getUTCDay()] as (typeof DAYS)[number];
  return (
    isIn(entry.minute, local.getUTCMinutes()) &&
    isIn(entry.hour, local.getUTCHours()) &&
    isIn(entry.dayOfMonth, local.getUTCDate()) &&
    (entry.year.length === 0 || isIn(entry.year, local.getUTCFullYear())) &&
    isIn(entry.month.map(numbered(MONTHS)), MONTHS.indexOf(month)) &&
    isIn(entry.dayOfWeek.map(numbered(DAYS)), DAYS.indexOf(weekday))
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

/** `2027-03-28 02:30` as if it were UTC. */
const asUtc = (local: string): number => Date.parse(`${local.replace(' ', 'T')}Z`);

const localText = (localMs: number): string => new Date(localMs).toISOString().slice(0, 16).replace('T', ' ');

function fieldsOf(local: string) {
  const date = new Date(asUtc(local));
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
  };
}
