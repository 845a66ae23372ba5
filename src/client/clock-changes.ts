import type { CalendarSpecDescription } from '@temporalio/client';
import { DAY_MS } from '../contract/utc.js';
import { asUtc, isDue, MINUTE_MS, MONTHS, scheduleStarts, zoneClocks } from './schedule-starts.js';

/** A local time of a schedule that is affected by a change of the clocks of its zone. */
export interface ClockChange {
  /** Local time in the schedule's zone, such as `2027-03-28 02:30`. */
  readonly local: string;
  /**
   * `missing`: the clocks skip it, and Temporal starts no run; `shifted`: they skip it, and the run starts as much
   * later; `twice`: the clocks show it twice; `extra`: no time of the schedule, and Temporal starts a run at it,
   * because it takes the hour before for repeated; `left_out`: a time like any other, at which Temporal starts no run.
   */
  readonly kind: 'missing' | 'shifted' | 'twice' | 'extra' | 'left_out';
  /**
   * Runs that start. A time that comes twice has one run in zones from UTC eastwards, as a rule at the second time, and
   * two in zones west of it.
   */
  readonly runs: 0 | 1 | 2;
  /** When the run of a shifted time starts, as local time; null otherwise. */
  readonly runs_at: string | null;
}

/** A change of the clocks of a zone. */
interface Change {
  readonly atMs: number;
  /** Offsets of the zone before and after it. */
  readonly before: number;
  readonly after: number;
}

/** The times of a schedule, as Temporal describes them. */
interface ScheduleTimes {
  readonly calendars: readonly CalendarSpecDescription[];
  readonly timezone: string;
}

/** Begins the comment of an entry that we add for a time that the clocks skip. */
const SHIFTED = 'instead of ';
/** How long before and after a change the starts are compared: the local day of the change, and the hours before it. */
const AROUND_MS = 1.25 * DAY_MS;

/** Whether an entry of a schedule was added for a time that the clocks skip. */
export const isShifted = ({ comment = '' }: { readonly comment?: string }): boolean => comment.startsWith(SHIFTED);

/**
 * The local times of a schedule between two moments whose runs are not what the expression says, because clocks are
 * changed; in their order. It costs one look at the zone per day, and some thousands at each change.
 */
export function clockChanges(times: ScheduleTimes, from: Date, to: Date): ClockChange[] {
  return changesOf(times.timezone, from, to)
    .flatMap((change) => changedTimes(times, change, wholeMinute(from), wholeMinute(to)))
    .sort((one, other) => (one.local < other.local ? -1 : 1));
}

/** What one change does to a schedule's times. */
function changedTimes({ calendars, timezone }: ScheduleTimes, change: Change, fromMs: number, toMs: number) {
  const { atMs, before, after } = change;
  const clocks = zoneClocks(timezone);
  const beginMs = Math.max(fromMs, atMs - AROUND_MS);
  const endMs = Math.min(toMs, atMs + AROUND_MS);
  const starts = new Map<string, number>();
  for (const startMs of scheduleStarts(calendars, clocks, atMs - AROUND_MS - DAY_MS, endMs)) {
    const local = localText(clocks.local(startMs));
    if (startMs >= beginMs) starts.set(local, (starts.get(local) ?? 0) + 1);
  }
  const instead = new Set(calendars.filter(isShifted).map(({ comment = '' }) => comment.slice(SHIFTED.length)));
  const isPlanned = (localMs: number) => calendars.some((entry) => isDue(entry, localMs));
  const found: ClockChange[] = [];
  const explained = new Set<string>();
  const lastMs = clocks.local(endMs - MINUTE_MS);
  for (let localMs = clocks.local(beginMs); localMs <= lastMs; localMs += MINUTE_MS) {
    if (!isPlanned(localMs)) continue;
    const local = localText(localMs);
    explained.add(local);
    const runs = Math.min(2, starts.get(local) ?? 0) as ClockChange['runs'];
    if (localMs >= atMs + after && localMs < atMs + before) found.push({ local, kind: 'twice', runs, runs_at: null });
    else if (localMs >= atMs + before && localMs < atMs + after) {
      const laterMs = localMs + after - before;
      const runs_at = localText(laterMs);
      const isRun = instead.has(local) || (starts.has(runs_at) && !isPlanned(laterMs));
      explained.add(runs_at);
      found.push(
        isRun ? { local, kind: 'shifted', runs: 1, runs_at } : { local, kind: 'missing', runs: 0, runs_at: null },
      );
    } else if (runs === 0) found.push({ local, kind: 'left_out', runs, runs_at: null });
  }
  for (const [local, runs] of starts) {
    if (!explained.has(local)) found.push({ local, kind: 'extra', runs: runs as 1 | 2, runs_at: null });
  }
  return found;
}

/** Entries of a schedule for the times that the clocks skip between two moments: each as much later. */
export function shiftedEntries({ calendars, timezone }: ScheduleTimes, from: Date, to: Date) {
  const plain = { calendars: calendars.filter((entry) => !isShifted(entry)), timezone };
  return changesOf(timezone, from, to).flatMap((change) => {
    const skipped = changedTimes(plain, change, wholeMinute(from), wholeMinute(to)).filter(
      ({ kind }) => kind === 'missing',
    );
    return skipped.map(({ local }) => {
      const time = new Date(asUtc(local) + change.after - change.before);
      return {
        year: time.getUTCFullYear(),
        month: MONTHS[time.getUTCMonth()] as (typeof MONTHS)[number],
        dayOfMonth: time.getUTCDate(),
        hour: time.getUTCHours(),
        minute: time.getUTCMinutes(),
        comment: `${SHIFTED}${local}`,
      };
    });
  });
}

/** The changes of a zone's clocks between two moments. */
function changesOf(timezone: string, from: Date, to: Date): Change[] {
  const { offset } = zoneClocks(timezone);
  const found: Change[] = [];
  for (let start = from.getTime(); start < to.getTime(); start += DAY_MS) {
    const end = Math.min(start + DAY_MS, to.getTime());
    const [before, after] = [offset(start), offset(end)];
    if (before === after) continue;
    found.push({ atMs: findChange(start, end, (atMs) => offset(atMs) !== before), before, after });
  }
  return found;
}

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

/** The first whole minute that is not before a moment. */
const wholeMinute = (time: Date): number => Math.ceil(time.getTime() / MINUTE_MS) * MINUTE_MS;

const localText = (localMs: number): string => new Date(localMs).toISOString().slice(0, 16).replace('T', ' ');
