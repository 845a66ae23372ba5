import type { AccountSlotsInput, SlotReleaseMessage } from '../../src/contract/slots.js';
import type { DueAnswer } from './due-answers.js';
import type { SlotState } from './slot-state.js';

/** Argument of `accountSlots`: that of its first run, or of a run that continues another one. */
export interface SchedulerInput extends AccountSlotsInput {
  /** What the previous run hands on; absent: this is the first run, which reads the ledger. */
  readonly carried?: CarriedSlots;
  /** The build of the worker that the previous run tried to leave. */
  readonly upgrade_from?: string;
}

/** What one run hands on to the next, but for the queue, which is written as pages (carried-queue.ts). */
export interface CarriedSlots {
  readonly state: Omit<SlotState, 'queue' | 'checks'>;
  /** Answers that were not sent, to runs that do not wait. */
  readonly due: readonly DueAnswer[];
  /** Releases from before the ledger was read; absent: it has been. */
  readonly earlyReleases?: readonly SlotReleaseMessage[];
  /** Workflow ids of those that keep further pages of the queue, in their order. */
  readonly keepers: readonly string[];
  /** Signals that arrived while the queue was handed over. */
  readonly backlog: readonly BacklogSignal[];
  readonly auditedAtMs: number;
  /** When all spending was read; 0: never. */
  readonly spendingReadAtMs: number;
  readonly ignoredSignals: number;
}

/** A signal that waits to be handled, by its name. */
export interface BacklogSignal {
  readonly name: string;
  readonly message: unknown;
}
