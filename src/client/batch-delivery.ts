import { readDeliveryPlan } from '../batch/batch-files.js';
import type { VideoBatchInput } from '../contract/batch.js';
import { batchInputIssues } from '../contract/batch-input.js';
import type { DeliveryReport } from '../contract/delivery.js';
import { invalidRequest } from '../contract/validate.js';
import type { AssetStore } from '../storage/asset-store.js';

/** Where a batch delivers its videos, and whom it notifies. */
interface DeliveryOptions {
  readonly deliver?: string | undefined;
  readonly deliverReports?: readonly DeliveryReport[] | undefined;
  readonly receiver?: string | undefined;
}

/** The fields of a batch's input that say where it delivers and whom it notifies. */
export const deliveryInput = ({ deliver, deliverReports, receiver }: DeliveryOptions): Partial<VideoBatchInput> => ({
  ...(deliver !== undefined && { deliver }),
  ...(deliverReports !== undefined && { deliver_report: deliverReports }),
  ...(receiver !== undefined && { receiver }),
});

/** @throws VideoError `InvalidRequest` with every fault of the pattern and of the list of documents. */
export function checkDelivery(options: DeliveryOptions): void {
  const issues = batchInputIssues({ manifest_key: 'checked elsewhere', ...deliveryInput(options) });
  if (issues.length > 0) throw invalidRequest(issues);
}

/** Where a batch has delivered, for a retry, which delivers to the same place; empty for one that delivers nothing. */
export async function deliveryOf(store: AssetStore, batchId: string): Promise<DeliveryOptions> {
  const plan = await readDeliveryPlan(store, batchId);
  if (plan === undefined) return {};
  const { pattern: deliver, reports } = plan;
  return reports.length === 0 ? { deliver } : { deliver, deliverReports: reports };
}
