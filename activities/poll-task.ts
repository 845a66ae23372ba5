import { toFailure } from '../src/contract/failure.js';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { classifyProviderError } from '../src/dashscope/errors.js';
import type { TaskSnapshot } from '../src/dashscope/wire.js';
import { ensureClaim } from '../src/ledger/buy.js';
import { closeWithout, recordPaid } from '../src/ledger/finish.js';
import { provesUnknown } from '../src/ledger/unknown-proof.js';
import { candidateKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';
import { giveBackSlot } from './hold-slots.js';
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
      let { claimed } = task;
      const claim = async () => {
        if (!claimed) await ensureClaim(ledger, task, { signal });
        claimed = true;
      };
      // Tried again with every look: the watch must not wait for the store, nor the store for the end.
      const tryClaim = () => void claim().catch(() => undefined);
      tryClaim();
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
      // The provider has room again from now on, whatever the store does.
      if (seen.status !== 'UNKNOWN') giveBackSlot(deps, task.purchase);
      return endOf(deps, task, seen, signal);
    };
    return withSignal(watch, () => cursor);
  };
}

/** What the end of a watch means; the ledger knows before anybody else does. */
async function endOf(
  deps: ActivityDeps,
  task: WatchedTask,
  seen: TaskSnapshot,
  signal: AbortSignal,
): Promise<TaskSeen> {
  const { ledger, store, dashscope: provider, clock } = deps;
  switch (seen.status) {
    case 'SUCCEEDED': {
      const finished = finishedTask(task, seen, clock.now());
      const { billedSeconds, audio } = finished;
      const resolution = finished.resolution ?? task.render.resolution;
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
      throw error;
    }
    default: {
      // Kept while nobody knew whose it was: the provider's forgetting does not matter.
      const kept = await store.head(candidateKey(task.taskId), { signal });
      if (kept !== undefined) return { kind: 'succeeded', task: finishedTask(task, seen, clock.now()) };
      if (!(await provesUnknown({ ledger, provider }, task, { signal }))) throw anotherKey(task);
      await closeWithout(ledger, task, 'expired', { signal });
      giveBackSlot(deps, task.purchase);
      throw forgotten(task);
    }
  }
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

function forgotten(task: WatchedTask): VideoError {
  return new VideoError(FailureType.ResultExpired, `The provider does not know task ${task.taskId} (any more)`, {
    ...{ taskId: task.taskId, requestId: task.requestId ?? undefined },
    nextStep:
      'The provider forgets tasks after 24 hours; whether this one was billed stands in its console. Starting again buys anew.',
  });
}
