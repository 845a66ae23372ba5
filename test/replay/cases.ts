import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { VideoRunError } from '../../src/client/run-error.js';
import type { StartOptions } from '../../src/client/video-start.js';
import type { Times } from '../../src/config/times.js';
import { CANCEL_SIGNAL, conformWorkflowId, type WorkflowType } from '../../src/contract/names.js';
import type { VideoRequest } from '../../src/contract/request.js';
import type { VideoProgress } from '../../src/contract/result.js';
import { stepTimesOf } from '../../src/contract/times.js';
import type { EmulatorFault } from '../../src/emulator/index.js';
import { stageImage } from '../../src/media/stage-image.js';
import { type Account, account } from '../support/account.js';
import { writeTestImage } from '../support/images.js';
import { moneyOf } from '../support/money.js';
import type { Stack } from '../support/stack.js';
import { BATCH_CASES } from './batch-cases.js';
import { WEBHOOK_CASES } from './webhook-cases.js';

/** The event that a history ends with; `open` is none: the run continues. */
export type CaseEnd = 'completed' | 'failed' | 'cancelled' | 'continued' | 'open';

/** One path through a workflow, and how a run is brought there. */
export interface ReplayCase {
  readonly workflow: keyof typeof WorkflowType;
  readonly name: string;
  readonly ends: CaseEnd;
  /** Steps that the history must have scheduled, so that the file shows what its name says. */
  readonly steps: readonly string[];
  /** Changes what every run of the stack depends on, so no other case may run at the same time. */
  readonly alone?: true;
  /** Recorded on a stack whose worker has a webhook; there the other cases would send events as well. */
  readonly webhook?: true;
  /**
   * Brings a run there and resolves its workflow id (and run id, where it is not the latest) once its history is
   * complete.
   */
  reach(stack: Stack): Promise<string | readonly [workflowId: string, runId: string]>;
}

/** A run that finds something to follow or to take requests no slot and submits nothing. */
const FIND = ['prepareRequest'] as const;
const BUY = ['prepareRequest', 'submitTask'] as const;
const GENERATE = [...BUY, 'pollTask'] as const;
/** Ends the first request of its kind, so that the step which follows does the work. */
const REFUSED_ONCE = { fault: 'status', status: 503, code: 'ModelUnavailable' } as const;

/** Every case has a file `histories/<workflow>/<name>.json`, and every file a case. */
export const CASES: readonly ReplayCase[] = [
  ...BATCH_CASES,
  ...WEBHOOK_CASES,
  generate('completed', 'completed', GENERATE, async (stack) => completes(stack, await start(stack))),
  {
    ...generate(
      'completed-step-by-step',
      'completed',
      ['prepareRequest', 'uploadReference', 'submitTask', 'pollTask', 'archiveVideo'],
      async (stack) => {
        const request = stack.request(prompt());
        stack.emulator.queueFaults([
          { on: 'policy', ...REFUSED_ONCE },
          { on: 'download', fault: 'status', status: 451, match: request.prompt },
        ]);
        return completes(stack, await start(stack, request));
      },
    ),
    alone: true,
  },
  generate('cached', 'completed', ['prepareRequest'], async (stack) => {
    const request = stack.request(prompt());
    await stack.videos.generate(request);
    return completes(stack, await start(stack, request), 'cache');
  }),
  generate('adopted-rendering', 'completed', [...FIND, 'pollTask'], async (stack) => {
    const request = long(stack);
    await rendering(stack, request);
    return completes(stack, await start(stack, request, { id: `other/${randomUUID()}` }), 'adopted');
  }),
  generate('adopted-following', 'completed', [...FIND, 'awaitPurchase', 'pollTask'], async (stack) => {
    const request = stack.request(prompt());
    return completes(stack, await follows(stack, request), 'adopted');
  }),
  generate('found-in-the-ledger', 'completed', FIND, async (stack) => {
    const request = stack.request(prompt());
    const { task_id } = await stack.videos.generate(request);
    await forgetCached(stack, task_id);
    return completes(stack, await start(stack, request), 'cache');
  }),
  generate('resubmitted', 'completed', GENERATE, async (stack) => {
    const request = stack.request(prompt());
    stack.emulator.queueFaults({ on: 'submit', fault: 'task-failed', code: 'InternalError', match: request.prompt });
    return completes(stack, await start(stack, request));
  }),
  generate('cancelled-elsewhere-and-resubmitted', 'completed', GENERATE, async (stack) => {
    const request = long(stack);
    const id = await rendering(stack, request);
    stack.emulator.changeTask(tasksOf(stack, request)[0]?.task_id ?? '', { status: 'CANCELED' });
    return completes(stack, id);
  }),
  generate('reply-lost', 'completed', [...GENERATE, 'reconcileSubmit'], async (stack) => {
    return completes(stack, await start(stack, replyLost(stack, { fault: 'drop-reply' })));
  }),
  generate('reply-lost-nothing-bought', 'completed', [...GENERATE, 'reconcileSubmit'], async (stack) => {
    return completes(stack, await start(stack, replyLost(stack, { fault: 'drop-reply', when: 'before' })));
  }),
  generate('submit-timed-out', 'completed', [...GENERATE, 'reconcileSubmit'], async (stack) => {
    const delay = { fault: 'delay', when: 'after', delay_ms: SUBMIT_START_TO_CLOSE_MS + 2_000 } as const;
    return completes(stack, await start(stack, replyLost(stack, delay)));
  }),
  generate('restored', 'completed', [...FIND, 'restoreVideo'], async (stack) => {
    const request = stack.request(prompt());
    const { task_id } = await stack.videos.generate(request);
    await stack.store.delete(`videos/${task_id}.mp4`);
    return completes(stack, await start(stack, request), 'cache');
  }),
  // Alone, because a task of another case that nobody has claimed may be the one that was bought.
  {
    ...generate('lost-for-good-and-bought-again', 'completed', [...GENERATE, 'restoreVideo'], async (stack) => {
      const request = stack.request(prompt());
      const { task_id } = await stack.videos.generate(request);
      await stack.store.delete(`videos/${task_id}.mp4`);
      stack.emulator.changeTask(task_id, { forgotten: true });
      return completes(stack, await start(stack, request));
    }),
    alone: true,
  },

  generate('failed-invalid-request', 'failed', ['prepareRequest'], async (stack) => {
    const id = `video/${randomUUID()}`;
    await stack.client.workflow.start('videoGenerate', {
      workflowId: id,
      taskQueue: stack.config.taskQueues.generate,
      args: [{ ...stack.request(prompt()), duration: 99 }],
    });
    return fails(stack, id, 'InvalidRequest');
  }),
  generate('failed-refused-content', 'failed', BUY, async (stack) => {
    const request = stack.request(prompt());
    const refusal = { fault: 'status', status: 400, code: 'DataInspectionFailed' } as const;
    stack.emulator.queueFaults({ on: 'submit', match: request.prompt, ...refusal });
    return fails(stack, await start(stack, request), 'ContentRejected');
  }),
  generate('failed-task-content', 'failed', [...BUY, 'pollTask'], async (stack) => {
    const request = stack.request(prompt());
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'task-failed',
      code: 'DataInspectionFailed',
      match: request.prompt,
    });
    return fails(stack, await start(stack, request), 'ContentRejected');
  }),
  generate('failed-thrice', 'failed', [...BUY, 'pollTask'], async (stack) => {
    const request = stack.request(prompt());
    stack.emulator.queueFaults({ on: 'submit', fault: 'task-failed', match: request.prompt, times: 3 });
    return fails(stack, await start(stack, request), 'TaskFailed');
  }),
  // Alone, because a task of another case that nobody has claimed may be the one that was bought.
  {
    ...generate('failed-forgotten', 'failed', [...BUY, 'pollTask'], async (stack) => {
      const request = long(stack);
      const id = await rendering(stack, request);
      stack.emulator.changeTask(tasksOf(stack, request)[0]?.task_id ?? '', { forgotten: true });
      return fails(stack, id, 'ResultExpired');
    }),
    alone: true,
  },
  {
    ...generate('deadline-exceeded', 'failed', [...BUY, 'cancelTask'], async (stack) => {
      return fails(stack, await start(stack, { ...long(stack), deadline_seconds: 3 }), 'DeadlineExceeded');
    }),
    alone: true,
  },

  generate('cancelled-preparing', 'cancelled', ['prepareRequest', 'requestCancellation'], async (stack) => {
    const server = createServer(() => undefined).listen(0, '127.0.0.1'); // takes the request and never answers
    await once(server, 'listening');
    try {
      const reference_image = `http://127.0.0.1:${(server.address() as AddressInfo).port}/boat.png`;
      const id = await start(stack, { ...stack.request(prompt()), reference_image });
      await reaches(stack, id, 'preparing');
      return await cancelled(stack, id);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }),
  {
    ...generate('cancelled-uploading', 'cancelled', ['uploadReference', 'requestCancellation'], async (stack) => {
      stack.emulator.queueFaults([
        { on: 'policy', ...REFUSED_ONCE },
        { on: 'policy', fault: 'delay', delay_ms: 5_000 },
      ]);
      const id = await start(stack);
      await reaches(stack, id, 'uploading');
      return cancelled(stack, id);
    }),
    alone: true,
  },
  generate('cancelled-submitting', 'cancelled', [...BUY, 'cancelTask'], async (stack) => {
    const request = long(stack);
    stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms: 1_500, match: request.prompt });
    const id = await start(stack, request);
    await reaches(stack, id, 'submitting');
    return cancelled(stack, id, 'natively');
  }),
  generate('cancelled-unanswered', 'cancelled', [...BUY, 'findPurchase'], async (stack) => {
    const delay = { fault: 'delay', when: 'after', delay_ms: SUBMIT_START_TO_CLOSE_MS + 2_000 } as const;
    const id = await start(stack, replyLost(stack, delay));
    await reaches(stack, id, 'submitting');
    return cancelled(stack, id);
  }),
  generate('cancelled-following', 'cancelled', [...FIND, 'awaitPurchase'], async (stack) => {
    return cancelled(stack, await follows(stack, stack.request(prompt())));
  }),
  generate('cancelled-reconciling', 'cancelled', [...BUY, 'reconcileSubmit'], async (stack) => {
    const id = await start(stack, replyLost(stack, { fault: 'drop-reply' }));
    await reaches(stack, id, 'reconciling');
    return cancelled(stack, id);
  }),
  generate('cancelled-needs-attention', 'cancelled', ['reconcileSubmit', 'awaitPurchase'], async (stack) => {
    const [id] = await twins(stack);
    return cancelled(stack, id);
  }),
  generate('cancelled-rendering', 'cancelled', [...BUY, 'cancelTask', 'requestCancellation'], async (stack) => {
    return cancelled(stack, await rendering(stack));
  }),
  generate('cancelled-rendering-natively', 'cancelled', [...BUY, 'cancelTask'], async (stack) => {
    return cancelled(stack, await rendering(stack), 'natively');
  }),
  generate('cancelled-rendering-both-ways', 'cancelled', [...BUY, 'cancelTask'], async (stack) => {
    return cancelled(stack, await rendering(stack), 'both ways');
  }),
  {
    ...generate('cancelled-pending', 'cancelled', [...BUY, 'cancelTask'], async (stack) =>
      withoutRendering(stack, async () => cancelled(stack, await queued(stack))),
    ),
    alone: true,
  },
  generate('cancelled-adopted', 'cancelled', [...FIND, 'pollTask'], async (stack) => {
    const request = long(stack);
    await rendering(stack, request);
    const id = await start(stack, request, { id: `other/${randomUUID()}` });
    await reaches(stack, id, 'rendering');
    return cancelled(stack, id);
  }),
  generate('cancelled-archiving', 'cancelled', [...GENERATE, 'archiveVideo'], async (stack) => {
    const request = stack.request(prompt());
    stack.emulator.queueFaults([
      { on: 'download', fault: 'status', status: 451, match: request.prompt },
      { on: 'download', fault: 'stall', match: request.prompt },
    ]);
    const id = await start(stack, request);
    await reaches(stack, id, 'archiving');
    return cancelled(stack, id);
  }),

  generate(
    'needs-attention-open',
    'open',
    ['reconcileSubmit', 'awaitPurchase'],
    async (stack) => (await twins(stack))[0],
  ),
  generate('needs-attention-resolved', 'completed', [...GENERATE, 'resolvePurchase'], async (stack) => {
    const [id, , request] = await twins(stack);
    const [task] = tasksOf(stack, request);
    const refused = await stack.videos.resolve(id, { task_id: 'no-such-task' }).catch((error: unknown) => error);
    must(refused instanceof VideoRunError && refused.error.type === 'MessageRefused', `${refused} is no refusal`);
    await stack.videos.resolve(id, { task_id: task?.task_id ?? '' });
    return completes(stack, id);
  }),
  generate('needs-attention-bought-again', 'completed', [...GENERATE, 'resolvePurchase'], async (stack) => {
    const [id] = await twins(stack);
    await stack.videos.resolve(id, { buy_again: true });
    return completes(stack, id);
  }),
  generate('needs-attention-decided-elsewhere', 'completed', ['reconcileSubmit', 'awaitPurchase'], async (stack) => {
    const [id, , request] = await twins(stack);
    const other = await start(stack, request, { id: `other/${randomUUID()}` });
    await reaches(stack, other, 'needs_attention');
    await stack.videos.resolve(other, { task_id: tasksOf(stack, request)[0]?.task_id ?? '' });
    // It takes the decision from the ledger before or after the other run has archived the video.
    return completes(stack, id, 'generated', 'adopted', 'cache');
  }),
  generate('rendering-open', 'open', [...BUY, 'pollTask'], (stack) => rendering(stack)),

  generate('conformed', 'completed', [...GENERATE, 'conformVideo'], async (stack) => {
    const id = await start(stack, { ...stack.request(prompt()), conform: 'exact', poster: true });
    const { original_url } = await stack.videos.result(id);
    must(original_url !== undefined, 'the video was not conformed');
    return id;
  }),
  generate('conforming-unserved', 'completed', [...GENERATE, 'conformVideo'], (stack) =>
    withAccount(stack, { conformScheduleToStartMs: 500 }, async (one) => {
      const { id } = await one.videos.start({ ...stack.request(prompt()), conform: 'exact' });
      const { warnings } = await one.videos.result(id);
      must(warnings.at(-1)?.code === 'conform_failed', 'there is no warning');
      return id;
    }),
  ),
  generate('cancelled-conforming', 'cancelled', [...GENERATE, 'conformVideo'], (stack) =>
    withAccount(stack, {}, async (one) => {
      const { id } = await one.videos.start({ ...stack.request(prompt()), conform: 'exact' });
      await reaches(stack, id, 'conforming');
      return cancelled(stack, id);
    }),
  ),
  {
    workflow: 'conformVideo',
    name: 'completed',
    ends: 'completed',
    steps: ['conformVideo'],
    reach: async (stack) => {
      const id = await start(stack, stack.request(prompt()));
      const result = await stack.videos.result(id);
      const workflowId = conformWorkflowId(result.task_id, 'recorded');
      await stack.client.workflow.execute('conformVideo', {
        workflowId,
        taskQueue: stack.config.taskQueues.generate,
        args: [{ result, conform: { fps: 24 }, poster: false }],
      });
      return workflowId;
    },
  },

  generate('waited-for-slot', 'completed', [...GENERATE, 'requestSlot'], (stack) =>
    withAccount(stack, { slotAskAgainMs: 300 }, async (one) => {
      const [, id] = await oneHoldsOneWaits(one);
      return completes(stack, id);
    }),
  ),
  generate('cancelled-waiting-for-slot', 'cancelled', ['prepareRequest', 'requestCancellation'], (stack) =>
    withAccount(stack, {}, async (one) => {
      const [, id] = await oneHoldsOneWaits(one);
      return cancelled(stack, id);
    }),
  ),
  generate('slots-unreachable', 'completed', [...GENERATE, 'assessSlots'], (stack) =>
    withAccount(stack, { slotAckMs: 500 }, async (one) => {
      await startSlots(stack, one, { taskQueue: 'nobody-polls-this' });
      return completes(stack, await one.start('alone'));
    }),
  ),
  generate('slots-unreachable-with-budgets', 'completed', [...GENERATE, 'requestSlot'], (stack) =>
    withAccount(
      stack,
      { slotAckMs: 500 },
      async (one) => {
        await startSlots(stack, one, { taskQueue: 'nobody-polls-this' });
        const id = await one.start('alone');
        const isSaid = async () => (await one.videos.progress(id)).waiting_for.includes('slots to answer');
        await until(isSaid, 'the run to say that it waits for the slots');
        await stack.client.workflow.getHandle(one.slotsId).terminate('a test');
        return completes(stack, id);
      },
      { day: '0.50' },
    ),
  ),
  generate('budget-reached', 'failed', FIND, (stack) =>
    withAccount(
      stack,
      {},
      async (one) => {
        await stack.videos.result(await one.start('bought'));
        return fails(stack, await one.start('refused'), 'BudgetReached');
      },
      { day: '0.50' },
    ),
  ),
  generate('budget-reached-while-waiting', 'failed', FIND, (stack) =>
    withAccount(
      stack,
      {},
      async (one) => {
        const [, id] = await oneHoldsOneWaits(one);
        return fails(stack, id, 'BudgetReached');
      },
      { day: '0.50' },
    ),
  ),
  {
    workflow: 'videoBatch',
    name: 'budget-reached',
    ends: 'completed',
    steps: ['openBatch', 'writeReport'],
    reach: (stack) =>
      withAccount(
        stack,
        {},
        async (one) => {
          const { client, store, request } = stack;
          const batches = new WanBatchClient({ client, store, taskQueue: one.config.taskQueues.generate });
          const lines = ['one', 'two', 'three'].map((item_id) => ({ item_id, ...request(prompt()) }));
          const { batch_id: batchId, id } = await batches.start({ lines }, { id: randomUUID() });
          const { counts } = await batches.result(batchId);
          must(counts.generated === 1 && counts.budget_reached === 2, `other counts: ${JSON.stringify(counts)}`);
          return id;
        },
        { batches: { '*': '0.50' } },
      ),
  },
  slots(
    'budget-reached',
    'open',
    ['findOpenSlots', 'findSpending'],
    {},
    async (stack, one) => {
      const [held, waits] = await oneHoldsOneWaits(one);
      await stack.videos.result(held);
      await fails(stack, waits, 'BudgetReached');
      return one.slotsId;
    },
    { day: '0.50' },
  ),
  slots(
    'budget-carried',
    'continued',
    ['findOpenSlots', 'findSpending'],
    {},
    async (stack, one) => {
      const first = await startSlots(stack, one, { eventsMax: 20 });
      const ids = await oneHoldsOneWaits(one);
      await Promise.all(ids.map((id) => stack.videos.result(id)));
      return [one.slotsId, first];
    },
    { tenants: { '': { day: '20.00' } } },
  ),

  slots('granted-and-released', 'open', ['findOpenSlots', 'wakeWaitingRuns'], {}, async (stack, one) => {
    const ids = await oneHoldsOneWaits(one);
    await Promise.all(ids.map((id) => stack.videos.result(id)));
    await until(async () => (await one.slots()).holders.length === 0, 'every slot to be released');
    return one.slotsId;
  }),
  slots('audited', 'open', ['findOpenSlots', 'findDeadSlots'], { slotCheckMs: 300 }, async (stack, one) => {
    const [held, waits] = await oneHoldsOneWaits(one);
    await Promise.all([held, waits].map((id) => stack.videos.result(id)));
    return one.slotsId;
  }),
  slots('continued', 'continued', ['findOpenSlots'], {}, async (stack, one) => {
    const first = await startSlots(stack, one, { eventsMax: 20 });
    const ids = await oneHoldsOneWaits(one);
    await Promise.all(ids.map((id) => stack.videos.result(id)));
    return [one.slotsId, first];
  }),
  {
    workflow: 'keepSlotsPage',
    name: 'taken',
    ends: 'completed',
    steps: [],
    reach: (stack) =>
      withAccount(stack, {}, async (one) => {
        await startSlots(stack, one, {});
        const keeper = await stack.client.workflow.start('keepSlotsPage', {
          workflowId: `${one.slotsId}/page/${randomUUID()}/1`,
          taskQueue: one.config.taskQueues.generate,
          args: [{ slots: one.slotsId }, new Uint8Array([1])],
        });
        await keeper.signal('takeSlotsPage');
        await keeper.result();
        return keeper.workflowId;
      }),
  },

  salvage('rendering', 'completed', ['pollTask'], async (stack) => {
    return salvaged(stack, await cancelled(stack, await rendering(stack)));
  }),
  salvage('reconciling', 'completed', ['awaitPurchase', 'reconcileSubmit', 'pollTask'], async (stack) => {
    const id = await start(stack, replyLost(stack, { fault: 'drop-reply' }));
    await reaches(stack, id, 'reconciling');
    return salvaged(stack, await cancelled(stack, id));
  }),
  {
    ...salvage('nothing-bought', 'completed', ['pollTask'], (stack) =>
      withoutRendering(stack, async () => salvaged(stack, await cancelled(stack, await queued(stack)), 'nothing')),
    ),
    alone: true,
  },
  salvage('needs-attention-given-up', 'completed', ['reconcileSubmit', 'resolvePurchase'], async (stack) => {
    const [id] = await twins(stack);
    const salvageId = await salvageOf(stack, await cancelled(stack, id));
    await reaches(stack, salvageId, 'needs_attention');
    await stack.videos.resolve(salvageId, { buy_again: true });
    return salvaged(stack, id, 'nothing');
  }),
  salvage('task-failed', 'completed', ['pollTask'], async (stack) => {
    const request = long(stack);
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'task-failed',
      code: 'DataInspectionFailed',
      match: request.prompt,
    });
    const salvageId = await salvageOf(stack, await cancelled(stack, await rendering(stack, request)));
    const result = await stack.client.workflow.getHandle(salvageId).result();
    must(result === null, 'a failed task was free, and its salvage has a video');
    return salvageId;
  }),

  {
    workflow: 'auditAccount',
    name: 'explains',
    ends: 'completed',
    steps: ['auditTasks'],
    reach: async (stack) => {
      await stack.client.workflow.getHandle(await rendering(stack)).terminate('lost on purpose');
      const workflowId = `audit/${randomUUID()}`;
      const taskQueue = stack.config.taskQueues.generate;
      const report = (await stack.client.workflow.execute('auditAccount', {
        workflowId,
        taskQueue,
        args: [{}],
      })) as Report;
      must(report.rescued.length > 0, `another report: ${JSON.stringify(report)}`);
      return workflowId;
    },
  },
  {
    // The sweep before it takes what other cases left.
    ...sweep(
      'nothing-to-do',
      (report) => report.salvaged.length === 0,
      async (stack) => void (await runSweep(stack)),
    ),
    alone: true,
  },
  {
    ...sweep(
      'salvages',
      (report) => report.salvaged.length > 0,
      async (stack) => {
        await stack.client.workflow.getHandle(await rendering(stack)).terminate('lost on purpose');
      },
    ),
    alone: true,
  },
];

/** Short enough to wait for, long enough for every submit that is not held up. */
export const SUBMIT_START_TO_CLOSE_MS = 5_000;

type Reach = ReplayCase['reach'];

function generate(name: string, ends: CaseEnd, steps: readonly string[], reach: Reach): ReplayCase {
  return { workflow: 'videoGenerate', name, ends, steps, reach };
}

function salvage(name: string, ends: CaseEnd, steps: readonly string[], reach: Reach): ReplayCase {
  return { workflow: 'salvageVideo', name, ends, steps, reach };
}

function slots(
  name: string,
  ends: CaseEnd,
  steps: readonly string[],
  times: Partial<Times>,
  reach: (stack: Stack, one: Account) => ReturnType<Reach>,
  budgets?: unknown,
): ReplayCase {
  return {
    workflow: 'accountSlots',
    name,
    ends,
    steps,
    reach: (stack) => withAccount(stack, times, (one) => reach(stack, one), budgets),
  };
}

/** An account with one slot and a worker of its own, until its run is where it should be. */
async function withAccount<T>(
  stack: Stack,
  times: Partial<Times>,
  use: (one: Account) => Promise<T>,
  budgets?: unknown,
): Promise<T> {
  const one = account(stack, 1, times);
  await one.startWorker(1, budgets === undefined ? undefined : await moneyOf(stack, one.name, budgets));
  try {
    return await use(one);
  } finally {
    await one.close();
  }
}

/** Two runs on one slot, the second of which knows its place in the queue. */
async function oneHoldsOneWaits(one: Account): Promise<readonly [string, string]> {
  const held = await one.start('holds');
  await until(async () => (await one.slots()).holders.length === 1, 'a slot to be held');
  const waits = await one.start('waits', { batch: 'nightly' });
  await until(async () => (await one.videos.progress(waits)).slot !== null, 'a place in the queue');
  return [held, waits];
}

async function startSlots(stack: Stack, one: Account, how: { taskQueue?: string; eventsMax?: number }) {
  const { taskQueue = one.config.taskQueues.generate, ...input } = how;
  const started = await stack.client.workflow.start('accountSlots', {
    workflowId: one.slotsId,
    taskQueue,
    args: [{ limit: 1, times: stepTimesOf(one.config.times), ...input }],
  });
  return started.firstExecutionRunId;
}

interface Report {
  readonly salvaged: readonly string[];
  readonly rescued: readonly string[];
}

function sweep(
  name: string,
  isAsItShouldBe: (report: Report) => boolean,
  before: (stack: Stack) => Promise<void> = async () => undefined,
): ReplayCase {
  const reach = async (stack: Stack): Promise<string> => {
    await before(stack);
    const { id, report } = await runSweep(stack);
    must(isAsItShouldBe(report), `another report: ${JSON.stringify(report)}`);
    return id;
  };
  return { workflow: 'sweepPurchases', name, ends: 'completed', steps: ['findOrphans'], reach };
}

async function runSweep(stack: Stack): Promise<{ id: string; report: Report }> {
  const id = `sweep/${randomUUID()}`;
  const report = (await stack.client.workflow.execute('sweepPurchases', {
    workflowId: id,
    taskQueue: stack.config.taskQueues.generate,
    args: [],
  })) as Report;
  return { id, report };
}

const prompt = (): string => `a boat ${randomUUID()}`;
/** Renders for some seconds: long enough to be found rendering. */
const long = (stack: Stack) => ({ ...stack.request(prompt()), duration: 15 });
const tasksOf = (stack: Stack, request: { prompt: string }) =>
  stack.emulator.state().tasks.filter((task) => task.prompt === request.prompt);

async function start(
  stack: Stack,
  request: VideoRequest = stack.request(prompt()),
  options?: StartOptions,
): Promise<string> {
  return (await stack.videos.start(request, options)).id;
}

async function rendering(stack: Stack, request: VideoRequest = long(stack)): Promise<string> {
  const id = await start(stack, request);
  await reaches(stack, id, 'rendering');
  return id;
}

async function queued(stack: Stack): Promise<string> {
  const id = await start(stack);
  await reaches(stack, id, 'queued');
  return id;
}

/** A request whose submit meets the fault. */
function replyLost(stack: Stack, fault: Pick<EmulatorFault, 'fault' | 'when' | 'delay_ms'>) {
  const request = stack.request(prompt());
  stack.emulator.queueFaults({ on: 'submit', match: request.prompt, ...fault });
  return request;
}

/** A second run of a request that another run is just buying. */
async function follows(stack: Stack, request: VideoRequest): Promise<string> {
  stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms: 3_500, match: request.prompt });
  const buyer = await start(stack, request);
  await until(() => stack.emulator.queuedFaults().every(({ match }) => match !== request.prompt), 'the submit');
  const id = await start(stack, request, { id: `other/${randomUUID()}` });
  await reaches(stack, id, 'following');
  must((await stageOf(stack, buyer)) === 'submitting', 'the other run has bought already');
  return id;
}

/** Two runs whose lost replies nothing distinguishes: one prompt, two images of one shape. */
async function twins(stack: Stack): Promise<[string, string, VideoRequest]> {
  const request = stack.request(prompt());
  const other = { ...request, reference_image: await otherImage(stack) };
  stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: request.prompt, times: 2 });
  const [a, b] = await Promise.all([start(stack, request), start(stack, other)]);
  await Promise.all([a, b].map((id) => reaches(stack, id, 'needs_attention')));
  return [a, b, request];
}

async function otherImage(stack: Stack): Promise<string> {
  const file = join(stack.outputDir, `${randomUUID()}.bmp`);
  await writeTestImage(file, { width: 1280, height: 720 });
  return `asset:${(await stageImage(file, stack.store)).asset.key}`;
}

/** Deletes the cache's pointer to a task's video, which the ledger still has. */
async function forgetCached(stack: Stack, taskId: string): Promise<void> {
  for await (const { key } of stack.store.list('cache/')) {
    if ((await text(stack, key)).includes(taskId)) return stack.store.delete(key);
  }
  throw new Error(`the cache has nothing of ${taskId}`);
}

async function text(stack: Stack, key: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await stack.store.get(key)) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks).toString();
}

/** Runs `work` while nothing renders: every new task stays PENDING. */
async function withoutRendering<T>(stack: Stack, work: () => Promise<T>): Promise<T> {
  const { slots } = stack.emulator.changeSettings({});
  stack.emulator.changeSettings({ slots: 0 });
  try {
    return await work();
  } finally {
    stack.emulator.changeSettings({ slots });
  }
}

async function completes(stack: Stack, id: string, ...sources: string[]): Promise<string> {
  const { source } = await stack.videos.result(id);
  const expected = sources.length === 0 ? ['generated'] : sources;
  must(expected.includes(source), `source ${source} instead of ${expected}`);
  return id;
}

async function fails(stack: Stack, id: string, type: string): Promise<string> {
  const error = await stack.videos.result(id).then(
    () => undefined,
    (error: unknown) => error,
  );
  must(error instanceof VideoRunError && error.error.type === type, `${error} instead of ${type}`);
  return id;
}

async function cancelled(
  stack: Stack,
  id: string,
  how: 'update' | 'signal' | 'natively' | 'both ways' = 'update',
): Promise<string> {
  const run = stack.client.workflow.getHandle(id);
  const reason = 'no longer needed';
  if (how === 'update') await stack.videos.cancel(id, reason);
  else {
    await Promise.all([how !== 'signal' && run.cancel(), how !== 'natively' && run.signal(CANCEL_SIGNAL, { reason })]);
  }
  return fails(stack, id, 'Cancelled');
}

/** Workflow id of the salvage that a cancelled run names. */
async function salvageOf(stack: Stack, id: string): Promise<string> {
  const named = /salvage\/[\w-]+\/\d+/.exec((await stack.videos.progress(id)).cancel?.outcome ?? '')?.[0];
  must(named !== undefined, `${id} names no salvage`);
  return named;
}

/** Waits for the salvage of a cancelled run, and resolves its workflow id. */
async function salvaged(stack: Stack, id: string, what: 'a video' | 'nothing' = 'a video'): Promise<string> {
  const { task_id, cancel } = await stack.videos.progress(id);
  // The outcome names no salvage for a task that was cancelled at the provider, but one was started with the cancel.
  const salvage = cancel?.billed === false ? await salvageAbout(stack, task_id) : await salvageOf(stack, id);
  const result: unknown = await stack.client.workflow.getHandle(salvage).result();
  must((result === null) === (what === 'nothing'), `the salvage ended with ${JSON.stringify(result)}`);
  return salvage;
}

async function salvageAbout(stack: Stack, taskId: string | null): Promise<string> {
  for await (const { key } of stack.store.list('ledger/')) {
    const [, purchase, n] = /purchases\/([^/]+)\/(\d+)\/claim\.json$/.exec(key) ?? [];
    if (purchase === undefined) continue;
    if ((await text(stack, key)).includes(String(taskId))) return `salvage/${purchase}/${n}`;
  }
  throw new Error(`the ledger has no purchase of ${taskId}`);
}

const stageOf = async (stack: Stack, id: string): Promise<VideoProgress['stage'] | undefined> =>
  // A run that was just started may have no worker yet.
  (await stack.videos.progress(id).catch(() => undefined))?.stage;

const reaches = (stack: Stack, id: string, stage: VideoProgress['stage']): Promise<void> =>
  until(async () => (await stageOf(stack, id)) === stage, `stage ${stage}`);

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    must(Date.now() < deadline, `${what} was not reached within a minute`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function must(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}
