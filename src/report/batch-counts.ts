import { type Prices, totalAmount } from '../config/prices.js';
import { type BatchTotals, namedCounts } from '../contract/batch-totals.js';
import { amountText, billableText, estimatedText } from '../contract/budget.js';
import type { BatchDelivery } from '../contract/delivery.js';

/** Counts, causes and bill of a batch for people. @param ended - Whether what has no outcome will get none. */
export function batchCountLines(
  { counts, causes, billed, maybe_billed, estimated_seconds }: BatchTotals,
  prices: Prices | undefined,
  ended: boolean,
): string[] {
  const { total, ...others } = counts;
  // Lines that a cancelled batch never began; no count has them.
  const notRun = ended ? total - Object.values(others).reduce((sum, count) => sum + count, 0) : 0;
  const list = namedCounts({ ...others, 'not run': notRun }).join(', ');
  const money = prices === undefined ? null : totalAmount(prices, billed);
  return [
    `lines     ${total}${list === '' ? '' : `: ${list}`}`,
    ...Object.entries(causes).map(([cause, count]) => `failed    ${count} ${cause}`),
    ...billed.map((one) => `billed    ${billableText(one)}`),
    ...(estimated_seconds === undefined ? [] : [`estimated ${estimatedText(estimated_seconds)}`]),
    ...(money === null ? [] : [`amount    ${amountText(money.amount)} ${money.currency}`]),
    ...(maybe_billed === 0 ? [] : [`unsure    whether ${maybe_billed} items are billed is not known yet`]),
  ];
}

/** What came of a delivery, for people. */
export function deliveryLines(delivery: BatchDelivery | undefined): string[] {
  if (delivery === undefined) return [];
  const { pattern, folder_url, files, missing, undelivered, problems, reports, failure } = delivery;
  if (failure !== null) return [`delivered not all, to ${pattern}: ${failure}`];
  const named = problems.map(({ item_id, key, message }) => `problem   ${item_id ?? key ?? pattern}: ${message}`);
  const others = undelivered - problems.filter(({ item_id }) => item_id !== null).length;
  return [
    `delivered ${files} ${files === 1 ? 'video' : 'videos'} in ${folder_url ?? pattern}, as ${pattern}`,
    ...(missing === 0 ? [] : [`missing   ${missing} lines have no video to deliver`]),
    ...named,
    ...(others === 0 ? [] : [`problem   and ${others} more; "wan-video batch report" names each`]),
    ...reports.map((url) => `document  ${url}`),
  ];
}
