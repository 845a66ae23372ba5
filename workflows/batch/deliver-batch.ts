import * as wf from '@temporalio/workflow';
import type { BatchSummary } from '../../src/contract/batch.js';
import type { BatchDelivery, BatchDeliveryPlan } from '../../src/contract/delivery.js';
import type { StepTimes } from '../../src/contract/times.js';
import { steps } from '../shared/activities.js';
import { failureOrUnexpected } from '../shared/failures.js';

/**
 * Delivers the videos of a batch. A delivery that fails does not fail the batch, whose videos are in the store in any
 * case.
 */
export async function deliverBatch(
  summary: BatchSummary,
  plan: BatchDeliveryPlan,
  times: StepTimes,
): Promise<BatchDelivery> {
  try {
    return await steps(times).deliverBatch({ summary, plan });
  } catch (error) {
    if (wf.isCancellation(error)) throw error;
    wf.log.warn('the batch could not be delivered', { error: String(error) });
    return undelivered(plan, failureOrUnexpected(error).message);
  }
}

/** A delivery that has not come to its end, and why. */
export const undelivered = ({ pattern }: BatchDeliveryPlan, failure: string): BatchDelivery => ({
  pattern,
  folder_url: null,
  files: 0,
  missing: 0,
  undelivered: 0,
  problems: [],
  reports: [],
  failure,
});
