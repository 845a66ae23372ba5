/**
 * The times that the workflow needs, in milliseconds. The worker's configuration holds them; `prepareRequest` hands
 * them on.
 */
export interface StepTimes {
  readonly submitStartToCloseMs: number;
  readonly submitScheduleToCloseMs: number;
  readonly cancelStartToCloseMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly pollScheduleToCloseMs: number;
  readonly archiveScheduleToCloseMs: number;
  /** Longest wait for a person's decision in one attempt of the step that follows a parked purchase. */
  readonly parkedStartToCloseMs: number;
  /** How long a parked run waits before it looks again, where the obstacle may be removed without a decision. */
  readonly parkedRetryMs: number;
  /** First pause after a failed attempt; it doubles up to `retryMaximumMs`. */
  readonly retryInitialMs: number;
  readonly retryMaximumMs: number;
  /** How long a request for a slot may stay unanswered before the run goes on without one. */
  readonly slotAckMs: number;
  /** After which a run that waits for its slot asks again. */
  readonly slotAskAgainMs: number;
  /** How often the holders of slots are audited while a run waits; ten times as rarely while none does. */
  readonly slotCheckMs: number;
  /** How often a batch sweeps the items whose end it may have missed. */
  readonly batchSweepMs: number;
}

export const STEP_TIMES: StepTimes = {
  // above the submit's HTTP bound of 20 s: our own answer comes before Temporal's time-out
  submitStartToCloseMs: 30_000,
  submitScheduleToCloseMs: 7_200_000, // throttled for 2 h: the account is used up elsewhere, say so
  cancelStartToCloseMs: 1_000, // one attempt: the caller does not wait
  // twice the throttle: one lost heartbeat is not a dead worker; a killed one is replaced within 40 s
  heartbeatTimeoutMs: 30_000,
  pollScheduleToCloseMs: 72_000_000, // 20 h: task and link vanish after 24 h, 4 h are left to archive
  archiveScheduleToCloseMs: 10_800_000, // 3 h: within the 4 h that polling leaves
  parkedStartToCloseMs: 2_592_000_000, // 30 days; the step is then tried again
  parkedRetryMs: 3_600_000, // some fifteen events: a list refused over a weekend costs a thousand
  retryInitialMs: 1_000, // the hand-over gap of a poll when a worker shuts down
  retryMaximumMs: 60_000, // an outage of hours is noticed as over within a minute
  // the slots answer within 0.1 s, after a killed worker within 10 s: a minute means that they are out of order
  slotAckMs: 60_000,
  slotAskAgainMs: 600_000, // what is lost meanwhile costs ten minutes; asking costs two Actions
  slotCheckMs: 60_000, // a dead holder costs the account at most a minute of one slot, a check two Actions
  // only a terminated run, or one cut off from its batch, ends in silence; a look costs a describe per item in work
  batchSweepMs: 600_000,
};

/** Only the step times of a larger set: what goes into a run's history. */
export function stepTimesOf(times: StepTimes): StepTimes {
  const names = Object.keys(STEP_TIMES) as (keyof StepTimes)[];
  return Object.fromEntries(names.map((name) => [name, times[name]])) as unknown as StepTimes;
}
