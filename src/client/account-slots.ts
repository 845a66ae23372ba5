import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { BudgetAnswer, BudgetQuestion } from '../contract/budget.js';
import { BUDGET_QUERY, SLOTS_QUERY, slotsWorkflowId } from '../contract/names.js';
import type { AccountSlotsView } from '../contract/slots.js';

/** A worker answers within milliseconds; without one the query would wait for its default of ten seconds and more. */
const QUERY_TIMEOUT_MS = 5_000;

/**
 * Who holds the slots of a provider account and who waits; undefined when no run has asked for one yet. A worker answers it.
 * @throws an error of Temporal's client when no worker answers within 5 s.
 */
export async function readAccountSlots(
  client: Client,
  provider: string,
  account: string,
): Promise<AccountSlotsView | undefined> {
  const handle = client.workflow.getHandle(slotsWorkflowId(provider, account));
  try {
    // A run that was terminated would still answer, with what was then.
    if ((await handle.describe()).status.name !== 'RUNNING') return undefined;
    return await client.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () => handle.query<AccountSlotsView>(SLOTS_QUERY));
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** A killed worker is replaced within five seconds. */
const BUDGET_TIMEOUT_MS = 8_000;

/**
 * Whether a key holds a slot of a provider account, and whether its budgets have room; undefined when its slots do not run. A worker
 * answers it.
 * @throws an error of Temporal's client when no worker answers within 8 s.
 */
export async function lookAtBudget(
  client: Client,
  workflowId: string,
  question: BudgetQuestion,
): Promise<BudgetAnswer | undefined> {
  const handle = client.workflow.getHandle(workflowId);
  try {
    return await client.withDeadline(Date.now() + BUDGET_TIMEOUT_MS, async () => {
      // A run of them that has ended would answer as well, with what was then.
      if ((await handle.describe()).status.name !== 'RUNNING') return undefined;
      return handle.query<BudgetAnswer, [BudgetQuestion]>(BUDGET_QUERY, question);
    });
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}
