import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { BudgetAnswer, BudgetQuestion } from '../contract/budget.js';
import { FailureType } from '../contract/failure-type.js';
import { BUDGET_QUERY, SLOTS_QUERY, slotsWorkflowId } from '../contract/names.js';
import type { AccountSlotsView, SlotsPage } from '../contract/slots.js';
import { VideoError } from '../contract/video-error.js';
import { QUERY_TIMEOUT_MS } from './query-progress.js';
import { assessSlots } from './slots-health.js';

/**
 * Reads who holds the slots of a provider account and who waits for one; a worker answers.
 * @param page - Which of those that wait.
 * @returns `undefined` when no run has requested a slot yet.
 * @throws VideoError `NoWorker` when no worker polls their queue, `WorkerBusy` when one does and does not answer within
 * 5 s; an error of Temporal's client when Temporal itself does not answer.
 */
export async function readAccountSlots(
  client: Client,
  provider: string,
  account: string,
  page: SlotsPage = {},
): Promise<AccountSlotsView | undefined> {
  const handle = client.workflow.getHandle(slotsWorkflowId(provider, account));
  const run = await handle.describe().catch((error: unknown) => {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  });
  // A terminated run would still answer, with its last state.
  if (run?.status.name !== 'RUNNING') return undefined;
  try {
    return await client.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () =>
      handle.query<AccountSlotsView, [SlotsPage]>(SLOTS_QUERY, page),
    );
  } catch (cause) {
    if (cause instanceof WorkflowNotFoundError) return undefined;
    throw await noAnswerError(client, account, handle.workflowId, cause);
  }
}

/** Temporal has just answered, so it is a worker that does not; the error says why. */
async function noAnswerError(client: Client, account: string, workflowId: string, cause: unknown): Promise<VideoError> {
  const { state, reason } = await assessSlots(client, workflowId, Date.now());
  const what = `The slots of the account ${account} do not answer`;
  const runbook = 'docs/operations.md, "Slots do not move"';
  if (state === 'unattended') {
    return new VideoError(FailureType.NoWorker, `${what}: no worker polls ${reason}, on which ${workflowId} runs`, {
      cause,
      nextStep:
        'Start a worker of that queue with "wan-video worker". If one is running already, or the queue no longer ' +
        `exists, see ${runbook}.`,
    });
  }
  const why =
    state === 'failing'
      ? `the workflow task of ${workflowId} fails: ${reason}`
      : `workers poll the queue of ${workflowId}, and none answered within ${QUERY_TIMEOUT_MS / 1000} s`;
  return new VideoError(FailureType.WorkerBusy, `${what}: ${why}`, {
    cause,
    nextStep:
      state === 'failing'
        ? `Start workers of the version that fixes it; see ${runbook}.`
        : `Nothing is lost: runs that wait keep waiting. Run the command again; if it stays so, see ${runbook}.`,
  });
}

/** A killed worker is replaced within five seconds. */
const BUDGET_TIMEOUT_MS = 8_000;

/**
 * Reads whether a key holds a slot of a provider account, and whether its budgets have room; a worker answers.
 * @returns `undefined` when the account's slots are not running.
 * @throws an error of Temporal's client when no worker answers within 8 s.
 */
export async function queryBudget(
  client: Client,
  workflowId: string,
  question: BudgetQuestion,
): Promise<BudgetAnswer | undefined> {
  const handle = client.workflow.getHandle(workflowId);
  try {
    return await client.withDeadline(Date.now() + BUDGET_TIMEOUT_MS, async () => {
      // A run that has ended would still answer, with its last state.
      if ((await handle.describe()).status.name !== 'RUNNING') return undefined;
      return handle.query<BudgetAnswer, [BudgetQuestion]>(BUDGET_QUERY, question);
    });
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}
