import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** Between two lists of the same tasks in milliseconds: the 95th percentile of the delay stays below 2 s with it. */
export const SWEEP_EVERY_MS = 1_300;
/**
 * From this many tasks on one list is cheaper than their queries: a list more often, and a query for each that ended.
 */
const SWEEP_FROM = 3;
/** Tasks submitted within this time of one another share a list, so that a page holds them; in milliseconds. */
const SPAN_MS = 60_000;
/** The list's filter knows whole seconds, and its clock and ours differ a little; in milliseconds. */
export const LIST_MARGIN_MS = 5_000;
/** Largest page that public clients of the provider use; a larger one is undocumented. */
export const LIST_PAGE_SIZE = 100;
/** Ends that the list must have shown in time before it is relied on alone. */
const PROOFS = 3;
/** The list may be behind by so much, in milliseconds, before it is no help. */
const LAG_MAX_MS = 2_000;
/** Until a list that was refused or was behind is tried again, in milliseconds. */
const DISTRUST_MS = 600_000;
/** Longest wait for a list in milliseconds: its tasks are not queried meanwhile. */
export const LIST_BOUND_MS = 3_000;
/** Until a list that failed for another reason is tried again, in milliseconds. */
const FAULT_PAUSE_MS = 30_000;
/** A listed task is queried all the same after this long in milliseconds: until the list is proved … */
const AUDIT_UNPROVED_MS = 5_000;
/** … and, afterwards, when it is overdue. */
const AUDIT_OVERDUE_MS = 15_000;

/** What a sweep has to know of a task that is due; times in monotonic milliseconds unless said otherwise. */
export interface SweepCandidate {
  readonly dueMs: number;
  /** When the provider created it, in milliseconds since the epoch; undefined: cannot be found in a list. */
  readonly createdAtMs: number | undefined;
  /** Last answer to a query. */
  readonly queriedMs: number;
  /** Last list that had it; minus infinity: none. */
  readonly listedMs: number;
  readonly isOverdue: boolean;
  /** The last list did not have it. */
  readonly isUnlisted: boolean;
}

/** Decides when one list replaces many queries, and for which tasks. The list is a hint; only a query ends a watch. */
export class ListSweep {
  readonly #monotonicMs: () => number;
  #proofs = 0;
  #offUntilMs = Number.NEGATIVE_INFINITY;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  isAvailable(): boolean {
    return this.#monotonicMs() >= this.#offUntilMs;
  }

  /** Monotonic milliseconds from which on the list may be read for these tasks. */
  nextMs(group: readonly SweepCandidate[]): number {
    return Math.max(...group.map(({ listedMs }) => listedMs)) + SWEEP_EVERY_MS;
  }

  /** The tasks that one list would answer together with `first`; empty when its own query is cheaper, or needed. */
  group<T extends SweepCandidate>(first: T, others: Iterable<T>): T[] {
    const nowMs = this.#monotonicMs();
    if (!this.isAvailable() || !this.#isListable(first, nowMs)) return [];
    const createdAtMs = first.createdAtMs ?? 0;
    const group: T[] = [];
    for (const other of others) {
      const near = Math.abs((other.createdAtMs ?? 0) - createdAtMs) <= SPAN_MS;
      // Those that are due before the next list come along.
      if (near && other.dueMs <= nowMs + SWEEP_EVERY_MS && this.#isListable(other, nowMs)) group.push(other);
    }
    return group.length >= SWEEP_FROM ? group : [];
  }

  #isListable({ createdAtMs, queriedMs, isOverdue, isUnlisted }: SweepCandidate, nowMs: number): boolean {
    if (createdAtMs === undefined || isUnlisted) return false;
    if (this.#proofs < PROOFS) return nowMs - queriedMs < AUDIT_UNPROVED_MS;
    return !isOverdue || nowMs - queriedMs < AUDIT_OVERDUE_MS;
  }

  /** Whether another page is worth a request when so many of the wanted tasks are still missing. */
  wantsPage(missing: number): boolean {
    return missing >= SWEEP_FROM;
  }

  /**
   * A query found the end of a task that was listed before.
   * @param behindMs - How long after that end the list still showed it as not ended; 0 or less when it never did.
   * @param isEndListed - Whether the list has shown that end.
   */
  ended(behindMs: number, isEndListed: boolean): void {
    if (behindMs > LAG_MAX_MS) this.#distrust(DISTRUST_MS);
    else if (isEndListed) this.#proofs += 1;
  }

  failed(error: unknown): void {
    const passes = !(error instanceof VideoError) || error.retryable || error.type === FailureType.ProviderThrottled;
    this.#distrust(passes ? FAULT_PAUSE_MS : DISTRUST_MS);
  }

  #distrust(ms: number): void {
    this.#proofs = 0;
    this.#offUntilMs = this.#monotonicMs() + ms;
  }
}
