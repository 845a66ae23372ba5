import type { Bill } from '../../src/contract/budget.js';
import type { SlotReleaseMessage } from '../../src/contract/slots.js';
import { addBill, type Spending } from './budgets.js';
import { heldEntries, type OpenSlot, openEntry, type SlotEntry, type SlotState } from './slot-queue.js';

/** What a look in the ledger found. */
export interface SpendingReport {
  /** Spending of one day; null when only batches were asked about. */
  readonly day: { readonly date: string; readonly tenants: Spending['days'][string] } | null;
  readonly batches: Spending['batches'];
  /** Purchases among those asked about, and of the latest minutes, whose bill is in what was read. */
  readonly paid: readonly { readonly key: string; readonly n: number; readonly billed: Bill }[];
  /** Purchases that stand open and are not billed yet. */
  readonly open: readonly OpenSlot[];
}

/**
 * Takes what the ledger shows of what is spent and of what may still be.
 * @param returnedMeanwhile - Returns that came while it was read: it may have seen them or not.
 */
export function applySpending(
  state: SlotState,
  { day, batches, paid, open }: SpendingReport,
  returnedMeanwhile: readonly SlotReleaseMessage[],
  nowMs: number,
): SlotState {
  const isPaid = ({ key, afterPurchase }: SlotEntry): boolean =>
    paid.some((one) => one.key === key && one.n > afterPurchase);
  const holders = state.holders.map((held) => (isPaid(held) ? { ...held, cost: null } : held));
  const parked = (state.parked ?? []).filter((entry) => !isPaid(entry));
  for (const one of open) {
    const { key, n, cost } = one;
    // One that was given back before it was known what it came to may be billed all the same.
    if (returnedMeanwhile.some((given) => given.key === key && given.n === n && given.settled !== undefined)) continue;
    const at = holders.findIndex((held) => held.key === key && n > held.afterPurchase);
    const held = holders[at];
    if (held !== undefined) {
      if (held.cost === undefined && cost !== undefined) holders[at] = { ...held, cost };
    } else if (cost !== undefined && !parked.some((entry) => entry.key === key && n > entry.afterPurchase)) {
      parked.push({ ...openEntry(one), sinceMs: nowMs });
    }
  }
  const before = state.spending ?? null;
  let spending: Spending = before ?? { days: {}, batches: {} };
  if (day === null) {
    // Where only batches were read, what is not reserved any more is counted here: the day was not.
    const reserved = heldEntries(state).filter(({ cost }) => cost != null);
    const isStanding = (bill: { readonly key: string; readonly n: number }): boolean =>
      reserved.some(({ key, afterPurchase }) => key === bill.key && bill.n > afterPurchase);
    for (const bill of paid) if (isStanding(bill)) spending = addBill(spending, bill.billed);
  }
  const later = Object.entries(spending.days).filter(([date]) => day !== null && date > day.date);
  spending = {
    days: day === null ? spending.days : { ...Object.fromEntries(later), [day.date]: day.tenants },
    batches: day === null ? { ...spending.batches, ...batches } : batches,
  };
  for (const { key, n, settled } of returnedMeanwhile) {
    const billed = settled?.billed;
    if (billed == null || paid.some((one) => one.key === key && one.n === n)) continue;
    // Where only batches were read, the day has counted it already.
    if (day !== null) spending = addBill(spending, billed);
    else if (billed.batch !== null && Object.hasOwn(batches, billed.batch)) {
      spending = { ...spending, batches: addBill(spending, billed).batches };
    }
  }
  // Only batches were read and the days are not known: the next read brings all of it.
  return { ...state, holders, parked, spending: before === null && day === null ? null : spending };
}
