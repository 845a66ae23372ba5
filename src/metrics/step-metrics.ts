/** What the steps of a run count. Nothing here may throw or wait: a step goes on as if nobody counted. */
export interface StepMetrics {
  /** What came of a submit is not known: its reply is lost, or the answer of its step was. */
  outcomeUnknown(): void;
  /** A reconciliation has left a purchase to a person. */
  undecided(): void;
  /** Seconds between the end of a task, by the provider's clock, and the first sight of it; once per task. */
  detected(seconds: number): void;
}
