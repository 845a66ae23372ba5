import type { CalendarSpecDescription } from '@temporalio/client';
import { expect, test } from 'vitest';
import { clockChanges, shiftedEntries } from '../../src/client/clock-changes.js';
import { checkSchedule } from '../../src/client/scheduled-batch.js';

const every = (start: number, end: number, step = 1) => [{ start, end, step }];

const at = (hour: CalendarSpecDescription['hour'], minute: CalendarSpecDescription['minute']) =>
  ({
    second: every(0, 0),
    minute,
    hour,
    dayOfMonth: every(1, 31),
    month: [{ start: 'JANUARY', end: 'DECEMBER', step: 1 }],
    year: [],
    dayOfWeek: [{ start: 'SUNDAY', end: 'SATURDAY', step: 1 }],
  }) as CalendarSpecDescription;

const YEAR = [new Date('2027-01-01T00:00:00Z'), new Date('2028-01-01T00:00:00Z')] as const;
const nightly = at(every(2, 2), every(30, 30));

test.each([
  ['Europe/Berlin', ['2027-03-28 02:30 missing', '2027-10-31 02:30 twice']],
  ['America/New_York', ['2027-03-14 02:30 missing']],
  ['Australia/Lord_Howe', []],
  ['UTC', []],
  ['Asia/Kolkata', []],
])('the nights in which 02:30 in %s does not exist or comes twice', (timezone, expected) => {
  const changes = clockChanges({ calendars: [nightly], timezone }, ...YEAR);
  expect(changes.map(({ local, kind }) => `${local} ${kind}`)).toEqual(expected);
});

test('a change of half an hour, and one of a whole day, is seen to the minute', () => {
  const quarters = at(every(1, 2), every(0, 59, 15));
  const changes = clockChanges({ calendars: [quarters], timezone: 'Australia/Lord_Howe' }, ...YEAR);
  expect(changes.map(({ local, kind }) => `${local} ${kind}`)).toEqual([
    '2027-04-04 01:30 twice',
    '2027-04-04 01:45 twice',
    '2027-04-04 02:00 left_out',
    '2027-04-04 02:15 left_out',
    '2027-04-04 02:30 left_out',
    '2027-10-03 02:00 missing',
    '2027-10-03 02:15 missing',
  ]);
  const samoa = clockChanges(
    { calendars: [nightly], timezone: 'Pacific/Apia' },
    new Date('2011-12-28T00:00:00Z'),
    new Date('2012-01-03T00:00:00Z'),
  );
  expect(samoa.map(({ local }) => local)).toEqual(['2011-12-30 02:30']);
});

test('a schedule of some days only is affected on these days', () => {
  const mondays = { ...nightly, dayOfWeek: [{ start: 'MONDAY', end: 'FRIDAY', step: 1 }] } as CalendarSpecDescription;
  expect(clockChanges({ calendars: [mondays], timezone: 'Europe/Berlin' }, ...YEAR)).toEqual([]);
});

test('a time that is skipped runs as much later once its entry is in the schedule', () => {
  const times = { calendars: [nightly], timezone: 'Europe/Berlin' };
  const [entry, ...others] = shiftedEntries(times, ...YEAR);
  expect(others).toEqual([]);
  expect(entry).toEqual({
    year: 2027,
    month: 'MARCH',
    dayOfMonth: 28,
    hour: 3,
    minute: 30,
    comment: 'instead of 2027-03-28 02:30',
  });
  const described = { ...nightly, comment: entry?.comment ?? '' };
  expect(clockChanges({ ...times, calendars: [nightly, described] }, ...YEAR)).toEqual([
    { local: '2027-03-28 02:30', kind: 'shifted', runs: 1, runs_at: '2027-03-28 03:30' },
    { local: '2027-10-31 02:30', kind: 'twice', runs: 1, runs_at: null },
  ]);
});

// What the code of Temporal's server computes (service/worker/scheduler/calendar.go, run with Go's zones).
test.each<[timezone: string, minutes: number[], hours: number[], changes: string[]]>([
  ['Europe/London', [30], [1], ['2027-03-28 01:30 missing 0', '2027-10-31 01:30 twice 1']],
  ['Europe/London', [30], [0], ['2027-10-31 01:30 extra 1']],
  ['Europe/London', [30], [0, 1], ['2027-03-28 01:30 missing 0', '2027-10-31 01:30 twice 1']],
  ['Europe/London', [30], [2], []],
  ['Europe/Lisbon', [0], [1], ['2027-03-28 01:00 missing 0', '2027-10-31 01:00 twice 1']],
  ['Europe/Berlin', [30], [1], ['2027-10-31 02:30 extra 1']],
  ['Europe/Berlin', [30], [3], []],
  ['Atlantic/Azores', [30], [0], ['2027-03-28 00:30 missing 0', '2027-10-31 00:30 twice 2']],
  ['America/New_York', [30], [0], []],
  ['America/New_York', [0], [1], ['2027-11-07 01:00 twice 2']],
  ['Australia/Sydney', [30], [2], ['2027-04-04 02:30 twice 1', '2027-10-03 02:30 missing 0']],
  ['Australia/Sydney', [0], [1], ['2027-04-04 02:00 extra 1']],
  ['Pacific/Auckland', [30], [2], ['2027-04-04 02:30 twice 1', '2027-09-26 02:30 missing 0']],
  ['Australia/Lord_Howe', [15], [1], ['2027-04-04 01:45 extra 1']],
  ['Australia/Lord_Howe', [45], [1], ['2027-04-04 01:45 twice 1']],
  ['Australia/Lord_Howe', [0], [2], ['2027-10-03 02:00 shifted 1']],
  ['America/Havana', [30], [0], ['2027-03-14 00:30 missing 0', '2027-11-07 00:30 twice 2']],
  ['Africa/Cairo', [30], [0], ['2027-04-30 00:30 missing 0']],
  ['Africa/Cairo', [30], [23], ['2027-10-28 23:30 twice 1']],
])('in %s, at minutes %j of the hours %j', (timezone, minutes, hours, expected) => {
  const listed = (values: number[]) => values.map((value) => ({ start: value, end: value, step: 1 }));
  const changes = clockChanges({ calendars: [at(listed(hours), listed(minutes))], timezone }, ...YEAR);
  expect(changes.map(({ local, kind, runs }) => `${local} ${kind} ${runs}`)).toEqual(expected);
});

test('where Sunday has no midnight, west of UTC, a schedule of Sundays has no run on that day', () => {
  const day = [{ start: 'SUNDAY', end: 'SUNDAY', step: 1 }];
  const sundays = { ...at(every(9, 9), every(0, 0)), dayOfWeek: day } as CalendarSpecDescription;
  const kinds = (timezone: string) =>
    clockChanges({ calendars: [sundays], timezone }, ...YEAR).map(({ local, kind }) => `${local} ${kind}`);
  expect(kinds('America/Havana')).toEqual(['2027-03-14 09:00 left_out']);
  expect(kinds('Asia/Beirut')).toEqual([]);
});

test('an interval follows no clock', () => {
  expect(clockChanges({ calendars: [], timezone: 'Europe/Berlin' }, ...YEAR)).toEqual([]);
});

test('a period that begins or ends within a minute, or between both copies of a time, has its own times only', () => {
  const times = { calendars: [nightly], timezone: 'Europe/Berlin' };
  const between = (from: string, to: string) =>
    clockChanges(times, new Date(`2027-10-${from}Z`), new Date(`2027-10-${to}Z`)).map(({ runs }) => runs);
  expect(between('30T11:11:11.111', '31T11:11:11.111')).toEqual([1]);
  expect(between('31T02:00:00', '31T23:00:00')).toEqual([]);
  expect(between('29T02:00:00', '31T00:15:00')).toEqual([]);
});

test.each(['@every 1h # a b', 'CRON_TZ=Europe/Rome @daily # a b', '0 9 * * MON#2', 'TZ=UTC 30 2 * *', '@daily'])(
  'the expression %j is refused',
  (cron) => {
    const schedule = { id: 'a', cron, timezone: 'UTC', manifest: { key: 'a.jsonl' } };
    expect(() => checkSchedule(schedule)).toThrow(expect.objectContaining({ type: 'InvalidRequest' }));
    expect(() => checkSchedule({ ...schedule, cron: '0,30 9-17/2 * * MON' })).not.toThrow();
  },
);
