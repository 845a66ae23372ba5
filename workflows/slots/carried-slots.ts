import type { AccountSlotsInput } from '../../src/contract/slots.js';
import { grantOrder } from './slot-queue.js';
import type { SlotState, Waiter } from './slot-state.js';

/** Argument of `accountSlots`: that of its first run, or of a run that continues another one. */
export interface SchedulerInput extends AccountSlotsInput {
  /** What the previous run hands on; absent: this is the first run, which reads the ledger. */
  readonly carried?: CarriedSlots;
  /** The build of the worker that the previous run tried to leave. */
  readonly upgrade_from?: string;
}

interface CarriedSlots {
  readonly state: SlotState;
  /** By purchase key, the position that its requesters were sent last. */
  readonly sentPlaces: Readonly<Record<string, number>>;
  readonly auditedAtMs: number;
  /** When all spending was read; 0: never. */
  readonly spendingReadAtMs: number;
  readonly ignoredSignals: number;
}

/**
 * Bytes of the state that one run hands on to the next, some 3,800 requests: below Temporal's 2 MB for one payload,
 * which also has the places that were sent (70 bytes each). Requests beyond are repeated by their runs within ten
 * minutes.
 */
export const CARRIED_BYTES_MAX = 1_500_000;

/**
 * Cuts a state down to so many bytes of JSON: it keeps everything that is held or reserved, and of the requests those
 * whose turn comes first. A run that is cut off requests again by itself, and its group keeps its turns.
 */
export function fitToBytes(state: SlotState, bytesMax: number): SlotState {
  const bytesOf = (value: unknown): number => new TextEncoder().encode(JSON.stringify(value)).length;
  if (bytesOf(state) <= bytesMax) return state;
  let remaining = bytesMax - bytesOf({ ...state, waiters: [] });
  const kept = new Set<Waiter>();
  for (const waiter of grantOrder(state)) {
    remaining -= bytesOf(waiter) + 1; // and the comma
    if (remaining < 0) break;
    kept.add(waiter);
  }
  return { ...state, waiters: state.waiters.filter((waiter) => kept.has(waiter)) };
}
