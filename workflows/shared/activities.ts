import * as wf from '@temporalio/workflow';
import type { VideoActivities } from '../../activities/index.js';
import type { PostEventInput } from '../../activities/post-event.js';
import { conformQueueOf, submitQueueOf } from '../../src/contract/names.js';
import { STEP_TIMES, type StepTimes } from '../../src/contract/times.js';

// Stated in every row. WAIT where an answer may be a purchase or must be kept; TRY where the step only reads or writes
// by content, so that a cancelled run ends at once.
const { WAIT_CANCELLATION_COMPLETED, TRY_CANCEL } = wf.ActivityCancellationType;

// A submit is billed and has no idempotency key, so none of these is ever retried. The server uses these names; they
// are undocumented, so a test against a real server checks them.
const OUTCOME_UNKNOWN: string[] = ['TemporalTimeout:StartToClose', 'TemporalTimeout:Heartbeat', 'WorkerShutdown'];

type StepName = keyof VideoActivities;
type InputOf<Name extends StepName> = Parameters<VideoActivities[Name]>[0];

/** How a workflow runs a step. */
interface StepOptions<Input> extends Omit<wf.ActivityOptions, 'summary' | 'scheduleToCloseTimeout'> {
  readonly cancellationType: wf.ActivityCancellationType;
  readonly retry: NonNullable<wf.ActivityOptions['retry']>;
  /** Shown in the Web UI next to the step. */
  readonly summary: string | ((input: Input) => string);
  readonly scheduleToCloseTimeout?: wf.ActivityOptions['scheduleToCloseTimeout'] | ((input: Input) => '24h' | '48h');
}

type StepTable = { readonly [Name in StepName]: StepOptions<InputOf<Name>> };

/**
 * One row per step: queue, timeouts, retries and cancellation, with the reason of each number, and what the Web UI
 * shows.
 * @param times - Have their own reasons, in `src/contract/times.ts`.
 * @param queue - Task queue of the run.
 */
export function stepTable(times: StepTimes, queue: string): StepTable {
  const { heartbeatTimeoutMs: heartbeatTimeout } = times;
  const patient = { initialInterval: times.retryInitialMs, maximumInterval: times.retryMaximumMs };
  return {
    prepareRequest: {
      summary: 'check the request, upload its image, request a slot',
      startToCloseTimeout: '5m', // downloading 20 MB at 1 Mbit/s takes 160 s
      // our own store is waited for as long as by the upload; the step itself gives up on the caller's image sooner
      scheduleToCloseTimeout: times.submitScheduleToCloseMs,
      heartbeatTimeout,
      retry: { ...patient, maximumInterval: '30s' },
      // a slot that it has requested is known only from its answer, and is withdrawn then
      cancellationType: WAIT_CANCELLATION_COMPLETED,
    },
    uploadReference: {
      summary: 'upload the image to the provider, request a slot',
      startToCloseTimeout: '5m', // 20 MB at 1 Mbit/s, as above; the upload policy itself lives 300 s
      scheduleToCloseTimeout: times.submitScheduleToCloseMs, // nothing is bought yet: as patient as the submit
      heartbeatTimeout,
      retry: patient,
      // as above: a slot that it requests later would stay with an ended run
      cancellationType: WAIT_CANCELLATION_COMPLETED,
    },
    requestSlot: {
      summary: 'request the slot again',
      startToCloseTimeout: '10s', // Temporal itself answers within milliseconds
      retry: patient, // the run waits in any case
      cancellationType: WAIT_CANCELLATION_COMPLETED, // as above
    },
    assessSlots: {
      summary: 'find out why the slots do not answer',
      startToCloseTimeout: '30s', // a few requests to Temporal, which may be overloaded
      retry: patient, // the run waits in any case
      cancellationType: TRY_CANCEL,
    },
    wakeWaitingRuns: {
      summary: 'make the runs that wait request again',
      startToCloseTimeout: '30m', // a signal to each of 50,000 runs, some 100 a second
      heartbeatTimeout,
      retry: { ...patient, maximumAttempts: 5 }, // each run asks again by itself, later
      cancellationType: TRY_CANCEL,
    },
    submitTask: {
      summary: 'buy one task',
      taskQueue: submitQueueOf(queue), // the account's submit rate is set on this queue
      allowEagerDispatch: false, // eager dispatch would bypass the queue's rate limit
      startToCloseTimeout: times.submitStartToCloseMs,
      scheduleToCloseTimeout: times.submitScheduleToCloseMs,
      retry: { ...patient, nonRetryableErrorTypes: OUTCOME_UNKNOWN },
      cancellationType: WAIT_CANCELLATION_COMPLETED,
    },
    findPurchase: {
      summary: 'find what a lost submit has bought',
      startToCloseTimeout: times.cancelStartToCloseMs, // one attempt: the caller of a cancel waits for it
      scheduleToCloseTimeout: 1.5 * times.cancelStartToCloseMs,
      retry: { maximumAttempts: 1 },
      cancellationType: TRY_CANCEL,
    },
    awaitPurchase: {
      summary: "follow another run's purchase",
      // as long as a person may take; else it ends within a minute or so
      startToCloseTimeout: times.parkedStartToCloseMs,
      heartbeatTimeout,
      retry: patient, // it only reads
      cancellationType: TRY_CANCEL,
    },
    reconcileSubmit: {
      summary: 'find out what became of a lost submit',
      startToCloseTimeout: times.pollScheduleToCloseMs, // it watches candidates to their end, like any task
      heartbeatTimeout,
      retry: patient, // it neither buys nor guesses: safe to start over
      cancellationType: TRY_CANCEL,
    },
    resolvePurchase: {
      summary: "apply a person's decision",
      startToCloseTimeout: '1m', // one query and a few records
      scheduleToCloseTimeout: '10m', // after that the person is informed, and may decide again
      retry: patient,
      cancellationType: WAIT_CANCELLATION_COMPLETED, // the run must know of a decision that is written
    },
    pollTask: {
      summary: ({ task }) => `task ${task.taskId}`,
      startToCloseTimeout: times.pollScheduleToCloseMs, // bounded by the next line alone
      scheduleToCloseTimeout: times.pollScheduleToCloseMs,
      heartbeatTimeout,
      retry: patient, // a lost query is not a lost video
      cancellationType: TRY_CANCEL,
    },
    archiveVideo: {
      summary: ({ task }) => `task ${task.taskId}`,
      startToCloseTimeout: '30m', // 1 GiB at 5 Mbit/s
      heartbeatTimeout,
      retry: patient, // without an end: it is paid, and the run says when a person is needed
      cancellationType: TRY_CANCEL,
    },
    restoreVideo: {
      summary: ({ task }) => `task ${task.taskId}`,
      startToCloseTimeout: '30m', // as archiveVideo
      scheduleToCloseTimeout: times.archiveScheduleToCloseMs,
      heartbeatTimeout,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    conformVideo: {
      summary: ({ result }) => `task ${result.task_id}`,
      taskQueue: conformQueueOf(queue), // polled by workers that have ffmpeg
      allowEagerDispatch: false, // the worker that would get it may have none
      scheduleToStartTimeout: times.conformScheduleToStartMs,
      startToCloseTimeout: '15m', // ffmpeg's own bound of 10 min, and the transfers around it
      scheduleToCloseTimeout: times.conformScheduleToCloseMs,
      heartbeatTimeout,
      retry: { ...patient, maximumAttempts: 10 }, // each by another process: the original is the result in the end
      cancellationType: TRY_CANCEL,
    },
    cancelTask: {
      summary: ({ taskId }) => `task ${taskId}`,
      startToCloseTimeout: times.cancelStartToCloseMs,
      // a run must end within 2 s even if every worker is busy
      scheduleToCloseTimeout: 1.5 * times.cancelStartToCloseMs,
      retry: { maximumAttempts: 1 },
      cancellationType: TRY_CANCEL,
    },
    requestCancellation: {
      summary: 'close the run as Cancelled',
      startToCloseTimeout: '10s', // Temporal itself answers within milliseconds
      scheduleToCloseTimeout: '2m', // outlasts a restart of Temporal
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    findOrphans: {
      summary: 'find purchases that no run finishes',
      startToCloseTimeout: '10m', // some 1000 open purchases at 4 reads each, 100 reads/s
      heartbeatTimeout,
      retry: { ...patient, maximumAttempts: 5 }, // the next sweep comes within the hour
      cancellationType: TRY_CANCEL,
    },
    auditTasks: {
      summary: 'explain every task of the account',
      startToCloseTimeout: '2h', // 20,000 tasks at 4 queries at a time, some 10 a second, and a few reads each
      heartbeatTimeout,
      retry: { ...patient, maximumAttempts: 3 }, // the next audit comes the next night
      cancellationType: TRY_CANCEL,
    },
    findOpenSlots: {
      summary: 'find the open purchases, which hold slots',
      startToCloseTimeout: '10m', // as findOrphans
      heartbeatTimeout,
      retry: patient, // while the store is unavailable nothing can be bought either
      cancellationType: TRY_CANCEL,
    },
    findDeadSlots: {
      summary: 'find holders that are gone',
      startToCloseTimeout: '1m', // a handful of purchases at 4 reads each
      scheduleToCloseTimeout: '2m', // the next audit comes soon
      heartbeatTimeout,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    findSpending: {
      summary: 'read what was spent',
      startToCloseTimeout: '10m', // a day of 10 000 bills at some 20 reads/s and more, and the open purchases
      scheduleToCloseTimeout: '20m', // after that the slots may continue as new, and read again
      heartbeatTimeout,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    openBatch: {
      summary: 'check the manifest and copy it',
      startToCloseTimeout: '1h', // 10 000 lines take seconds; storing as many data: URIs takes longer
      heartbeatTimeout,
      retry: patient, // nothing is bought yet: an outage of the store only delays
      cancellationType: TRY_CANCEL,
    },
    readManifest: {
      summary: 'read the next items',
      startToCloseTimeout: '1m', // one range of at most 180 kB
      heartbeatTimeout,
      retry: patient,
      cancellationType: TRY_CANCEL,
    },
    findEndedItems: {
      summary: 'find ends that were missed',
      startToCloseTimeout: '10m', // a window of 500 and all items that wait for a person, some 100 reads/s
      heartbeatTimeout,
      retry: { ...patient, maximumAttempts: 5 }, // the next sweep comes
      cancellationType: TRY_CANCEL,
    },
    writeResults: {
      summary: 'write the ends of items',
      startToCloseTimeout: '1m', // one object of some 100 kB
      heartbeatTimeout,
      retry: patient, // nothing else has the ends
      cancellationType: WAIT_CANCELLATION_COMPLETED, // a late attempt must not overwrite a later page
    },
    writeReport: {
      summary: 'write the report',
      startToCloseTimeout: '1m',
      heartbeatTimeout,
      retry: patient,
      cancellationType: WAIT_CANCELLATION_COMPLETED,
    },
    deliverBatch: {
      summary: 'copy the videos to their names',
      startToCloseTimeout: '6h', // 10 000 videos that pass through the worker, at some two a second
      // a store that is away over a night; then the batch ends and says so
      scheduleToCloseTimeout: '24h',
      heartbeatTimeout,
      retry: patient, // it goes on from its last heartbeat
      cancellationType: WAIT_CANCELLATION_COMPLETED, // an ended batch writes no more files
    },
    postEvent: {
      summary: 'deliver the event',
      startToCloseTimeout: '30s', // twice the bound of one POST: a worker that dies on it is replaced soon
      // a receiver that is down overnight gets it in the morning; then the run fails visibly. An event that waits for
      // another one has as long for itself: they begin almost together, so that 24 hours would end before it is sent
      scheduleToCloseTimeout: ({ route }: PostEventInput) => (route?.after == null ? '24h' : '48h'),
      retry: { ...patient, maximumInterval: '10m' }, // a minute's outage costs seven attempts, a day's 150
      cancellationType: TRY_CANCEL,
    },
    findSchedule: {
      summary: 'read the schedule: too much failed',
      startToCloseTimeout: '10s', // Temporal itself answers within milliseconds
      // over two minutes, longer than a restart; then the batch ends without it
      retry: { ...patient, maximumAttempts: 8 },
      cancellationType: TRY_CANCEL,
    },
    pauseSchedule: {
      summary: 'pause the schedule',
      startToCloseTimeout: '10s', // above the bound of both of its calls
      retry: { ...patient, maximumAttempts: 8 }, // as findSchedule; a paused schedule is not paused again
      cancellationType: TRY_CANCEL,
    },
  };
}

/** The steps by the times that they were built with: a run has one or two sets of times. */
const cache = new WeakMap<StepTimes, VideoActivities>();

/**
 * The steps, each with its row of the table.
 * @param times - The worker's times, which `prepareRequest` and `openBatch` bring; the shipped ones until then.
 */
export function steps(times: StepTimes = STEP_TIMES): VideoActivities {
  const cached = cache.get(times);
  if (cached !== undefined) return cached;
  const rows = Object.entries(stepTable(times, wf.workflowInfo().taskQueue)) as [StepName, StepOptions<never>][];
  const built = Object.fromEntries(rows.map(([name, options]) => [name, proxyOf(name, options)]));
  cache.set(times, built as unknown as VideoActivities);
  return built as unknown as VideoActivities;
}

function proxyOf(name: StepName, row: StepOptions<never>): VideoActivities[StepName] {
  const { summary, scheduleToCloseTimeout, ...options } = row;
  if (typeof summary === 'string' && typeof scheduleToCloseTimeout !== 'function') {
    return wf.proxyActivities<VideoActivities>({ ...options, summary, scheduleToCloseTimeout })[name];
  }
  const step = (input: never) => {
    const ofInput = {
      summary: typeof summary === 'string' ? summary : summary(input),
      scheduleToCloseTimeout:
        typeof scheduleToCloseTimeout === 'function' ? scheduleToCloseTimeout(input) : scheduleToCloseTimeout,
    };
    return wf.proxyActivities({ ...options, ...ofInput })[name]?.(input);
  };
  return step as VideoActivities[StepName];
}
