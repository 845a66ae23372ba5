import { type Client, WorkflowFailedError } from '@temporalio/client';
import type { AuditInput, AuditReport } from '../contract/audit.js';
import { WorkflowType } from '../contract/names.js';
import { DEFAULT_TASK_QUEUE } from './batch-options.js';
import { ensureSchedule } from './ensure-schedule.js';
import { runErrorOf } from './run-failure.js';

/**
 * Every night, and twelve hours later: the provider lists and keeps a task for 24 hours, so that one audit a day would
 * find a task on its last minute, and after a late or failed one not at all.
 */
const NIGHTLY = '17 3,15 * * *';
/** What an audit is, in the Web UI's list. */
const SUMMARY = 'explains every task of the account';

/**
 * The schedule of the audit of one queue: as the sweep, it is of its workers' account.
 * @param taskQueue - The workers' generate queue.
 */
const auditScheduleId = (taskQueue: string): string => `wan-video-audit${suffixOf(taskQueue)}`;

/** The audit of one queue; a schedule adds its time to the id. */
const auditWorkflowId = (taskQueue: string): string => `audit${suffixOf(taskQueue)}`;

const suffixOf = (taskQueue: string): string => (taskQueue === DEFAULT_TASK_QUEUE ? '' : `-${taskQueue}`);

/**
 * Runs an audit on the workers of a queue, or waits for the one that runs.
 * @throws VideoRunError as it failed, for example because the provider refuses the list.
 */
export async function runAudit(client: Client, taskQueue: string, input: AuditInput): Promise<AuditReport> {
  const workflowId = auditWorkflowId(taskQueue);
  try {
    return await client.workflow.execute<(input: AuditInput) => Promise<AuditReport>>(WorkflowType.auditAccount, {
      taskQueue,
      workflowId,
      args: [input],
      workflowIdConflictPolicy: 'USE_EXISTING',
      staticSummary: SUMMARY,
    });
  } catch (error) {
    throw error instanceof WorkflowFailedError ? runErrorOf(workflowId, error) : error;
  }
}

/** Creates or updates the nightly schedule of the audit for one queue; a paused one stays paused. */
export async function ensureAuditSchedule(client: Client, taskQueue: string): Promise<'created' | 'updated'> {
  return ensureSchedule(client, {
    scheduleId: auditScheduleId(taskQueue),
    spec: { cronExpressions: [NIGHTLY] },
    action: {
      type: 'startWorkflow',
      workflowType: WorkflowType.auditAccount,
      workflowId: auditWorkflowId(taskQueue),
      taskQueue,
      args: [{}],
      staticSummary: SUMMARY,
    },
    catchupWindow: '12 hours',
  });
}
