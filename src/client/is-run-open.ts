import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { describeRun } from './without-payloads.js';

/**
 * Whether a run with this workflow id is open.
 * @param firstRunId - Given: whether it is that run or one that continues it; another run may use the id by now.
 */
export async function isRunOpen(client: Client, workflowId: string, firstRunId?: string): Promise<boolean> {
  try {
    const { status, runId } = await describeRun(client, workflowId);
    if (status.name !== 'RUNNING') return false;
    if (firstRunId === undefined || runId === firstRunId) return true;
    return (await firstRunIdOf(client, workflowId, runId)) === firstRunId;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false; // its retention is over
    throw error;
  }
}

/** The first run of the chain that a run belongs to, also after a reset; no description has it. */
async function firstRunIdOf(client: Client, workflowId: string, runId: string): Promise<string | undefined> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: 1,
  });
  return history?.events?.[0]?.workflowExecutionStartedEventAttributes?.firstExecutionRunId ?? undefined;
}
