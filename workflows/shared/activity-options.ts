import { ActivityCancellationType, type ActivityOptions } from '@temporalio/workflow';
import type { VideoActivities } from '../../activities/types.js';
import type { StepTimes } from '../../src/contract/times.js';

// Stated on every row. WAIT where an answer may be a purchase or must be kept; TRY where the step only reads or
// is content-addressed, so that a cancelled run ends at once.
const { WAIT_CANCELLATION_COMPLETED, TRY_CANCEL } = ActivityCancellationType;

// A submit is billed and has no idempotency key, so none of these is ever retried. The server knows these
// names; they are undocumented, so a test on the real server holds them.
const outcomeUnknown: string[] = ['TemporalTimeout:StartToClose', 'TemporalTimeout:Heartbeat', 'WorkerShutdown'];

/** Every time-out, retry policy and cancellation type, with the reason of each number; `times` brings its own reasons. */
export function activityOptions(times: StepTimes) {
  const patient = { initialInterval: times.retryInitialMs, maximumInterval: times.retryMaximumMs };
  return {
    prepareRequest: {
      startToCloseTimeout: '5m', // fetching 20 MB at 1 Mbit/s takes 160 s
      scheduleToCloseTimeout: '30m', // a reference unreachable that long is the caller's to mend
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: { ...patient, maximumInterval: '30s', maximumAttempts: 8 },
      cancellationType: TRY_CANCEL,
    },
    uploadReference: {
      startToCloseTimeout: '5m', // 20 MB at 1 Mbit/s, as above; the policy itself lives 300 s
      scheduleToCloseTimeout: times.submitScheduleToCloseMs, // nothing is bought yet: as patient as the submit
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    requestSlot: {
      startToCloseTimeout: '10s', // Temporal itself answers within milliseconds
      retry: patient, // the run waits in any case
      cancellationType: TRY_CANCEL,
    },
    submitTask: {
      allowEagerDispatch: false, // eager dispatch would bypass the queue's rate limit
      startToCloseTimeout: times.submitStartToCloseMs,
      scheduleToCloseTimeout: times.submitScheduleToCloseMs,
      retry: { ...patient, nonRetryableErrorTypes: outcomeUnknown },
      cancellationType: WAIT_CANCELLATION_COMPLETED,
    },
    findPurchase: {
      startToCloseTimeout: times.cancelStartToCloseMs, // one attempt: the caller of a cancel waits for it
      scheduleToCloseTimeout: 1.5 * times.cancelStartToCloseMs,
      retry: { maximumAttempts: 1 },
      cancellationType: TRY_CANCEL,
    },
    awaitPurchase: {
      startToCloseTimeout: times.parkedStartToCloseMs, // as long as a person may take; else it ends within a minute or so
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient, // reading only
      cancellationType: TRY_CANCEL,
    },
    reconcileSubmit: {
      startToCloseTimeout: times.pollScheduleToCloseMs, // its candidates are watched to their end, like any task
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient, // it neither buys nor guesses: safe to start over
      cancellationType: TRY_CANCEL,
    },
    resolvePurchase: {
      startToCloseTimeout: '1m', // one query and a few records
      scheduleToCloseTimeout: '10m', // then the person is told and may decide again
      retry: patient,
      cancellationType: WAIT_CANCELLATION_COMPLETED, // a decision that was written must be known
    },
    pollTask: {
      startToCloseTimeout: times.pollScheduleToCloseMs, // bounded by the next line alone
      scheduleToCloseTimeout: times.pollScheduleToCloseMs,
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient, // a lost query is not a lost video
      cancellationType: TRY_CANCEL,
    },
    archiveVideo: {
      startToCloseTimeout: '30m', // 1 GiB at 5 Mbit/s
      scheduleToCloseTimeout: times.archiveScheduleToCloseMs,
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    restoreVideo: {
      startToCloseTimeout: '30m', // as archiveVideo
      scheduleToCloseTimeout: times.archiveScheduleToCloseMs,
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    findOrphans: {
      startToCloseTimeout: '10m', // some 1000 open purchases at 4 reads each, 100 reads/s
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: { ...patient, maximumAttempts: 5 }, // the next sweep comes within the hour
      cancellationType: TRY_CANCEL,
    },
    findOpenSlots: {
      startToCloseTimeout: '10m', // as findOrphans
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient, // while the store is away nothing can be bought either
      cancellationType: TRY_CANCEL,
    },
    findDeadSlots: {
      startToCloseTimeout: '1m', // a handful of purchases at 4 reads each
      scheduleToCloseTimeout: '2m', // the next look comes soon
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    findSpending: {
      startToCloseTimeout: '10m', // a day of 10 000 bills at some 20 reads/s and more, and the open purchases
      scheduleToCloseTimeout: '20m', // then the slots may continue as new, and ask again
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    openBatch: {
      startToCloseTimeout: '1h', // 10 000 lines take seconds; as many data: URIs to be stored take longer
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient, // nothing is bought yet: an outage of the store only delays
      cancellationType: TRY_CANCEL,
    },
    readManifest: {
      startToCloseTimeout: '1m', // one range of at most 180 kB
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    findEndedItems: {
      startToCloseTimeout: '10m', // a window of 500 and all who wait for a person, some 100 looks/s
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: { ...patient, maximumAttempts: 5 }, // the next look comes
      cancellationType: TRY_CANCEL,
    },
    writeResults: {
      startToCloseTimeout: '1m', // one object of some 100 kB
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient, // the ends are known nowhere else
      cancellationType: WAIT_CANCELLATION_COMPLETED, // a late attempt must not overwrite a later page
    },
    writeReport: {
      startToCloseTimeout: '1m',
      heartbeatTimeout: times.heartbeatTimeoutMs,
      retry: patient,
      cancellationType: WAIT_CANCELLATION_COMPLETED,
    },
    notifyWebhook: {
      startToCloseTimeout: '30s', // twice the bound of one POST: a worker that died on it is replaced soon
      scheduleToCloseTimeout: '24h', // a receiver that is down over night is told in the morning; then the run fails, for all to see
      retry: { ...patient, maximumInterval: '10m' }, // a minute's outage costs seven attempts, a day's 150
      cancellationType: TRY_CANCEL,
    },
    findSchedule: {
      startToCloseTimeout: '10s', // Temporal itself answers within milliseconds
      retry: { ...patient, maximumAttempts: 8 }, // over two minutes: outlasts its restart; then the batch ends without
      cancellationType: TRY_CANCEL,
    },
    pauseSchedule: {
      startToCloseTimeout: '10s', // above the bound of both of its calls
      retry: { ...patient, maximumAttempts: 8 }, // as findSchedule; what was paused before is not paused again
      cancellationType: TRY_CANCEL,
    },
    cancelTask: {
      startToCloseTimeout: times.cancelStartToCloseMs,
      scheduleToCloseTimeout: 1.5 * times.cancelStartToCloseMs, // with every worker busy the run must still end within 2 s
      retry: { maximumAttempts: 1 },
      cancellationType: TRY_CANCEL,
    },
    requestCancellation: {
      startToCloseTimeout: '10s', // Temporal itself answers within milliseconds
      scheduleToCloseTimeout: '2m', // outlasts its restart
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
  } satisfies Record<keyof VideoActivities, ActivityOptions>;
}
