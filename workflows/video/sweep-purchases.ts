import * as wf from '@temporalio/workflow';
import { steps } from '../shared/activities.js';
import { startSalvage } from './salvage-video.js';

/** What one sweep found. */
export interface SweepReport {
  /** Workflow ids of the salvages that it started. */
  readonly salvaged: string[];
  /** Ledger records that could not be read; each names what to do. */
  readonly damaged: string[];
}

/** Starts a salvage for every open purchase that no live run sees to. Runs on a schedule, and whenever somebody starts it. */
export async function sweepPurchases(): Promise<SweepReport> {
  const { orphans, damaged, attributes, webhookEvents } = await steps().findOrphans();
  const salvaged: string[] = [];
  for (const { purchase, late, workflowId } of orphans) {
    const summary = `sees a purchase to its end; its run ${workflowId} is gone`;
    const { id, started } = await startSalvage({ purchase, task: late, attributes, webhookEvents }, summary);
    if (started) salvaged.push(id);
  }
  wf.setCurrentDetails([`${salvaged.length} salvages started`, ...damaged].join('  \n'));
  return { salvaged, damaged };
}
