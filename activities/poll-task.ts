import { Context } from '@temporalio/activity';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { classifyProviderError } from '../src/dashscope/errors.js';
import type { TaskSnapshot } from '../src/dashscope/wire.js';
import { nextPollDelay } from '../src/polling/poll-delay.js';
import type { ActivityDeps } from './deps.js';
import type { FinishedTask, SubmittedTask, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** UNKNOWN for a fresh id may be a lag of the provider; after this long in a row the task counts as lost. */
const UNKNOWN_FOR_MS = 120_000;

/**
 * Asks until the task ends. Once a task is bought, no failed query ends the run: faults of the network, the
 * provider or the key are waited out, and the heartbeat says what is waited for.
 */
export function createPollTask({ dashscope, now, random }: ActivityDeps): VideoActivities['pollTask'] {
  return async ({ task }) => {
    const startedMs = now();
    const cursor = { v: 1, polls: 0, status: '', waiting_for: '' };
    const look = async (signal: AbortSignal): Promise<FinishedTask> => {
      let faults = 0;
      let unknownSinceMs: number | undefined;
      for (;;) {
        let retryAfterMs: number | undefined;
        try {
          const seen = await dashscope.queryTask(task.taskId, { signal });
          faults = 0;
          Object.assign(cursor, { polls: cursor.polls + 1, status: seen.status, waiting_for: 'the task to end' });
          if (seen.status === 'SUCCEEDED') return finished(task, seen, now());
          unknownSinceMs = seen.status === 'UNKNOWN' ? (unknownSinceMs ?? now()) : undefined;
          if (unknownSinceMs !== undefined && now() - unknownSinceMs > UNKNOWN_FOR_MS) throw forgotten(task);
          if (seen.status === 'FAILED') throw taskFailed(task, seen);
          if (seen.status === 'CANCELED') throw taskCancelled(task);
        } catch (error) {
          if (signal.aborted || (error instanceof VideoError && error.taskId !== undefined)) throw error;
          faults += 1;
          const known = error instanceof VideoError ? error : undefined;
          retryAfterMs = known?.retryAfterMs;
          cursor.waiting_for = `a query to succeed (${known?.type ?? 'unexpected fault'})`;
        }
        await Context.current().sleep(
          nextPollDelay({ elapsedMs: now() - startedMs, faults, retryAfterMs, random: random() }),
        );
      }
    };
    return withSignal(look, () => cursor);
  };
}

function finished(task: SubmittedTask, seen: TaskSnapshot, nowMs: number): FinishedTask {
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
function taskFailed(task: SubmittedTask, { code, message }: TaskSnapshot): VideoError {
  const { taskId, requestId } = task;
  const known = classifyProviderError({ status: 200, code, message, requestId }, 'task');
  return new VideoError(known.type, `Task ${taskId} FAILED: ${code ?? 'no code'}: ${message ?? 'no message'}`, {
    ...{ code, taskId, requestId, billed: false, nextStep: known.nextStep },
  });
}

function taskCancelled({ taskId, requestId }: SubmittedTask): VideoError {
  return new VideoError(FailureType.TaskCancelled, `Task ${taskId} was cancelled at the provider`, {
    ...{ taskId, requestId, billed: false },
    nextStep: 'Start the request again; a cancelled task is not billed.',
  });
}

function forgotten({ taskId, requestId }: SubmittedTask): VideoError {
  return new VideoError(FailureType.ResultExpired, `The provider does not know task ${taskId} (any more)`, {
    ...{ taskId, requestId },
    nextStep: 'The provider forgets tasks after 24 hours. Check the account in its console before buying again.',
  });
}
