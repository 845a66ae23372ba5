import { ActivityCancellationType, type ActivityOptions } from '@temporalio/workflow';
import type { VideoActivities } from '../activities/types.js';
import type { StepTimes } from '../src/contract/times.js';

// Stated on every row. WAIT where an answer may be a purchase or must be kept; TRY where the step only reads or
// is content-addressed, so that a cancelled run ends at once.
const { WAIT_CANCELLATION_COMPLETED, TRY_CANCEL } = ActivityCancellationType;

// A submit is billed and has no idempotency key, so none of these is ever retried. The server knows the last
// three by these names; they are undocumented, so a test on the real server holds them.
const outcomeUnknown: string[] = [
  'SubmitOutcomeUnknown',
  'TemporalTimeout:StartToClose',
  'TemporalTimeout:Heartbeat',
  'WorkerShutdown',
];

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
    submitTask: {
      allowEagerDispatch: false, // eager dispatch would bypass the queue's rate limit
      startToCloseTimeout: times.submitStartToCloseMs,
      scheduleToCloseTimeout: times.submitScheduleToCloseMs,
      retry: { ...patient, nonRetryableErrorTypes: outcomeUnknown },
      cancellationType: WAIT_CANCELLATION_COMPLETED,
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
    cancelTask: {
      startToCloseTimeout: times.cancelStartToCloseMs,
      scheduleToCloseTimeout: 2 * times.cancelStartToCloseMs, // with every worker gone the run must still end within 2 s
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
