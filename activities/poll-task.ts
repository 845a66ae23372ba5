import { Context } from '@temporalio/activity';
import { untilAborted } from '../src/async/aborted.js';
import { Semaphore } from '../src/async/semaphore.js';
import { toFailure, type VideoFailure } from '../src/contract/failure.js';
import { FailureType } from '../src/contract/failure-type.js';
import type { VideoResult } from '../src/contract/result.js';
import type { SlotReleaseMessage } from '../src/contract/slots.js';
import { utcDay } from '../src/contract/utc.js';
import { VideoError } from '../src/contract/video-error.js';
import { classifyProviderError } from '../src/dashscope/errors.js';
import type { TaskSnapshot } from '../src/dashscope/wire.js';
import type { TaskBill } from '../src/ledger/bills.js';
import type { Ledger, TaskEnd } from '../src/ledger/ledger.js';
import { type ClaimState, endingOfTask } from '../src/ledger/purchase-view.js';
import { batchOf } from '../src/ledger/records.js';
import type { RenderEta } from '../src/polling/watch.js';
import type { StoreOptions } from '../src/storage/asset-store.js';
import { ArchiveAttempts, type Attempts } from './archive-attempts.js';
import { archiveFinished } from './archive-video.js';
import type { ActivityDeps } from './deps.js';
import { findStoredCopy } from './download-result.js';
import { type FinishedTask, finishedTask } from './finished-task.js';
import type { WatchedTask } from './purchase-step.js';
import { requireGone } from './require-gone.js';
import { NOTHING_BILLED, releaseSlot } from './slot-holders.js';
import { withSignal } from './with-signal.js';

/** How far a task is, and when its video is expected. */
export interface RenderProgress extends RenderEta {
  /** Since when the provider renders, in milliseconds since the epoch; null while the task is queued. */
  readonly startedAtMs: number | null;
  /** Documented paths of fields of the last answer that could not be read. */
  readonly oddities?: readonly string[] | undefined;
}

export interface PollInput {
  readonly task: WatchedTask;
  /** Whether the step returns at the task's start, or only at its end. */
  readonly until: 'started' | 'ended';
}

/** Result of a watch; `started` only for `until: 'started'`. */
export type PollOutcome =
  | { readonly kind: 'started'; readonly render: RenderProgress }
  /** Its video is archived. `oddities`: as those of {@link FinishedTask}. */
  | { readonly kind: 'archived'; readonly result: VideoResult; readonly oddities?: readonly string[] }
  /** It has a video that is not archived yet, and what came of one attempt. */
  | { readonly kind: 'succeeded'; readonly task: FinishedTask; readonly attempts?: Attempts }
  /** It failed for good because of the request; the ledger says so. */
  | { readonly kind: 'failed'; readonly failure: VideoFailure }
  /** It ended without a video and free of charge, for no fault of the request: it may be bought again. */
  | { readonly kind: 'free'; readonly failure: VideoFailure }
  /** The provider has deleted it, and there is no copy of its video. */
  | { readonly kind: 'gone'; readonly failure: VideoFailure }
  /** A person has decided meanwhile to do without its result. */
  | { readonly kind: 'abandoned' };

/** Milliseconds between two looks for a person's decision on a task that another run watches as well. */
const DECISION_EVERY_MS = 600_000;
/**
 * Videos that are archived at once within watches: in a crowd each takes its turn, and its time begins then. Without a
 * turn within that time the step `archiveVideo` does it.
 */
const ARCHIVED_AT_ONCE = 32;

/**
 * Watches a task until it starts, or to its end. Once a task is bought, no failed query ends the run: faults of the
 * network, the provider or the key are waited out, and the heartbeat says what it waits for.
 */
export function createPollTask(deps: ActivityDeps) {
  const { watcher, ledger, clock, times } = deps;
  const turns = new Semaphore(ARCHIVED_AT_ONCE);
  return ({ task, until }: PollInput): Promise<PollOutcome> => {
    const heartbeat = { v: 1, looks: 0, status: '', waiting_for: 'the first look' };
    const watched = { taskId: task.taskId, submittedAtMs: task.intentAtMs, ...task.render };
    const watch = async (signal: AbortSignal): Promise<PollOutcome> => {
      const claim = new ClaimWriter(ledger, task, signal);
      claim.tryWrite();
      // Remembered from the submit, or read while it renders, so that its end does not wait for it.
      if (until === 'ended') ledger.findIntent(task, { signal }).catch(() => undefined);
      let unknownSinceMs: number | undefined;
      const decided = new AbortController();
      let lookedMs = clock.now();
      const noticeDecision = () => {
        if (clock.now() - lookedMs < DECISION_EVERY_MS) return;
        lookedMs = clock.now();
        void ledger.findPurchase(task.purchase, { signal }).then(
          (view) => {
            if (view !== undefined && endingOfTask(view, task.taskId)?.how === 'abandoned') decided.abort();
          },
          () => undefined,
        );
      };
      const watching = watcher.watch(watched, {
        signal: AbortSignal.any([signal, decided.signal]),
        shouldStop: ({ status }) => {
          claim.tryWrite();
          noticeDecision();
          Object.assign(heartbeat, { looks: heartbeat.looks + 1, status, waiting_for: 'the task to end' });
          unknownSinceMs = status === 'UNKNOWN' ? (unknownSinceMs ?? clock.now()) : undefined;
          if (until === 'started' && status === 'RUNNING') return true;
          return unknownSinceMs !== undefined && clock.now() - unknownSinceMs >= times.unknownForMs;
        },
        onFault: (error) => {
          claim.tryWrite();
          noticeDecision();
          heartbeat.waiting_for = `${error instanceof VideoError ? error.type : 'an unexpected fault'} to pass`;
        },
      });
      const seen = await watching.catch((error: unknown) => {
        if (signal.aborted || !decided.signal.aborted) throw error;
        return undefined;
      });
      if (seen === undefined) return { kind: 'abandoned' };
      if (seen.status === 'RUNNING') {
        const startedAtMs = seen.scheduledTimeMs ?? clock.now();
        const { oddities } = seen;
        return { kind: 'started', render: { startedAtMs, ...watcher.eta(watched), ...(oddities && { oddities }) } };
      }
      const ended = { ...task, claim: claim.state };
      const recorded = recordEnd(deps, ended, seen, { signal });
      if (seen.status !== 'SUCCEEDED') return recorded;
      heartbeat.waiting_for = 'the video to be archived';
      return archiveAtOnce(deps, ended, { seen, recorded, turns }, signal);
    };
    return withSignal(watch, () => heartbeat);
  };
}

/**
 * Archives the video within the watch, which saves a generation a step: it is downloaded while its bill is recorded,
 * and its purchase is closed after that. What takes longer than most, or fails, is left to the step `archiveVideo`,
 * which has its own stage, retries and patience.
 */
async function archiveAtOnce(
  deps: ActivityDeps,
  task: WatchedTask,
  { seen, recorded, turns }: { seen: TaskSnapshot; recorded: Promise<PollOutcome>; turns: Semaphore },
  signal: AbortSignal,
): Promise<PollOutcome> {
  const attempts = new ArchiveAttempts();
  const { info } = Context.current();
  const isFirstTry = info.attempt === 1 && info.workflowExecution?.workflowId === task.boughtBy.workflowId;
  if (seen.videoUrl !== undefined) deps.links.add(task.taskId, seen.videoUrl);
  const finished = finishedTask(task, seen, deps.clock.now());
  const booked = recorded.then((end) => (end.kind === 'succeeded' ? end.task : finished));
  booked.catch(() => undefined); // thrown below
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  const archive = () => {
    const bounded = AbortSignal.any([stopped, AbortSignal.timeout(deps.times.nextStepMs)]);
    // A store that is slow with the bill does not keep the turn from others.
    const inTime = untilAborted(booked, bounded);
    inTime.catch(() => undefined); // thrown by what awaits it
    return archiveFinished(deps, finished, attempts, bounded, { isFirstTry, booked: inTime });
  };
  const archiving = turns.runSoon(archive, deps.times.nextStepMs, stopped).catch(() => undefined);
  const end = await recorded.catch((error: unknown) => {
    stop.abort();
    throw error;
  });
  const result = await archiving;
  signal.throwIfAborted();
  if (end.kind !== 'succeeded') return end;
  if (result === undefined) return { ...end, attempts: attempts.state };
  const { oddities } = end.task;
  return { kind: 'archived', result, ...(oddities && { oddities }) };
}

/** Writes a task's claim that could not be written when it was bought, with every look: neither waits for the other. */
class ClaimWriter {
  state: ClaimState;
  #isWriting = false;
  readonly #ledger: Ledger;
  readonly #task: WatchedTask;
  readonly #signal: AbortSignal;

  constructor(ledger: Ledger, task: WatchedTask, signal: AbortSignal) {
    this.#ledger = ledger;
    this.#task = task;
    this.#signal = signal;
    this.state = task.claim;
  }

  tryWrite(): void {
    if (this.state !== 'unwritten' || this.#isWriting) return;
    this.#isWriting = true;
    void this.#write();
  }

  async #write(): Promise<void> {
    try {
      this.state = await this.#ledger.ensureClaim(this.#task, { signal: this.#signal });
    } catch {
      // The next look tries again.
    } finally {
      this.#isWriting = false;
    }
  }
}

/**
 * Records how a task has ended, and releases its slot. Nobody learns of the end before the ledger, except the slots.
 */
async function recordEnd(
  deps: ActivityDeps,
  task: WatchedTask,
  seen: TaskSnapshot,
  options: { readonly signal: AbortSignal },
): Promise<PollOutcome> {
  // The provider has room from now on, and the release does not wait for the store. With budgets it also says what was
  // billed, and the slots must not count that before the ledger has it.
  const releasesEarly = deps.slots.budget === undefined && seen.status !== 'UNKNOWN';
  const released = releasesEarly ? releaseSlot(deps, task.purchase) : undefined;
  try {
    // Written here at the latest: the result of an extra task says that it is one.
    const claim =
      task.claim === 'unwritten' ? await deps.ledger.ensureClaim(task, { signal: options.signal }) : task.claim;
    const { end, settled } = await writeEnd(deps, { ...task, claim }, seen, options);
    // A purchase is settled by its own task, not by one that was bought in addition.
    if (!releasesEarly) await releaseSlot(deps, task.purchase, claim === 'extra' ? undefined : settled);
    return end;
  } catch (error) {
    if (!releasesEarly && seen.status !== 'UNKNOWN') await releaseSlot(deps, task.purchase);
    throw error;
  } finally {
    await released;
  }
}

interface RecordedEnd {
  readonly end: PollOutcome;
  /** What is settled by it; undefined where the ledger cannot say. */
  readonly settled: SlotReleaseMessage['settled'];
}

async function writeEnd(
  deps: ActivityDeps,
  task: WatchedTask,
  seen: TaskSnapshot,
  options: { readonly signal: AbortSignal },
): Promise<RecordedEnd> {
  const { ledger, store, clock } = deps;
  const finish = async (how: TaskEnd, end: PollOutcome): Promise<RecordedEnd> => {
    await ledger.finish(task, how, options);
    return { end, settled: NOTHING_BILLED };
  };
  switch (seen.status) {
    case 'SUCCEEDED':
      return book(deps, finishedTask(task, seen, clock.now()), options);
    case 'CANCELED':
      return finish({ how: 'cancelled' }, { kind: 'free', failure: toFailure(taskCancelled(task)) });
    case 'FAILED': {
      const error = taskFailed(task, seen);
      return finish({ how: 'failed', error }, { kind: mayPass(error) ? 'free' : 'failed', failure: toFailure(error) });
    }
    default: {
      // The store may have it although the provider does not: archived by an attempt whose answer was lost, or a
      // candidate.
      if ((await findStoredCopy(store, task.taskId, options.signal)) !== undefined) {
        return book(deps, finishedTask(task, seen, clock.now()), options);
      }
      await requireGone(deps, task, options.signal);
      return finish({ how: 'expired' }, { kind: 'gone', failure: toFailure(taskForgotten(task)) });
    }
  }
}

/**
 * Records the bill of a finished task. An earlier look may have recorded it; its words are then the run's as well. A
 * damaged record keeps no paid video from being archived: the figures of this look are then the run's.
 */
async function book(deps: ActivityDeps, finished: FinishedTask, options: StoreOptions): Promise<RecordedEnd> {
  const booked = await deps.ledger.recordBill(finished, finished, options).catch((error: unknown) => {
    if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
    Context.current().log.error('A bill cannot be recorded: a record is damaged', {
      task_id: finished.taskId,
      reason: error.message,
    });
    return undefined;
  });
  if (booked === undefined) {
    return { end: { kind: 'succeeded', task: { ...finished, estimated: true } }, settled: undefined };
  }
  const { won, record } = booked;
  // Once per task: a repeated attempt would count the time between the attempts.
  if (won && finished.detectedSeconds !== null) deps.metrics.detected(finished.detectedSeconds);
  const { end_time_ms: endTimeMs, billed_seconds: billedSeconds, resolution, audio, estimated, tenant, memo } = record;
  const bill: TaskBill = { endTimeMs, billedSeconds, resolution, audio, estimated };
  const billed = { day: utcDay(endTimeMs), seconds: billedSeconds, resolution, audio, tenant, batch: batchOf(memo) };
  const soundUnknown = estimated === true ? finished.soundUnknown : undefined;
  return { end: { kind: 'succeeded', task: { ...finished, ...bill, soundUnknown } }, settled: { billed } };
}

/** Whether it was a fault of the provider, free of charge. Three hours without a result are not repeated at once. */
const mayPass = ({ type, code }: VideoError): boolean =>
  type === FailureType.TaskFailed && code !== 'InternalError.Timeout';

/** A FAILED task is free; faults of content and input keep their own type, so that a caller can act on them. */
export function taskFailed(task: WatchedTask, { code, message }: TaskSnapshot): VideoError {
  const known = classifyProviderError({ status: 200, code, message }, 'task');
  const text = `Task ${task.taskId} FAILED: ${code ?? 'no code'}: ${message ?? 'no message'}`;
  return new VideoError(known.type, text, { code, billed: false, nextStep: known.nextStep }).about(task);
}

const taskCancelled = (task: WatchedTask): VideoError =>
  new VideoError(FailureType.TaskCancelled, `Task ${task.taskId} was cancelled at the provider`, {
    billed: false,
    nextStep: 'Start the request again; a cancelled task is not billed.',
  }).about(task);

const taskForgotten = (task: WatchedTask): VideoError =>
  new VideoError(FailureType.ResultExpired, `The provider does not know task ${task.taskId} (any more)`, {
    nextStep:
      'The provider deletes tasks after 24 hours; its console shows whether this one was billed. A new start ' +
      'buys again.',
  }).about(task);
