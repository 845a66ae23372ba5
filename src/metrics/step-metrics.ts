/** Counters of a run's steps. Nothing here may throw or wait: counting must not change a step. */
export interface StepMetrics {
  /** The outcome of a submit is not known: its reply, or the answer of its step, is lost. */
  outcomeUnknown(): void;
  /** A reconciliation left a purchase to a person. */
  undecided(): void;
  /** An audit has explained this many tasks of the account, by verdict. */
  audited(counts: Readonly<Record<string, number>>): void;
  /** Seconds between the end of a task, by the provider's clock, and the first sight of it; once per task. */
  detected(seconds: number): void;
}
