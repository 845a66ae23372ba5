import type { Billable, Payer } from '../../src/contract/budget.js';
import type { HeldSlot, OpenSlot, QueueIdentity, SlotName } from '../../src/contract/slots.js';
import { ownValue } from './budgets.js';

/** A slot, held or requested, and the runs that requested it. */
export interface SlotEntry extends SlotName, QueueIdentity {
  /** Workflow ids. Runs of one purchase key share one slot, because one of them buys and the others follow it. */
  readonly requesters: readonly string[];
  /** Milliseconds since the epoch since when it is held, or waits. */
  readonly sinceMs: number;
  /** The most that it can cost; absent when no requester has said so, null once the ledger counts it as spent. */
  readonly cost?: Billable | null;
  /**
   * By workflow id, the payers of those requesters that are not of the entry's own tenant and batch, and of runs that
   * may have bought and request nothing any more.
   */
  readonly payers?: Readonly<Record<string, Payer>>;
}

/** A request that waits. */
export interface Waiter extends SlotEntry {
  /** Its place in the order of requests. */
  readonly seq: number;
  /** What its requesters were sent; it changes in place, and decides nothing about the order. */
  readonly notified: Notified;
}

/** What the requesters of a request that waits were sent. */
export interface Notified {
  /** The position that they were sent last. */
  position?: number;
  /** Whether that was before it was known what is spent; it is sent again. */
  isProvisional: boolean;
  /** Whether an answer is due that is not sent yet. */
  isDue: boolean;
}

/** All payers that the purchase of an entry may have. */
export const payersOf = ({ tenant, batch, payers }: SlotEntry): readonly Payer[] =>
  payers === undefined ? [{ tenant, batch }] : [{ tenant, batch }, ...Object.values(payers)];

/** The payer of one requester of an entry. */
export const payerOf = ({ tenant, batch, payers = {} }: SlotEntry, requesterId: string): Payer =>
  ownValue(payers, requesterId) ?? { tenant, batch };

/** Takes one requester out of an entry. */
export function withoutRequester<Entry extends SlotEntry>(entry: Entry, requesterId: string): Entry {
  const { payers = {}, ...rest } = entry;
  const remaining = Object.entries(payers).filter(([id]) => id !== requesterId);
  return {
    ...(rest as Entry),
    requesters: entry.requesters.filter((id) => id !== requesterId),
    ...(remaining.length > 0 && { payers: Object.fromEntries(remaining) }),
  };
}

/** Adds the payer of a run to an entry, whether the run is one of its requesters or not. */
export const withPayer = (entry: SlotEntry, workflowId: string, payer: Payer): SlotEntry => ({
  ...entry,
  payers: { ...entry.payers, [workflowId]: payer },
});

/** An entry that is held from now on. */
export function heldSince(entry: Omit<SlotEntry, 'sinceMs'>, nowMs: number): SlotEntry {
  const { key, afterPurchase, requesters, tenant, batch, priority, cost, payers } = entry;
  return {
    key,
    afterPurchase,
    requesters,
    tenant,
    batch,
    priority,
    sinceMs: nowMs,
    ...(cost !== undefined && { cost }),
    ...(payers !== undefined && { payers }),
  };
}

/** An open purchase of the ledger as an entry of the run that bought it. */
export const entryOfPurchase = ({ key, n, workflowId, tenant, batch, cost }: OpenSlot, nowMs: number): SlotEntry => ({
  key,
  afterPurchase: n - 1,
  requesters: [workflowId],
  tenant,
  batch,
  priority: batch === null ? 'interactive' : 'batch',
  sinceMs: nowMs,
  cost,
});

/** An entry as the audit of the holders names it. */
export function heldSlot({ key, afterPurchase, requesters, sinceMs }: SlotEntry): HeldSlot {
  return { key, afterPurchase, requesters, sinceMs };
}
