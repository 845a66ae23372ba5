import type { AuditInput, AuditReport } from '../../src/contract/audit.js';
import { steps } from '../shared/activities.js';
import { notifyOrphans } from '../shared/deliver-webhook.js';
import { fieldsOf } from '../shared/message-checks.js';
import { requireInput } from '../shared/require-input.js';
import { startSalvages } from '../shared/start-salvage.js';
import { showDetails } from '../shared/web-ui.js';

/**
 * Explains every task of the account in the last hours, and starts a salvage for each that is paid, ours by proof, and
 * neither in the store nor watched. Runs on a schedule, and on request.
 */
export async function auditAccount(input: AuditInput = {}): Promise<AuditReport> {
  const { since_seconds } = fieldsOf(input);
  requireInput(since_seconds === undefined || (typeof since_seconds === 'number' && since_seconds > 0));
  const { report, ...found } = await steps().auditTasks(input);
  const salvaged = await startSalvages(found, (workflowId) => `keeps a task that no run of ${workflowId} watched`);
  const whole = { ...report, rescued: [...report.rescued, ...salvaged] };
  if (report.counts.orphan > 0) await notifyOrphans(found.webhookEvents, whole);
  const counts = Object.entries(report.counts).filter(([, count]) => count > 0);
  showDetails(counts.map(([verdict, count]) => `${count} ${verdict.replace('_', ' ')}`));
  return whole;
}
