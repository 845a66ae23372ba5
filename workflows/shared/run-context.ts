import * as wf from '@temporalio/workflow';
import { BATCH_MEMO } from '../../src/contract/names.js';

/** The batch that this run belongs to; null for a run of its own. */
export function batchOf(): string | null {
  const batch = wf.workflowInfo().memo?.[BATCH_MEMO];
  return typeof batch === 'string' ? batch : null;
}
