import type { Client } from '@temporalio/client';
import { expect, test } from 'vitest';
import { assessSlots } from '../../src/client/slots-health.js';

const NOW_MS = 1_000_000_000;
const [COMPLETED, TIMED_OUT, FAILED, SIGNALED] = [7, 8, 9, 26];
const UNHANDLED_COMMAND = 1;

interface Server {
  readonly status?: string;
  readonly polledMsAgo?: number;
  readonly attempt?: number;
  /** The latest events, the newest first. */
  readonly events?: readonly object[];
}

/** Temporal as far as the assessment asks it. */
const clientOf = ({ status = 'RUNNING', polledMsAgo = 1_000, attempt = 1, events = [] }: Server) =>
  ({
    options: { namespace: 'default' },
    workflow: {
      getHandle: () => ({
        describe: async () => ({
          status: { name: status },
          taskQueue: 'queue',
          runId: 'run',
          raw: { pendingWorkflowTask: { attempt } },
        }),
      }),
    },
    workflowService: {
      describeTaskQueue: async () => ({ pollers: [{ lastAccessTime: { seconds: (NOW_MS - polledMsAgo) / 1000 } }] }),
      getWorkflowExecutionHistoryReverse: async () => ({ history: { events } }),
    },
  }) as unknown as Client;
const failed = (message: string, cause = 24) => ({
  eventType: FAILED,
  workflowTaskFailedEventAttributes: { cause, failure: { message } },
});
const signals = Array.from({ length: 300 }, () => ({ eventType: SIGNALED }));

test.each<{ server: Server; state: string; why: string }>([
  { server: { status: 'TERMINATED' }, state: 'not_running', why: 'they were terminated' },
  { server: { polledMsAgo: 120_000, attempt: 9 }, state: 'unattended', why: 'the last poll is two minutes old' },
  { server: {}, state: 'busy', why: 'their first attempt is under way' },
  { server: { attempt: 9, events: [...signals, { eventType: TIMED_OUT }] }, state: 'busy', why: 'tasks time out' },
  { server: { attempt: 9, events: [{ eventType: COMPLETED }] }, state: 'busy', why: 'the last task succeeded' },
  {
    server: { attempt: 9, events: [...signals, failed('[TMPRL1100] Nondeterminism')] },
    state: 'failing',
    why: 'it fails',
  },
  { server: { attempt: 2, events: [failed('[TMPRL1100] Nondeterminism')] }, state: 'busy', why: 'it failed once' },
  { server: { attempt: 9, events: [failed('[TMPRL1101] Deadlock')] }, state: 'busy', why: 'the machine is overloaded' },
  { server: { attempt: 9, events: [failed('', UNHANDLED_COMMAND)] }, state: 'busy', why: 'a signal came first' },
])('slots are $state when $why', async ({ server, state }) => {
  expect(await assessSlots(clientOf(server), 'slots/p/a', NOW_MS)).toMatchObject({ state });
});
