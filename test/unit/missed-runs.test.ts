import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { batchScheduleId } from '../../src/contract/names.js';
import { WEBHOOK_EVENT_TYPES, type WebhookEvent, type WebhookEventType } from '../../src/contract/webhook.js';
import { WorkerMetrics } from '../../src/metrics/worker-metrics.js';
import { FileStore } from '../../src/storage/file-store.js';
import { lookAtSchedules, type MissedRunsDeps } from '../../src/worker/missed-runs.js';

const QUEUE = 'wan-generate';
const NEVER = new AbortController().signal;

/** A schedule as Temporal describes it. */
interface Schedule {
  missed: number;
  readonly taskQueue?: string;
  readonly createdAt?: string;
  readonly receiver?: string;
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'missed-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A worker's view of schedules, which several workers share, and the deliveries that were started. */
function worldOf(
  schedules: Record<string, Schedule | 'gone'>,
  subscribed: readonly WebhookEventType[] = WEBHOOK_EVENT_TYPES,
) {
  const started: { event: WebhookEvent; receiver: string; workflowId: string }[] = [];
  const ids = new Set<string>();
  let failing: 'start' | 'put' | undefined;
  const client = {
    withDeadline: (_at: number, call: () => Promise<unknown>) => call(),
    schedule: {
      async *list() {
        yield { scheduleId: 'somebody-elses' };
        for (const id of Object.keys(schedules)) yield { scheduleId: batchScheduleId(id) };
      },
      getHandle: (scheduleId: string) => ({
        describe: async () => {
          const schedule = schedules[scheduleId.slice(batchScheduleId('').length)];
          if (schedule === undefined || schedule === 'gone') throw new Error('not found');
          const { missed, taskQueue = QUEUE, createdAt = '2026-01-01T00:00:00Z', receiver } = schedule;
          return {
            info: { numActionsMissedCatchupWindow: missed, createdAt: new Date(createdAt) },
            action: { taskQueue, args: [{ ...(receiver !== undefined && { receiver }) }] },
            policies: { catchupWindow: 3_600_000 },
          };
        },
      }),
    },
    workflow: {
      start: async (
        type: string,
        { args, workflowId }: { args: [WebhookEvent, { receiver: string }?]; workflowId: string },
      ) => {
        if (failing === 'start') throw new Error('Temporal is away');
        if (ids.has(workflowId)) throw new WorkflowExecutionAlreadyStartedError('again', workflowId, type);
        ids.add(workflowId);
        started.push({ event: args[0], receiver: args[1]?.receiver ?? 'default', workflowId });
      },
    },
  };
  const webhook = {
    eventsOf: (name: string | undefined) => {
      if (name === undefined) return subscribed;
      if (name !== 'team-a') throw new Error('unknown');
      return { receiver: name, events: subscribed };
    },
  };
  const workers: WorkerMetrics[] = [];
  const worker = () => {
    const metrics = new WorkerMetrics({ provider: 'p', account: 'a' });
    workers.push(metrics);
    const store = new FileStore(folder);
    const put = store.put.bind(store);
    store.put = async (...input) => {
      if (failing === 'put') throw new Error('the store is away');
      return put(...input);
    };
    const deps = { client: client as unknown as Client, taskQueue: QUEUE, metrics, store, webhook } as unknown;
    const announced = new Map<string, number>();
    return () => lookAtSchedules(deps as MissedRunsDeps, announced, NEVER);
  };
  const counted = async () => {
    const texts = await Promise.all(workers.map((metrics) => metrics.text()));
    return texts.map((text) => Number(/^wan_video_schedule_runs_missed_total\{.*\} (\d+)$/m.exec(text)?.[1]));
  };
  const fail = (what: typeof failing): void => {
    failing = what;
  };
  return { started, worker, counted, fail, schedules };
}

test('each new count of a schedule is one event with one id, by any worker and at any look', async () => {
  const nightly: Schedule = { missed: 0 };
  const { started, worker, counted } = worldOf({ nightly, hourly: { missed: 0 } });
  const [one, other] = [worker(), worker()];
  await one();
  expect(started).toEqual([]);

  nightly.missed = 2;
  await Promise.all([one(), other()]);
  await worker()();
  expect(started.map(({ event, receiver }) => [event.type, event.data, receiver])).toEqual([
    [
      'schedule.runs_missed',
      expect.objectContaining({
        schedule_id: 'nightly',
        workflow_id: 'batch/nightly',
        missed: 2,
        more: 2,
        text: expect.stringMatching(/^Schedule nightly has missed 2 runs, 2 in all: .* 3600 s /),
        next_step: expect.stringContaining('wan-video schedule backfill nightly --from'),
      }),
      'default',
    ],
  ]);

  nightly.missed = 5;
  await other();
  await one();
  expect(started.map(({ event }) => event.data)).toMatchObject([{ missed: 2 }, { missed: 5, more: 3 }]);
  expect(new Set(started.map(({ event }) => event.id)).size).toBe(2);
  expect((await counted()).reduce((sum, count) => sum + count, 0)).toBe(5);
});

test.each(['start', 'put'] as const)(
  'a failure of the %s is made up for with the same id, and nothing comes twice',
  async (what) => {
    const { started, worker, counted, fail } = worldOf({ nightly: { missed: 1 } });
    const look = worker();
    fail(what);
    await look();
    fail(undefined);
    await look();
    await worker()();
    expect(started).toHaveLength(1);
    expect(await counted()).toEqual([1, 0]);
  },
);

test('schedules of other queues are left to their workers; a deleted one keeps no other one from being seen', async () => {
  const { started, worker } = worldOf({
    lost: 'gone',
    foreign: { missed: 9, taskQueue: 'other' },
    ours: { missed: 1 },
  });
  await worker()();
  expect(started.map(({ event }) => event.data)).toMatchObject([{ schedule_id: 'ours' }]);
});

test('a schedule that was deleted and made again begins at zero', async () => {
  const { started, worker, schedules } = worldOf({ nightly: { missed: 1 } });
  await worker()();
  schedules['nightly'] = { missed: 1, createdAt: '2026-02-01T00:00:00Z' };
  await worker()();
  expect(new Set(started.map(({ workflowId }) => workflowId)).size).toBe(2);
});

test('the event goes to the receiver of the schedule, and to the default one where that is unknown', async () => {
  const { started, worker } = worldOf({
    a: { missed: 1, receiver: 'team-a' },
    b: { missed: 1, receiver: 'removed' },
  });
  await worker()();
  expect(started.map(({ receiver }) => receiver)).toEqual(['team-a', 'default']);
});

test('a receiver that does not list the event gets none; the runs are counted all the same', async () => {
  const { started, worker, counted } = worldOf({ nightly: { missed: 4 } }, ['batch.ended']);
  await worker()();
  expect(started).toEqual([]);
  expect(await counted()).toEqual([4]);
});
