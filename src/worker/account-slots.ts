import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { AccountSlotsPort } from '../../activities/index.js';
import type { AccountSlotsInput } from '../../workflows/slots/account-slots.js';
import { queryBudget } from '../client/account-slots.js';
import type { Config } from '../config/config.js';
import type { BudgetTerms } from '../contract/budget.js';
import {
  RELEASE_SLOT_SIGNAL,
  REQUEST_SLOT_SIGNAL,
  SET_SLOT_LIMIT_SIGNAL,
  slotsWorkflowId,
  WorkflowType,
} from '../contract/names.js';
import type { SlotLimitMessage } from '../contract/slots.js';
import { stepTimesOf } from '../contract/times.js';

/** Temporal answers within milliseconds; what gets lost here is found out by the next look. */
const SIGNAL_TIMEOUT_MS = 5_000;

/**
 * The slots of the configured account, as the steps reach them.
 * @param budget - This worker's budgets; undefined: none.
 */
export function accountSlotsPort(
  client: Client,
  { provider, rates, taskQueues, times }: Config,
  budget: BudgetTerms | undefined,
): AccountSlotsPort {
  const workflowId = slotsWorkflowId(provider.providerId, provider.account);
  const limit = rates.maxRunning;
  const told = { limit, ...(budget !== undefined && { budget }) };
  const input: AccountSlotsInput = { ...told, times: stepTimesOf(times) };
  return {
    ...{ workflowId, budget },
    async requestSlot(ask) {
      await client.workflow.signalWithStart(WorkflowType.accountSlots, {
        ...{ workflowId, taskQueue: taskQueues.generate, args: [input] },
        ...{ signal: REQUEST_SLOT_SIGNAL, signalArgs: [{ ...ask, ...told }] },
        staticSummary: `who may submit next on account ${provider.account} of ${provider.providerId}`,
      });
    },
    releaseSlot: (purchase) => signalIfThere(client, workflowId, RELEASE_SLOT_SIGNAL, purchase),
    queryBudget: (question) => queryBudget(client, workflowId, question),
  };
}

/**
 * Tells the account's slots, if they run, how many this worker was told to have, and the budgets: those who wait profit at once. A
 * worker without budgets takes away those that are there.
 */
export function announceLimit(
  client: Client,
  { provider, rates }: Config,
  budget: BudgetTerms | undefined,
): Promise<void> {
  const workflowId = slotsWorkflowId(provider.providerId, provider.account);
  const terms: SlotLimitMessage = { limit: rates.maxRunning, budget: budget ?? null };
  return signalIfThere(client, workflowId, SET_SLOT_LIMIT_SIGNAL, terms);
}

async function signalIfThere(client: Client, workflowId: string, signal: string, argument: unknown): Promise<void> {
  try {
    const send = () => client.workflow.getHandle(workflowId).signal(signal, argument);
    await client.withDeadline(Date.now() + SIGNAL_TIMEOUT_MS, send);
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}
