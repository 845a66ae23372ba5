import { type Client, WithStartWorkflowOperation, WorkflowNotFoundError } from '@temporalio/client';
import type { Priority, Workflow } from '@temporalio/common';
import type { AccountSlotsPort } from '../../activities/index.js';
import { mapParallel } from '../async/map-parallel.js';
import { queryBudget } from '../client/account-slots.js';
import { assessSlots } from '../client/slots-health.js';
import { withoutPayloads } from '../client/without-payloads.js';
import type { Config } from '../config/config.js';
import type { BudgetTerms } from '../contract/budget.js';
import {
  RELEASE_SLOT_SIGNAL,
  REQUEST_SLOT_SIGNAL,
  REQUEST_SLOTS_SIGNAL,
  SET_SLOT_LIMIT_SIGNAL,
  SLOTS_RESTARTED_SIGNAL,
  slotsWorkflowId,
  WorkflowType,
} from '../contract/names.js';
import type {
  AccountSlotsInput,
  SlotAnswer,
  SlotLimitMessage,
  SlotRequestMessage,
  SlotRequestsMessage,
  SlotsHealth,
} from '../contract/slots.js';
import { stepTimesOf } from '../contract/times.js';
import { SlotRequests } from './slot-requests.js';

/** Temporal takes a signal within milliseconds; the audit of holders finds one that was lost. */
const SIGNAL_TIMEOUT_MS = 5_000;
/** Temporal has ten Updates of a workflow in progress at most; a crowd requests by {@link SlotRequests}. */
const UPDATES_AT_ONCE = 3;
/** The slots answer within milliseconds; busy ones are sent a signal, which may be answered later. */
const UPDATE_TIMEOUT_MS = 2_000;
/**
 * Longest wait for Temporal to take such a message, as long as the step that repeats a request may take. Without an
 * end, one that is never answered would keep back the requests of all runs of this worker.
 */
const REQUESTS_TIMEOUT_MS = 10_000;
/** Short compared with the minute after which a run asks again. */
const ASSESSED_FOR_MS = 5_000;

/** On a queue with a backlog, all that the slots do precedes the thousands of runs that wait for their answer. */
const FIRST: Priority = { priorityKey: 1 };

/**
 * Gives the steps access to the slots of the configured account.
 * @param budget - This worker's budgets; undefined: none.
 * @param knowsAttributes - Answers whether the namespace has the search attributes.
 */
export function accountSlotsPort(
  client: Client,
  config: Config,
  budget: BudgetTerms | undefined,
  knowsAttributes: () => Promise<boolean>,
): AccountSlotsPort {
  const { provider, rates, taskQueues, times } = config;
  const workflowId = slotsWorkflowId(provider.providerId, provider.account);
  const terms = { limit: rates.maxRunning, ...(budget !== undefined && { budget }) };
  const input: AccountSlotsInput = { ...terms, times: stepTimesOf(times) };
  let updates = 0;
  /** Requests by an Update, which returns the answer; undefined when that is not possible now. */
  const ask = async (message: SlotRequestMessage): Promise<{ readonly sent: SlotAnswer | undefined } | undefined> => {
    if (updates >= UPDATES_AT_ONCE) return undefined;
    updates += 1;
    try {
      const startWorkflowOperation = new WithStartWorkflowOperation<Workflow>(WorkflowType.accountSlots, {
        workflowId,
        taskQueue: taskQueues.generate,
        args: [input],
        workflowIdConflictPolicy: 'USE_EXISTING',
        staticSummary: summaryOf(config),
        priority: FIRST,
      });
      startWorkflowOperation.workflowHandle().catch(() => undefined); // the Update rejects as well
      const options = { startWorkflowOperation, args: [message] as [SlotRequestMessage] };
      const answer = await client.withDeadline(Date.now() + UPDATE_TIMEOUT_MS, () =>
        client.workflow.executeUpdateWithStart<Workflow, SlotAnswer | null, [SlotRequestMessage]>(
          REQUEST_SLOT_SIGNAL,
          options,
        ),
      );
      return { sent: answer ?? undefined };
    } catch {
      return undefined; // the signal says what is wrong, or is kept by Temporal until a worker has time
    } finally {
      updates -= 1;
    }
  };
  const crowd = new SlotRequests((requests) => {
    const message: SlotRequestsMessage = { ...terms, requests };
    const options = {
      workflowId,
      taskQueue: taskQueues.generate,
      args: [input],
      signal: REQUEST_SLOTS_SIGNAL,
      signalArgs: [message],
      staticSummary: summaryOf(config),
      priority: FIRST,
    };
    return client.withDeadline(Date.now() + REQUESTS_TIMEOUT_MS, () =>
      client.workflow.signalWithStart(WorkflowType.accountSlots, options),
    );
  });
  return {
    workflowId,
    budget,
    async requestSlot(request) {
      const message: SlotRequestMessage = { ...request, ...terms };
      const answer = await ask(message);
      if (answer !== undefined) return answer.sent;
      await crowd.send(request);
      return undefined;
    },
    releaseSlot: (release) => signalIfRunning(client, workflowId, RELEASE_SLOT_SIGNAL, release),
    queryBudget: (question) => queryBudget(client, workflowId, question),
    wakeWaitingRuns: (signal) => wakeWaitingRuns(client, workflowId, knowsAttributes, signal),
    assess: assessOften(client, workflowId),
  };
}

/**
 * Sends this worker's limit and budgets to the account's slots, if they run, so that they apply at once to runs that
 * wait. A worker without budgets removes those of the slots.
 */
export function announceLimit(
  client: Client,
  { provider, rates }: Config,
  budget: BudgetTerms | undefined,
): Promise<void> {
  const workflowId = slotsWorkflowId(provider.providerId, provider.account);
  const message: SlotLimitMessage = { limit: rates.maxRunning, budget: budget ?? null };
  return signalIfRunning(client, workflowId, SET_SLOT_LIMIT_SIGNAL, message);
}

/** Runs that are signalled together. */
const RUNS_AT_ONCE = 16;
const RUNNING = `WorkflowType = '${WorkflowType.videoGenerate}' AND ExecutionStatus = 'Running'`;

/** Runs without a task: those that wait for a slot, and those that prepare or submit. */
const WITHOUT_TASK = `${RUNNING} AND VideoTaskId IS NULL`;

/** Signals the runs that may wait for slots which ran before and know of no request now. */
async function wakeWaitingRuns(
  client: Client,
  slots: string,
  knowsAttributes: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<number> {
  const before = await client.workflow.count(`WorkflowId = "${slots}" AND ExecutionStatus != 'Running'`);
  if (before.count === 0) return 0;
  let woken = 0;
  const runs = withoutPayloads(client).list({ query: (await knowsAttributes()) ? WITHOUT_TASK : RUNNING });
  const sent = mapParallel(runs, RUNS_AT_ONCE, async ({ workflowId, runId }) => {
    signal.throwIfAborted();
    // One that has ended meanwhile does not wait.
    const send = client.workflow.getHandle(workflowId, runId).signal(SLOTS_RESTARTED_SIGNAL, { slots });
    await send.catch((error: unknown) => {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    });
  });
  for await (const _ of sent) woken += 1;
  return woken;
}

/**
 * Starts the slots again when their workflow was ended while runs go on: these would notice only when they ask again.
 * @param everyMs - Pause between two looks at the workflow.
 * @returns stops it.
 */
export function keepSlotsRunning(
  client: Client,
  config: Config,
  budget: BudgetTerms | undefined,
  everyMs: number,
): () => void {
  const { provider, rates, taskQueues, times } = config;
  const workflowId = slotsWorkflowId(provider.providerId, provider.account);
  const look = async (): Promise<void> => {
    const run = await client.workflow.getHandle(workflowId).describe();
    if (run.status.name === 'RUNNING' || (await client.workflow.count(RUNNING)).count === 0) return;
    const terms = { limit: rates.maxRunning, ...(budget !== undefined && { budget }) };
    await client.workflow.signalWithStart(WorkflowType.accountSlots, {
      workflowId,
      taskQueue: taskQueues.generate,
      args: [{ ...terms, times: stepTimesOf(times) } satisfies AccountSlotsInput],
      signal: SET_SLOT_LIMIT_SIGNAL,
      signalArgs: [{ limit: rates.maxRunning, budget: budget ?? null } satisfies SlotLimitMessage],
      staticSummary: summaryOf(config),
      priority: FIRST,
    });
  };
  let isStopped = false;
  const next = (): void => {
    const again = () => {
      if (!isStopped) timer = setTimeout(next, everyMs).unref();
    };
    // Slots that were never requested do not run, and a Temporal that does not answer is asked again.
    look().then(again, again);
  };
  let timer = setTimeout(next, everyMs).unref();
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}

const summaryOf = ({ provider }: Config): string =>
  `who may submit next on account ${provider.account} of ${provider.providerId}`;

/**
 * Assesses the slots once for all runs that ask at about the same time: under overload these are thousands, and each
 * one's own look would add to it.
 */
function assessOften(client: Client, workflowId: string): () => Promise<SlotsHealth> {
  let latest: { readonly atMs: number; readonly health: Promise<SlotsHealth> } | undefined;
  return () => {
    const nowMs = Date.now();
    if (latest === undefined || nowMs - latest.atMs >= ASSESSED_FOR_MS) {
      latest = { atMs: nowMs, health: assessSlots(client, workflowId, nowMs) };
    }
    return latest.health;
  };
}

async function signalIfRunning(client: Client, workflowId: string, signal: string, message: object): Promise<void> {
  try {
    const send = () => client.workflow.getHandle(workflowId).signal(signal, message);
    await client.withDeadline(Date.now() + SIGNAL_TIMEOUT_MS, send);
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}
