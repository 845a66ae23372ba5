import { ActivityCancellationType, type ActivityOptions } from '@temporalio/workflow';
import type { VideoActivities } from '../activities/types.js';

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

/** Every time-out, retry policy and cancellation type, with the reason of each number. */
export const activityOptions = {
  prepareRequest: {
    startToCloseTimeout: '5m', // fetching 20 MB at 1 Mbit/s takes 160 s
    scheduleToCloseTimeout: '30m', // a reference unreachable that long is the caller's to mend
    heartbeatTimeout: '30s',
    retry: { initialInterval: '1s', maximumInterval: '30s', maximumAttempts: 8 },
    cancellationType: TRY_CANCEL,
  },
  uploadReference: {
    startToCloseTimeout: '5m', // 20 MB at 1 Mbit/s, as above; the policy itself lives 300 s
    scheduleToCloseTimeout: '2h', // as long as a throttled submit
    heartbeatTimeout: '30s',
    retry: { initialInterval: '1s', maximumInterval: '1m' },
    cancellationType: TRY_CANCEL,
  },
  submitTask: {
    allowEagerDispatch: false, // eager dispatch would bypass the queue's rate limit
    startToCloseTimeout: '30s', // HTTP 20 s < this < submit worker's grace 40 s: our own answer comes first
    scheduleToCloseTimeout: '2h', // throttled that long: the account is used up elsewhere, say so
    retry: { initialInterval: '2s', maximumInterval: '1m', nonRetryableErrorTypes: outcomeUnknown },
    cancellationType: WAIT_CANCELLATION_COMPLETED,
    summary: 'buy one task',
  },
  pollTask: {
    startToCloseTimeout: '20h', // bounded by the next line alone
    scheduleToCloseTimeout: '20h', // task and link vanish after 24 h; 4 h are left to archive
    heartbeatTimeout: '30s', // a killed worker's task moves on within 40 s
    retry: { initialInterval: '1s', maximumInterval: '1m' }, // a lost query is not a lost video
    cancellationType: TRY_CANCEL,
  },
  archiveVideo: {
    startToCloseTimeout: '30m', // 1 GiB at 5 Mbit/s
    scheduleToCloseTimeout: '3h', // within the 4 h that polling leaves
    heartbeatTimeout: '30s',
    retry: { initialInterval: '1s', maximumInterval: '1m' },
    cancellationType: TRY_CANCEL,
  },
  cancelTask: {
    startToCloseTimeout: '1s', // one attempt: the caller does not wait
    retry: { maximumAttempts: 1 },
    cancellationType: TRY_CANCEL,
  },
  requestCancellation: {
    startToCloseTimeout: '10s',
    scheduleToCloseTimeout: '2m', // Temporal itself answers within milliseconds; two minutes outlast its restart
    cancellationType: TRY_CANCEL,
  },
} satisfies Record<keyof VideoActivities, ActivityOptions>;
