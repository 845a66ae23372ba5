/** Every time that orders another one, in milliseconds. Handed to the workflow by `prepareRequest`. */
export interface Times {
  readonly submitHttpMs: number;
  readonly submitStartToCloseMs: number;
  readonly submitScheduleToCloseMs: number;
  readonly submitGraceMs: number;
  readonly submitForceMs: number;
  readonly containerStopMs: number;
  readonly mainGraceMs: number;
  readonly mainForceMs: number;
  readonly cancelHttpMs: number;
  readonly cancelStartToCloseMs: number;
  readonly readHttpMs: number;
  /** Whole fetch of a caller's image. */
  readonly referenceFetchMs: number;
  readonly heartbeatThrottleMs: number;
  readonly pollHeartbeatTimeoutMs: number;
  readonly pollScheduleToCloseMs: number;
  readonly resultLifeMs: number;
}

export const DEFAULT_TIMES: Times = {
  submitHttpMs: 20_000, // the provider takes some 0.1 s; 20 s is a bad day
  submitStartToCloseMs: 30_000, // above the HTTP bound: our own answer comes before Temporal's time-out
  submitScheduleToCloseMs: 7_200_000, // throttled for 2 h: the account is used up elsewhere
  submitGraceMs: 40_000, // above start-to-close: a shutdown never cuts a purchase
  submitForceMs: 50_000, // above the grace: force is for hung code only
  containerStopMs: 60_000, // above force: the process ends by itself before it is killed
  mainGraceMs: 2_000, // polls and archives hand over at once
  mainForceMs: 10_000, // time to say goodbye to the server after the grace
  cancelHttpMs: 800, // below start-to-close: a plain "no" instead of a time-out
  cancelStartToCloseMs: 1_000, // the caller does not wait; what stays open is salvaged
  readHttpMs: 10_000, // a query must end, and be tried again, within the heartbeat time-out
  referenceFetchMs: 240_000, // 20 MB at 1 Mbit/s take 160 s; below prepare's start-to-close of 5 min
  heartbeatThrottleMs: 15_000, // a sent heartbeat costs an Action: 12 per 180 s generation
  pollHeartbeatTimeoutMs: 30_000, // two throttles: one lost heartbeat is not a dead worker
  pollScheduleToCloseMs: 72_000_000, // 20 h: task and link vanish after 24 h, 4 h are left to archive
  resultLifeMs: 86_400_000, // 24 h, image-to-video API reference
};
