import type { Client, ScheduleDescription } from '@temporalio/client';
import { ValueError } from '@temporalio/common';
import { expect, test } from 'vitest';
import { WanScheduleClient } from '../../src/client/schedule-client.js';
import { setUp } from './ledger-setup.js';

/** A schedule client whose Temporal has one schedule with these calls. */
const clientWith = (handle: object): WanScheduleClient => {
  const client = { workflow: {}, schedule: { getHandle: () => handle } } as unknown as Client;
  return new WanScheduleClient({ client, store: setUp().store });
};

test('a schedule whose input cannot be read here is paused all the same, and the fault is reported', async () => {
  const notes: string[] = [];
  const schedules = clientWith({
    pause: async (note: string) => void notes.push(note),
    update: () => Promise.reject(new ValueError('Unknown encoding: binary/encrypted')),
  });
  await expect(schedules.pause('nightly', 'the wrong month')).rejects.toThrow('Unknown encoding');
  expect(notes).toEqual(['the wrong month']);
});

test('a backfill starts nothing that a pause has stopped while the backfill was being requested', async () => {
  const calls: string[] = [];
  const schedule = (waiting: number) =>
    ({
      action: { args: [{ schedule_paused_at: '2026-01-03T08:00:00.000Z' }] },
      state: { paused: true },
      raw: { info: { bufferSize: waiting } },
    }) as unknown as ScheduleDescription;
  const schedules = clientWith({
    describe: async () => schedule(0),
    update: async (change: (current: ScheduleDescription) => unknown) => {
      change(schedule(5));
      calls.push('update');
    },
    backfill: async () => void calls.push('backfill'),
  });
  const period = { from: new Date('2026-01-01'), to: new Date('2026-01-02') };
  await expect(schedules.backfill('nightly', period)).rejects.toThrow(/has 5 runs that wait since its pause/);
  expect(calls).toEqual([]);
});
