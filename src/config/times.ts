import { STEP_TIMES, type StepTimes } from '../contract/times.js';
import { DEFAULT_LEDGER_TIMES, type LedgerTimes } from '../ledger/times.js';
import { POLL_TIMES, type PollTimes } from '../polling/poll-schedule.js';

/** Every time that orders another one, in milliseconds. A test holds the order of the shipped values. */
export interface Times extends StepTimes {
  readonly submitHttpMs: number;
  readonly submitGraceMs: number;
  readonly submitForceMs: number;
  readonly containerStopMs: number;
  readonly mainGraceMs: number;
  readonly mainForceMs: number;
  readonly cancelHttpMs: number;
  readonly readHttpMs: number;
  readonly uploadHttpMs: number;
  /** How long a step goes on with the next one's work before it leaves that to the next one. */
  readonly nextStepMs: number;
  /** Until the headers of a result download, and for the next 16 KiB of it. */
  readonly downloadIdleMs: number;
  /** Whole fetch of a caller's image. */
  readonly referenceFetchMs: number;
  /** One POST to the webhook's receiver. */
  readonly webhookHttpMs: number;
  readonly heartbeatThrottleMs: number;
  readonly connectTemporalMs: number;
  /** How often a worker with metrics looks at the ledger's open purchases and counts the runs that need a person. */
  readonly metricsEveryMs: number;
  /** How often a worker looks whether the runs of its open purchases are still there. */
  readonly orphanCheckMs: number;
  /** How often a worker looks whether schedules have missed runs. */
  readonly missedRunsEveryMs: number;
  /** How often a worker looks at its clock, its credentials, and whether Temporal and the store accept them. */
  readonly watchEveryMs: number;
  /** How long Temporal may be away before the worker ends, so that a new one reads address and credentials again. */
  readonly temporalAwayMs: number;
  /** How long the store may refuse the worker's credentials or settings before the worker ends. */
  readonly storeRefusedMs: number;
  /** How long in a row the provider must deny to know a task before it counts as lost. */
  readonly unknownForMs: number;
  /** Between two downloads of the same bytes that count as proof that a result is no video. */
  readonly rejectEveryMs: number;
  /** Intervals between two queries of a task. */
  readonly poll: PollTimes;
  /** Times of buying once. */
  readonly ledger: LedgerTimes;
}

export const DEFAULT_TIMES: Times = {
  ...STEP_TIMES,
  submitHttpMs: 20_000, // the provider takes some 0.1 s; 20 s is a bad day
  submitGraceMs: 40_000, // above the submit's start-to-close: a shutdown never cuts a purchase
  submitForceMs: 50_000, // above the grace: force is for hung code only
  containerStopMs: 60_000, // above force: the process ends by itself before it is killed
  mainGraceMs: 2_000, // polls and archives hand over at once
  mainForceMs: 10_000, // time to say goodbye to the server after the grace
  cancelHttpMs: 800, // below the cancel's start-to-close: a plain "no" instead of a time-out
  readHttpMs: 10_000, // a query must end, and be tried again, within the heartbeat time-out
  uploadHttpMs: 120_000, // 20 MB at 1.5 Mbit/s take 107 s
  nextStepMs: 5_000, // most uploads and archives take a second or two; what is aborted is transferred again
  downloadIdleMs: 30_000, // a stalled download is resumed by Range, or retried: half a minute of too little is enough
  referenceFetchMs: 240_000, // 20 MB at 1 Mbit/s take 160 s; below the prepare step's start-to-close of 5 min
  webhookHttpMs: 15_000, // the specification recommends 15 to 30 s; below the step's start-to-close of 30 s
  heartbeatThrottleMs: 15_000, // a sent heartbeat costs an Action: 12 per 180 s generation
  connectTemporalMs: 8_000, // the command promises an answer within 10 s
  watchEveryMs: 30_000, // a renewed credential is used within half a minute; a few small calls
  temporalAwayMs: 900_000, // longer than a restart or a failover; a worker without Temporal has no work
  storeRefusedMs: 600_000, // renewed credentials are read every minute: after ten they do not come
  orphanCheckMs: 30_000, // a terminated run's video is archived within two minutes; a look costs no Action
  missedRunsEveryMs: 600_000, // a request per schedule; such a run is late by its catch-up window already
  metricsEveryMs: 120_000, // a listing or more each, while there is work; they show minutes and hours
  unknownForMs: 600_000, // a lag of the provider passes within seconds; a task that was paid is not given up lightly
  rejectEveryMs: 300_000, // three downloads span ten minutes, as long as a task must be denied
  poll: POLL_TIMES,
  ledger: DEFAULT_LEDGER_TIMES,
};
