import { Context } from '@temporalio/activity';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { classifyProviderError } from '../src/dashscope/errors.js';
import { nextPollDelay } from '../src/polling/poll-delay.js';
import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';
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
    return withSignal(
      async (signal) => {
        let faults = 0;
        let unknownSinceMs: number | undefined;
        for (;;) {
          let retryAfterMs: number | undefined;
          try {
            const seen = await dashscope.queryTask(task.taskId, { signal });
            faults = 0;
            cursor.polls += 1;
            cursor.status = seen.status;
            cursor.waiting_for = 'the provider to finish the task';
            const base = { taskId: task.taskId, requestId: task.requestId };
            if (seen.status === 'SUCCEEDED') {
              const seconds = (from: number | undefined, to: number | undefined) =>
                from === undefined || to === undefined ? null : Math.max(0, to - from) / 1000;
              return {
                ...base,
                queuedSeconds: seconds(seen.submitTimeMs, seen.scheduledTimeMs),
                renderingSeconds: seconds(seen.scheduledTimeMs, seen.endTimeMs),
                detectedSeconds: seconds(seen.endTimeMs, now()),
                billedSeconds: seen.usage?.duration ?? 0,
                audio: seen.usage?.audio ?? false,
                seenAtMs: now(),
              };
            }
            if (seen.status === 'FAILED') throw taskFailed(task, seen.code, seen.message);
            if (seen.status === 'CANCELED') {
              throw new VideoError(FailureType.TaskCancelled, `Task ${task.taskId} was cancelled at the provider`, {
                ...base,
                billed: false,
                nextStep: 'Start the request again; a cancelled task is not billed.',
              });
            }
            if (seen.status !== 'UNKNOWN') unknownSinceMs = undefined;
            else if (now() - (unknownSinceMs ??= now()) > UNKNOWN_FOR_MS) {
              throw new VideoError(
                FailureType.ResultExpired,
                `The provider does not know task ${task.taskId} (any more)`,
                {
                  ...base,
                  nextStep:
                    'The provider forgets tasks after 24 hours. Check the account in its console before buying again.',
                },
              );
            }
          } catch (error) {
            if (signal.aborted || isEnd(error)) throw error;
            faults += 1;
            retryAfterMs = error instanceof VideoError ? error.retryAfterMs : undefined;
            cursor.waiting_for =
              error instanceof VideoError ? `a query to succeed (${error.type})` : 'a query to succeed';
          }
          await Context.current().sleep(
            nextPollDelay({ elapsedMs: now() - startedMs, faults, retryAfterMs, random: random() }),
          );
        }
      },
      () => cursor,
    );
  };
}

const ENDS: ReadonlySet<string> = new Set([
  FailureType.TaskFailed,
  FailureType.TaskCancelled,
  FailureType.ResultExpired,
]);
const isEnd = (error: unknown): boolean =>
  error instanceof VideoError && (ENDS.has(error.type) || error.taskId !== undefined);

/** A FAILED task is free; content and input faults keep their own type so that a caller can act on them. */
function taskFailed(
  task: { taskId: string; requestId: string },
  code: string | undefined,
  text: string | undefined,
): VideoError {
  const known = classifyProviderError(
    { status: 400, code: code ?? 'Unknown', message: text ?? '', requestId: task.requestId },
    'task',
  );
  const keeps =
    known.type === FailureType.ContentRejected ||
    (known.type === FailureType.InvalidRequest && code !== undefined && code !== 'Unknown');
  return new VideoError(
    keeps ? known.type : FailureType.TaskFailed,
    `Task ${task.taskId} FAILED: ${code ?? 'no code'}: ${text ?? 'no message'}`,
    {
      code,
      taskId: task.taskId,
      requestId: task.requestId,
      billed: false,
      nextStep: keeps ? known.nextStep : 'A failed task is not billed; start the request again.',
    },
  );
}
