/** One purchase: the `n`-th (from 1) under its key. */
export interface Purchase {
  readonly key: string;
  readonly n: number;
}

/** The run that buys. The pair stays the same over retries of a step and after a reset of the run. */
export interface Buyer {
  readonly workflowId: string;
  /** Run id of the first execution of the chain. */
  readonly firstRunId: string;
}

/** Whether two purchases are the same one. */
export const isSamePurchase = (a: Purchase, b: Purchase): boolean => a.key === b.key && a.n === b.n;
