import * as wf from '@temporalio/workflow';
import { salvageWorkflowId } from '../src/contract/names.js';
import { isAlreadyStarted } from './run-failure.js';
import { salvageVideo } from './salvage-video.js';
import { steps } from './steps.js';

/** What one sweep found. */
export interface SweepReport {
  /** Workflow ids of the salvages that it started. */
  readonly salvaged: string[];
  /** Ledger records that could not be read; each names what to do. */
  readonly damaged: string[];
}

/** Starts a salvage for every open purchase that no live run sees to. Runs on a schedule, and whenever somebody starts it. */
export async function sweepPurchases(): Promise<SweepReport> {
  const { orphans, damaged } = await steps().findOrphans();
  const salvaged: string[] = [];
  for (const { purchase, workflowId: lostRun } of orphans) {
    const workflowId = salvageWorkflowId(purchase.key, purchase.n);
    try {
      await wf.startChild(salvageVideo, {
        ...{ workflowId, args: [{ purchase }], parentClosePolicy: 'ABANDON' },
        staticSummary: `sees a purchase to its end; its run ${lostRun} is gone`,
      });
      salvaged.push(workflowId);
    } catch (error) {
      if (!isAlreadyStarted(error)) throw error;
    }
  }
  wf.setCurrentDetails(`${salvaged.length} salvages started, ${damaged.length} damaged records`);
  return { salvaged, damaged };
}
