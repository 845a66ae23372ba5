import { markdownText } from '../../src/contract/markdown.js';
import { steps } from '../shared/activities.js';
import { startSalvages } from '../shared/start-salvage.js';
import { runLink, showDetails } from '../shared/web-ui.js';

/** Salvages that the details link to; the result has all of them. */
const SHOWN_MAX = 50;

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
  showDetails([
    `${salvaged.length} salvages started`,
    ...salvaged.slice(0, SHOWN_MAX).map(runLink),
    ...damaged.map(markdownText),
  ]);
  return { salvaged, damaged };
}
