import type { SlotReleaseMessage, SpendingReport } from '../../src/contract/slots.js';
import { addBill, type Spending } from './budgets.js';
import { entryOfPurchase, payersOf, type SlotEntry, withPayer } from './slot-entry.js';
import { heldEntries, type SlotState } from './slot-state.js';

/**
 * Applies what the ledger shows of money that was spent and of purchases that are open.
 * @param releasedMeanwhile - Releases that arrived while the ledger was read: the report may have their bills or not.
 */
export function applySpending(
  state: SlotState,
  report: SpendingReport,
  releasedMeanwhile: readonly SlotReleaseMessage[],
  nowMs: number,
): SlotState {
  return {
    ...state,
    ...reserveOpenPurchases(state, report, releasedMeanwhile, nowMs),
    spending: mergeSpending(state, report, releasedMeanwhile),
  };
}

/** Frees the reservations that have become bills, and reserves the money of open purchases that have none. */
function reserveOpenPurchases(
  state: SlotState,
  { paid, open }: SpendingReport,
  releasedMeanwhile: readonly SlotReleaseMessage[],
  nowMs: number,
): Pick<SlotState, 'holders' | 'unsettled'> {
  const isPaid = (entry: SlotEntry): boolean => paid.some((purchase) => isOf(entry, purchase));
  const holders = state.holders.map((held) => (isPaid(held) ? { ...held, cost: null } : held));
  const unsettled = state.unsettled.filter((entry) => !isPaid(entry));
  for (const purchase of open) {
    const { key, n, cost } = purchase;
    // One that was released without its bill is not settled: it may be billed all the same.
    if (releasedMeanwhile.some((one) => one.key === key && one.n === n && one.settled !== undefined)) continue;
    const at = holders.findIndex((held) => isOf(held, purchase));
    const held = holders[at];
    if (held === undefined) {
      if (!unsettled.some((entry) => isOf(entry, purchase))) unsettled.push(entryOfPurchase(purchase, nowMs));
    } else {
      const { workflowId, tenant, batch } = purchase;
      const isPayer = payersOf(held).some((payer) => payer.tenant === tenant && payer.batch === batch);
      // Requests that came before the ledger was read share the slot of a purchase whose run did not request it.
      const paidFor = isPayer ? held : withPayer(held, workflowId, { tenant, batch });
      holders[at] = held.cost === undefined ? { ...paidFor, cost } : paidFor;
    }
  }
  return { holders, unsettled };
}

function mergeSpending(
  state: SlotState,
  report: SpendingReport,
  releasedMeanwhile: readonly SlotReleaseMessage[],
): Spending | null {
  const known = state.spending ?? { days: {}, batches: {} };
  const { day, batches, paid } = report;
  const newBills = releasedMeanwhile.flatMap(({ key, n, settled }) =>
    settled?.billed == null || paid.some((one) => one.key === key && one.n === n) ? [] : [settled.billed],
  );
  if (day !== null) {
    const laterDays = Object.entries(known.days).filter(([date]) => date > day.date);
    const days = { ...Object.fromEntries(laterDays), [day.date]: day.tenants };
    return newBills.reduce(addBill, { days, batches });
  }
  // The days are not known either: the next reading covers everything.
  if (state.spending === null) return null;
  // Only batches were read. A reservation that has become a bill is no longer reserved, so its day has to count it.
  const reserved = heldEntries(state).filter(({ cost }) => cost != null);
  const becameBills = paid.filter((purchase) => reserved.some((entry) => isOf(entry, purchase)));
  const counted = becameBills.reduce((spending, { bill }) => addBill(spending, bill), known);
  const merged: Spending = { days: counted.days, batches: { ...counted.batches, ...batches } };
  // The days have counted the releases when they arrived; the batches that were read have not.
  const inReadBatches = newBills.filter(({ batch }) => batch !== null && Object.hasOwn(batches, batch));
  return { days: merged.days, batches: inReadBatches.reduce(addBill, merged).batches };
}

const isOf = ({ key, afterPurchase }: SlotEntry, purchase: { readonly key: string; readonly n: number }): boolean =>
  purchase.key === key && purchase.n > afterPurchase;
