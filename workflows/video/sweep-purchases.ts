import * as wf from '@temporalio/workflow';
import { steps } from '../shared/activities.js';
import { startSalvages } from '../shared/start-salvage.js';

/** What one sweep found. */
export interface SweepReport {
  /** Workflow ids of the salvages that it started. */
  readonly salvaged: readonly string[];
  /** Ledger records that could not be read; each says what to do. */
  readonly damaged: readonly string[];
}

/** Starts a salvage for every open purchase that no live run finishes. Runs on a schedule, and on request. */
export async function sweepPurchases(): Promise<SweepReport> {
  const { damaged, ...found } = await steps().findOrphans();
  const salvaged = await startSalvages(found, (workflowId) => `finishes a purchase whose run ${workflowId} is gone`);
  wf.setCurrentDetails([`${salvaged.length} salvages started`, ...damaged].join('  \n'));
  return { salvaged, damaged };
}
