import { expect, test } from 'vitest';
// @ts-expect-error the bench is plain JavaScript
import { actionsOf } from '../../bench/actions.mjs';
// @ts-expect-error the bench is plain JavaScript
import { bounds, busiestSecond } from '../../bench/figures.mjs';
// @ts-expect-error the bench is plain JavaScript
import { slotsBusy } from '../../bench/slots-busy.mjs';

const start = { workflowExecutionStartedEventAttributes: {} };
const signalled = { workflowExecutionSignaledEventAttributes: { signalName: 'slot' } };
const scheduled = { activityTaskScheduledEventAttributes: {} };
const startedAt = (attempt: number) => ({ activityTaskStartedEventAttributes: { attempt } });
const marker = (task: number) => ({ markerRecordedEventAttributes: { workflowTaskCompletedEventId: task } });
/** An event from the wire says null for every kind that it is not. */
const task = { workflowTaskCompletedEventAttributes: {}, workflowExecutionSignaledEventAttributes: null };

test.each([
  { what: 'a start by a client', events: [start], actions: 1 },
  { what: 'a start with a signal, which is one in all', events: [start, signalled], actions: 1 },
  { what: 'a start and a later signal', events: [start, task, signalled], actions: 2 },
  {
    what: 'a start by a schedule, which is two more',
    events: [
      {
        workflowExecutionStartedEventAttributes: { searchAttributes: { indexedFields: { TemporalScheduledById: {} } } },
      },
    ],
    actions: 3,
  },
  { what: 'an activity at its first attempt', events: [start, task, scheduled, startedAt(1)], actions: 2 },
  { what: 'an activity at its third attempt', events: [start, task, scheduled, startedAt(3)], actions: 4 },
  { what: 'a timer', events: [start, task, { timerStartedEventAttributes: {} }], actions: 2 },
  {
    what: 'an upsert of attributes',
    events: [start, task, { upsertWorkflowSearchAttributesEventAttributes: {} }],
    actions: 2,
  },
  {
    what: 'a child that is started',
    events: [start, task, { startChildWorkflowExecutionInitiatedEventAttributes: {} }],
    actions: 2,
  },
  { what: 'three markers of two workflow tasks', events: [start, task, marker(4), marker(4), marker(9)], actions: 3 },
  {
    what: 'a signal that is sent: it is counted where it arrives',
    events: [start, task, { signalExternalWorkflowExecutionInitiatedEventAttributes: {} }],
    actions: 1,
  },
  { what: 'a reset', events: [start, { workflowTaskFailedEventAttributes: { cause: 20 } }], actions: 2 },
  {
    what: 'a workflow task that failed',
    events: [start, { workflowTaskFailedEventAttributes: { cause: 14 } }],
    actions: 1,
  },
  { what: 'workflow tasks', events: [start, task, task], actions: 1 },
])('$what is counted as $actions Actions in all', ({ events, actions }) => {
  expect(actionsOf(events).total).toBe(actions);
});

test('heartbeats and queries, which leave no event, are counted as they are handed in', () => {
  expect(actionsOf([start], { heartbeats: 12, queries: 3 }).total).toBe(16);
});

test.each([
  {
    what: 'two slots without a gap',
    tasks: [
      [0, 10],
      [0, 10],
      [10, 20],
      [10, 20],
    ],
    share: 1,
  },
  {
    what: 'half of the time with one of two',
    tasks: [
      [0, 10],
      [0, 5],
      [10, 20],
    ],
    share: 0.75,
  },
  {
    what: 'a tail, which is left out',
    tasks: [
      [0, 10],
      [0, 10],
      [10, 1000],
    ],
    share: 1,
  },
  {
    what: 'a slot that nobody uses',
    tasks: [
      [0, 10],
      [10, 20],
    ],
    share: 0.5,
  },
])('of two slots the busy share is $share with $what', ({ tasks, share }) => {
  const times = tasks.map(([start_ms, end_ms]) => ({ start_ms, end_ms }));
  expect(slotsBusy(times, 2).share).toBeCloseTo(share);
});

test('the busiest second counts requests within any second, not by the clock', () => {
  expect(busiestSecond([0, 900, 1_100, 1_200, 1_899, 1_901, 5_000])).toBe(4);
});

test('a figure beyond its bound is not held, and what was not run is not judged', () => {
  const row = { client: { learns: true }, cell: { name: '180 s ± 5 %' }, noticed: 2, plan: [0, 0], refused: 0 };
  const learned = { ...row, state: 'learned', requests: 11, meanMs: 700 };
  const fleet = { ...row, state: '100 in flight', requests: 2.9, p95Ms: 1_800, busiestSecond: 10 };
  const boundsHold = (rows: object[], ratios: object[] = []) =>
    (bounds(rows, ratios) as { held: boolean }[]).every(({ held }) => held);
  expect(boundsHold([learned, fleet])).toBe(true);
  expect(bounds([], [])).toEqual([]);
  for (const change of [{ requests: 13 }, { meanMs: 1_100 }, { noticed: 1 }])
    expect(boundsHold([{ ...learned, ...change }])).toBe(false);
  for (const change of [{ requests: 3.1 }, { p95Ms: 2_100 }, { busiestSecond: 11 }, { refused: 0.01 }])
    expect(boundsHold([{ ...fleet, ...change }])).toBe(false);
  const cold = { cell: '180 s ± 5 %', state: 'cold', against: 'official Python SDK', requests: 1, delay: 1.4 };
  expect(boundsHold([], [cold])).toBe(true);
  expect(boundsHold([], [{ ...cold, requests: 1.2 }])).toBe(false);
});
