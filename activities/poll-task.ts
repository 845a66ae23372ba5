import { Context } from '@temporalio/activity';
import { toFailure } from '../src/contract/failure.js';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { classifyProviderError } from '../src/dashscope/errors.js';
import type { TaskSnapshot } from '../src/dashscope/wire.js';
import { ensureClaim } from '../src/ledger/buy.js';
import { closeWithout, recordPaid } from '../src/ledger/finish.js';
import type { Ledger } from '../src/ledger/ledger.js';
import { provesUnknown } from '../src/ledger/unknown-proof.js';
import { nextPollDelay } from '../src/polling/poll-delay.js';
import { candidateKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';
import type { FinishedTask, TaskEnd, VideoActivities, WatchedTask } from './types.js';
import { withSignal } from './with-signal.js';

/**
 * Asks until the task ends. Once a task is bought, no failed query ends the run: faults of the network, the
 * provider, the key or the store are waited out, and the heartbeat says what is waited for.
 */
export function createPollTask(deps: ActivityDeps): VideoActivities['pollTask'] {
  const { dashscope, ledger, clock, times, random } = deps;
  return async ({ task }) => {
    const startedMs = clock.now();
    const cursor = { v: 1, polls: 0, status: '', waiting_for: '' };
    const watch = async (signal: AbortSignal): Promise<TaskEnd> => {
      let { claimed } = task;
      let faults = 0;
      let unknownSinceMs: number | undefined;
      for (;;) {
        let retryAfterMs: number | undefined;
        try {
          if (!claimed) {
            await ensureClaim(ledger, task, { signal });
            claimed = true;
          }
          const seen = await dashscope.queryTask(task.taskId, { signal });
          faults = 0;
          Object.assign(cursor, { polls: cursor.polls + 1, status: seen.status, waiting_for: 'the task to end' });
          unknownSinceMs = seen.status === 'UNKNOWN' ? (unknownSinceMs ?? clock.now()) : undefined;
          const isForgotten = unknownSinceMs !== undefined && clock.now() - unknownSinceMs >= times.unknownForMs;
          const end = await endOf(deps, task, seen, isForgotten, signal);
          if (end !== undefined) return end;
        } catch (error) {
          if (signal.aborted || error instanceof TaskEnded) throw error instanceof TaskEnded ? error.error : error;
          faults += 1;
          const known = error instanceof VideoError ? error : undefined;
          retryAfterMs = known?.retryAfterMs;
          cursor.waiting_for = `${known?.type ?? 'an unexpected fault'} to pass`;
        }
        const elapsedMs = clock.now() - startedMs;
        await Context.current().sleep(nextPollDelay({ elapsedMs, faults, retryAfterMs, random: random() }));
      }
    };
    return withSignal(watch, () => cursor);
  };
}

/** Ends the watch with `error`; everything else that is thrown on the way is waited out. */
class TaskEnded extends Error {
  readonly error: VideoError;
  constructor(error: VideoError) {
    super(error.message);
    this.error = error;
  }
}

/** What one look means; the ledger knows before anybody else does. */
async function endOf(
  deps: ActivityDeps,
  task: WatchedTask,
  seen: TaskSnapshot,
  isForgotten: boolean,
  signal: AbortSignal,
): Promise<TaskEnd | undefined> {
  const { ledger, store, dashscope: provider, clock } = deps;
  switch (seen.status) {
    case 'SUCCEEDED': {
      const finished = finishedTask(task, seen, clock.now());
      const { billedSeconds, audio } = finished;
      const resolution = finished.resolution ?? (await expectedTier(ledger, task, signal));
      const endTimeMs = seen.endTimeMs ?? clock.now();
      await recordPaid(ledger, task, { endTimeMs, billedSeconds, resolution, audio }, { signal });
      return { kind: 'succeeded', task: { ...finished, resolution } };
    }
    case 'CANCELED':
      await closeWithout(ledger, task, 'cancelled', { signal });
      return { kind: 'free', failure: toFailure(taskCancelled(task)) };
    case 'FAILED': {
      const error = taskFailed(task, seen);
      await closeWithout(ledger, task, error, { signal });
      if (mayPass(error)) return { kind: 'free', failure: toFailure(error) };
      throw new TaskEnded(error);
    }
    case 'UNKNOWN': {
      if (!isForgotten) return undefined;
      // Kept while nobody knew whose it was: the provider's forgetting does not matter.
      const kept = await store.head(candidateKey(task.taskId), { signal });
      if (kept !== undefined) return { kind: 'succeeded', task: finishedTask(task, seen, clock.now()) };
      if (!(await provesUnknown({ ledger, provider }, task, { signal }))) {
        throw new VideoError(FailureType.CredentialsRejected, 'The task was bought with another key');
      }
      await closeWithout(ledger, task, 'expired', { signal });
      throw new TaskEnded(forgotten(task));
    }
    default:
      return undefined;
  }
}

async function expectedTier(ledger: Ledger, { purchase }: WatchedTask, signal: AbortSignal): Promise<'720P' | '1080P'> {
  return (await ledger.view(purchase, { signal }))?.intent.expects.resolution ?? '1080P';
}

/** A fault of the provider, free of charge. Three hours without a result are not one to repeat at once. */
const mayPass = ({ type, code }: VideoError): boolean =>
  type === FailureType.TaskFailed && code !== 'InternalError.Timeout';

function finishedTask(task: WatchedTask, seen: TaskSnapshot, nowMs: number): FinishedTask {
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
function taskFailed(task: WatchedTask, { code, message }: TaskSnapshot): VideoError {
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

function forgotten(task: WatchedTask): VideoError {
  return new VideoError(FailureType.ResultExpired, `The provider does not know task ${task.taskId} (any more)`, {
    ...{ taskId: task.taskId, requestId: task.requestId ?? undefined },
    nextStep:
      'The provider forgets tasks after 24 hours; whether this one was billed stands in its console. Starting again buys anew.',
  });
}
