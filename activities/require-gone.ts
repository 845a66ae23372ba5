import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { provesGone } from '../src/ledger/proof.js';
import { listAllTasks } from '../src/ledger/task-list.js';
import type { ResultDeps } from './deps.js';
import type { WatchedTask } from './purchase-step.js';

/** Lives of a result after which no key of any account can see its task: twice the provider's 24 hours. */
const GONE_AFTER_LIVES = 2;

/**
 * Throws a retryable error, so that the watch continues, unless UNKNOWN proves that the task is gone: nobody can see a
 * task of that age, or the key is of the account that bought it and, while it is young, the account's list does not
 * show it either.
 */
export async function requireGone(deps: ResultDeps, task: WatchedTask, signal: AbortSignal | undefined): Promise<void> {
  const { ledger, dashscope: provider, clock, times } = deps;
  const ageMs = clock.now() - task.intentAtMs;
  const lifeMs = times.ledger.resultLifeMs;
  if (ageMs >= GONE_AFTER_LIVES * lifeMs) return;
  if (!(await provesGone({ ledger, provider }, task, { signal }))) throw wrongKey(task);
  if (ageMs >= lifeMs) return;
  const { tasks, unreadable } = await listAllTasks(provider, clock, signal);
  // A row that cannot be read may be this task.
  if (unreadable > 0 || tasks.some(({ taskId }) => taskId === task.taskId)) throw stillListed(task);
}

/** Waited out: the right key can still see the task. */
const wrongKey = (task: WatchedTask): VideoError =>
  new VideoError(
    FailureType.CredentialsRejected,
    `The provider key in use does not know task ${task.taskId}, which was bought with another one`,
    {
      retryable: true,
      nextStep: 'Give the worker a key of the account that bought it; the run continues by itself.',
    },
  ).about(task);

/** A listed task exists, even if a query denies it. */
const stillListed = (task: WatchedTask): VideoError =>
  new VideoError(FailureType.ProviderUnavailable, `The provider lists task ${task.taskId} and denies knowing it`, {
    retryable: true,
    nextStep: 'Wait; the run queries it again.',
  }).about(task);
