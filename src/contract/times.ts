/**
 * The times that workflows need, in milliseconds. They are part of the worker's configuration; `prepareRequest` and
 * `openBatch` return them to the run.
 */
export interface StepTimes {
  readonly submitStartToCloseMs: number;
  readonly submitScheduleToCloseMs: number;
  readonly cancelStartToCloseMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly pollScheduleToCloseMs: number;
  /** How long a lost video is fetched again before the run fails. */
  readonly archiveScheduleToCloseMs: number;
  /** Delay of a finished result after which the run shows why it is late. */
  readonly archiveLateMs: number;
  /** Delay of a finished result after which the run waits for a person, while it is tried further. */
  readonly archiveAlarmMs: number;
  /** Age of a task at which a result that is not archived is a person's in any case. */
  readonly resultAlarmAgeMs: number;
  /** How long an archived video waits for a worker with ffmpeg before the original is the result. */
  readonly conformScheduleToStartMs: number;
  /** How long making another file from an archived video may take, with all attempts. */
  readonly conformScheduleToCloseMs: number;
  /** Longest wait for a person's decision in one attempt of the step that follows a parked purchase. */
  readonly parkedStartToCloseMs: number;
  /** Pause before a parked run reconciles again, where the obstacle may be removed without a decision. */
  readonly parkedRetryMs: number;
  /** First pause after a failed attempt; it doubles up to `retryMaximumMs`. */
  readonly retryInitialMs: number;
  readonly retryMaximumMs: number;
  /** How long a request for a slot may remain unanswered before the run continues without one. */
  readonly slotAckMs: number;
  /** Pause after which a run that waits for its slot requests it again. */
  readonly slotAskAgainMs: number;
  /** How often the holders of slots are audited while a run waits; ten times as rarely while none does. */
  readonly slotCheckMs: number;
  /** How often a batch sweeps the items whose end it may have missed. */
  readonly batchSweepMs: number;
}

export const STEP_TIMES: StepTimes = {
  // above the submit's HTTP bound of 20 s: the step's own answer comes before Temporal's timeout
  submitStartToCloseMs: 30_000,
  submitScheduleToCloseMs: 7_200_000, // throttled for 2 h: other programs use up the account, and the run says so
  cancelStartToCloseMs: 1_000, // one attempt: the caller does not wait
  // twice the throttle: one lost heartbeat is not a dead worker; a killed one is replaced within 40 s
  heartbeatTimeoutMs: 30_000,
  pollScheduleToCloseMs: 72_000_000, // 20 h: task and link are deleted after 24 h, 4 h remain to archive
  archiveScheduleToCloseMs: 10_800_000, // 3 h: within the 4 h that polling leaves
  archiveLateMs: 60_000, // some six attempts: a link that lags by seconds is not worth a line
  archiveAlarmMs: 3_600_000, // 1 h: most outages of a store or a network are shorter, and most of 24 h is left then
  resultAlarmAgeMs: 79_200_000, // 22 h: two hours before the provider deletes task and link, two after polling ends
  conformScheduleToStartMs: 900_000, // 15 min: a worker makes some 60 clips in that time; without one, nobody waits on
  conformScheduleToCloseMs: 3_600_000, // 1 h: three attempts of a quarter of an hour, and the waits between them
  parkedStartToCloseMs: 2_592_000_000, // 30 days; then the step is retried
  parkedRetryMs: 3_600_000, // some fifteen events: a list refused over a weekend costs a thousand
  retryInitialMs: 1_000, // the hand-over gap of a poll when a worker shuts down
  retryMaximumMs: 60_000, // the end of an outage of hours is noticed within a minute
  // the slots answer within 0.1 s, after a killed worker within 10 s: after a minute they do not work
  slotAckMs: 60_000,
  slotAskAgainMs: 600_000, // a lost answer costs at most ten minutes; a request costs two Actions
  slotCheckMs: 60_000, // a dead holder costs the account at most a minute of one slot, a check two Actions
  // only a terminated run, or one that cannot reach its batch, ends unreported; a sweep costs a describe per open item
  batchSweepMs: 600_000,
};

/** Takes the step times out of a larger set; these become part of a run's history. */
export function stepTimesOf(times: StepTimes): StepTimes {
  const names = Object.keys(STEP_TIMES) as (keyof StepTimes)[];
  return Object.fromEntries(names.map((name) => [name, times[name]])) as unknown as StepTimes;
}
