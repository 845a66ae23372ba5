import * as wf from '@temporalio/workflow';
import { BATCH_MEMO } from '../../src/contract/names.js';
import type { QueueIdentity } from '../../src/contract/slots.js';

/** The batch that this run belongs to; null for a run of its own. */
export function batchOf(): string | null {
  const batch = wf.workflowInfo().memo?.[BATCH_MEMO];
  return typeof batch === 'string' ? batch : null;
}

/** The queue of the account's slots that this run waits in: somebody waits for its video, unless it belongs to a batch. */
export function queueIdentityOf(tenant: string | null): QueueIdentity {
  const batch = batchOf();
  return { tenant, batch, priority: batch === null ? 'interactive' : 'batch' };
}
