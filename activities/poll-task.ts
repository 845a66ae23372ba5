import { toFailure } from '../src/contract/failure.js';
import { FailureType } from '../src/contract/failure-type.js';
import type { SlotReleaseMessage } from '../src/contract/slots.js';
import { utcDay } from '../src/contract/utc.js';
import { VideoError } from '../src/contract/video-error.js';
import { classifyProviderError } from '../src/dashscope/errors.js';
import type { TaskSnapshot } from '../src/dashscope/wire.js';
import type { TaskEnd } from '../src/ledger/ledger.js';
import { provesGone } from '../src/ledger/proof.js';
import type { PurchaseView } from '../src/ledger/purchase-view.js';
import { batchOf } from '../src/ledger/records.js';
import { listAllTasks } from '../src/ledger/task-list.js';
import type { ActivityDeps } from './deps.js';
import { findStoredCopy } from './download-result.js';
import { NOTHING_BILLED, releaseSlot } from './slot-holders.js';
import type { FinishedTask, RenderProgress, TaskSeen, VideoActivities, WatchedTask } from './types.js';
import { withSignal } from './with-signal.js';

/**
 * Watches a task until it starts, or to its end. Once a task is bought, no failed query ends the run: faults of the network,
 * the provider or the key are waited out, and the heartbeat says what is waited for.
 */
export function createPollTask(deps: ActivityDeps): VideoActivities['pollTask'] {
  const { watcher, ledger, clock, times } = deps;
  return async ({ task, until }) => {
    const cursor = { v: 1, looks: 0, status: '', waiting_for: 'the first look' };
    const watched = { taskId: task.taskId, submittedAtMs: task.intentAtMs, ...task.render };
    const progress = (startedAtMs: number | null): RenderProgress => ({ startedAtMs, ...watcher.eta(watched) });
    const watch = async (signal: AbortSignal): Promise<TaskSeen> => {
      let { claim } = task;
      let claiming = false;
      // Tried again with every look: the watch must not wait for the store, nor the store for the end.
      const tryClaim = () => {
        if (claim !== 'unwritten' || claiming) return;
        claiming = true;
        ledger
          .ensureClaim(task, { signal })
          .then(
            (written) => {
              claim = written;
            },
            () => undefined,
          )
          .finally(() => {
            claiming = false;
          });
      };
      tryClaim();
      // While it renders, so that its end waits for one read less; what cannot be read now is read then.
      const looked =
        until === 'ended' ? ledger.requirePurchase(task.purchase, { signal }).catch(() => undefined) : undefined;
      let unknownSinceMs: number | undefined;
      const seen = await watcher.watch(watched, {
        signal,
        onSeen: (look) => {
          tryClaim();
          Object.assign(cursor, { looks: cursor.looks + 1, status: look.status, waiting_for: 'the task to end' });
          unknownSinceMs = look.status === 'UNKNOWN' ? (unknownSinceMs ?? clock.now()) : undefined;
          if (until === 'started' && look.status === 'RUNNING') return true;
          return unknownSinceMs !== undefined && clock.now() - unknownSinceMs >= times.unknownForMs;
        },
        onFault: (error) => {
          tryClaim();
          cursor.waiting_for = `${error instanceof VideoError ? error.type : 'an unexpected fault'} to pass`;
        },
      });
      if (seen.status === 'RUNNING') {
        return { kind: 'started', render: progress(seen.scheduledTimeMs ?? clock.now()) };
      }
      return endOf(deps, { ...task, claim }, seen, { looked, signal });
    };
    return withSignal(watch, () => cursor);
  };
}

interface EndOptions {
  readonly signal: AbortSignal;
  /** The purchase, as it was read during the watch. */
  readonly looked: Promise<PurchaseView | undefined> | undefined;
}

/** What the end of a watch means; the ledger knows before anybody else does, the slots among them. */
async function endOf(
  deps: ActivityDeps,
  task: WatchedTask,
  seen: TaskSnapshot,
  options: EndOptions,
): Promise<TaskSeen> {
  // The provider has room again from now on, whatever the store does; neither waits for the other. With budgets the return also says what
  // was billed, and the slots must not count that before the ledger has it.
  const early = deps.slots.budget === undefined && seen.status !== 'UNKNOWN';
  const returned = early ? releaseSlot(deps, task.purchase) : undefined;
  try {
    // Not left to the records: a second purchase is told with the video.
    const claim =
      task.claim === 'unwritten' ? await deps.ledger.ensureClaim(task, { signal: options.signal }) : task.claim;
    const { end, settled } = await recorded(deps, { ...task, claim }, seen, options);
    // The purchase of a task that was bought beside another one is settled by the other.
    if (!early) await releaseSlot(deps, task.purchase, claim === 'extra' ? undefined : settled);
    return end;
  } catch (error) {
    if (!early && seen.status !== 'UNKNOWN') await releaseSlot(deps, task.purchase);
    throw error;
  } finally {
    await returned;
  }
}

interface Recorded {
  readonly end: TaskSeen;
  /** What it came to; undefined where the ledger cannot tell. */
  readonly settled: SlotReleaseMessage['settled'];
}

async function recorded(
  deps: ActivityDeps,
  task: WatchedTask,
  seen: TaskSnapshot,
  { looked, signal }: EndOptions,
): Promise<Recorded> {
  const { ledger, store, clock } = deps;
  const options = { signal, seen: await looked };
  const finish = async (how: TaskEnd, end: TaskSeen): Promise<Recorded> => {
    await ledger.finish(task, how, options);
    return { end, settled: NOTHING_BILLED };
  };
  switch (seen.status) {
    case 'SUCCEEDED': {
      const finished = finishedTask(task, seen, clock.now());
      const { billedSeconds, audio } = finished;
      const resolution = finished.resolution ?? task.render.resolution;
      const endTimeMs = seen.endTimeMs ?? clock.now();
      const bill = { endTimeMs, billedSeconds, resolution, audio };
      const { isFirst, intent } = await ledger.recordBill(task, bill, options);
      // Once per task: an attempt that is repeated would count the time that it was away.
      if (isFirst && finished.detectedSeconds !== null) deps.metrics.detected(finished.detectedSeconds);
      const payer = { tenant: intent.tenant, batch: batchOf(intent.memo) };
      const billed = { day: utcDay(endTimeMs), seconds: billedSeconds, resolution, audio, ...payer };
      return { end: { kind: 'succeeded', task: { ...finished, resolution } }, settled: { billed } };
    }
    case 'CANCELED':
      return finish({ how: 'cancelled' }, { kind: 'free', failure: toFailure(taskCancelled(task)) });
    case 'FAILED': {
      const error = taskFailed(task, seen);
      return finish({ how: 'failed', error }, { kind: mayPass(error) ? 'free' : 'failed', failure: toFailure(error) });
    }
    default: {
      // The store may have it although the provider does not: archived by an attempt that could not say so, or kept as a candidate.
      if ((await findStoredCopy(store, task.taskId, signal)) !== undefined) {
        return { end: { kind: 'succeeded', task: finishedTask(task, seen, clock.now()) }, settled: undefined };
      }
      await requireGone(deps, task, signal);
      return finish({ how: 'expired' }, { kind: 'gone', failure: toFailure(forgotten(task)) });
    }
  }
}

/** After so long no key of any account can see a task: twice the provider's 24 hours. */
const GONE_AFTER_LIVES = 2;

/**
 * Throws a retryable error, so that the watch goes on, unless UNKNOWN says that the task is gone: it is of an age at which nobody can see
 * it, or the key is of the account that bought it and, while it is young, the account's list does not show it either.
 */
async function requireGone(deps: ActivityDeps, task: WatchedTask, signal: AbortSignal): Promise<void> {
  const { ledger, dashscope: provider, clock, times } = deps;
  const ageMs = clock.now() - task.intentAtMs;
  const lifeMs = times.ledger.resultLifeMs;
  if (ageMs >= GONE_AFTER_LIVES * lifeMs) return;
  if (!(await provesGone({ ledger, provider }, task, { signal }))) throw anotherKey(task);
  if (ageMs >= lifeMs) return;
  const rows = await listAllTasks(provider, clock, signal);
  const row = rows.find(({ taskId }) => taskId === task.taskId);
  if (row !== undefined) throw stillListed(task);
}

/** A fault of the provider, free of charge. Three hours without a result are not one to repeat at once. */
const mayPass = ({ type, code }: VideoError): boolean =>
  type === FailureType.TaskFailed && code !== 'InternalError.Timeout';

/** A task that was seen to have SUCCEEDED. */
export function finishedTask(task: WatchedTask, seen: TaskSnapshot, nowMs: number): FinishedTask {
  const seconds = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? null : Math.max(0, to - from) / 1000;
  const sr = seen.usage?.sr;
  return {
    ...task,
    queuedSeconds: seconds(seen.submitTimeMs, seen.scheduledTimeMs),
    renderingSeconds: seconds(seen.scheduledTimeMs, seen.endTimeMs),
    detectedSeconds: seconds(seen.endTimeMs, nowMs),
    billedSeconds: seen.usage?.duration ?? 0,
    resolution: sr === 720 ? '720P' : sr === 1080 ? '1080P' : null,
    audio: seen.usage?.audio ?? false,
    seenAtMs: nowMs,
  };
}

/** A FAILED task is free; content and input faults keep their own type so that a caller can act on them. */
export function taskFailed(task: WatchedTask, { code, message }: TaskSnapshot): VideoError {
  const context = { taskId: task.taskId, requestId: task.requestId ?? undefined, billed: false };
  const known = classifyProviderError({ status: 200, code, message }, 'task');
  return new VideoError(known.type, `Task ${task.taskId} FAILED: ${code ?? 'no code'}: ${message ?? 'no message'}`, {
    ...{ code, ...context, nextStep: known.nextStep },
  });
}

function taskCancelled(task: WatchedTask): VideoError {
  return new VideoError(FailureType.TaskCancelled, `Task ${task.taskId} was cancelled at the provider`, {
    ...{ taskId: task.taskId, requestId: task.requestId ?? undefined, billed: false },
    nextStep: 'Start the request again; a cancelled task is not billed.',
  });
}

/** Waited out: whoever holds the right key can still see the task. */
function anotherKey(task: WatchedTask): VideoError {
  return new VideoError(
    FailureType.CredentialsRejected,
    `The provider key in use does not know task ${task.taskId}, which was bought with another one`,
    {
      ...{ taskId: task.taskId, requestId: task.requestId ?? undefined, retryable: true },
      nextStep: 'Give the worker a key of the account that bought it; the run goes on by itself.',
    },
  );
}

/** A task that is listed exists, whatever a query says. */
function stillListed({ taskId, requestId }: WatchedTask): VideoError {
  return new VideoError(FailureType.ProviderUnavailable, `The provider lists task ${taskId} and denies to know it`, {
    ...{ taskId, requestId: requestId ?? undefined, retryable: true },
    nextStep: 'Wait; it is asked again.',
  });
}

function forgotten(task: WatchedTask): VideoError {
  return new VideoError(FailureType.ResultExpired, `The provider does not know task ${task.taskId} (any more)`, {
    ...{ taskId: task.taskId, requestId: task.requestId ?? undefined },
    nextStep:
      'The provider forgets tasks after 24 hours; whether this one was billed stands in its console. Starting again buys anew.',
  });
}
