import { type Client, WorkflowNotFoundError } from '@temporalio/client';

/** Whether a run with this workflow id is open. */
export async function isRunOpen(client: Client, workflowId: string): Promise<boolean> {
  try {
    return (await client.workflow.getHandle(workflowId).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false; // its retention is over
    throw error;
  }
}
