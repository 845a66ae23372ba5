import type { CalendarSpecDescription } from '@temporalio/client';
import { expect, test } from 'vitest';
import { clockChanges, shiftedEntries } from '../../src/client/clock-changes.js';

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
