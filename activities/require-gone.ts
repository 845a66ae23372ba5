import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { provesGone } from '../src/ledger/proof.js';
import { isWithin, submitWindow } from '../src/ledger/submit-window.js';
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
  if (unreadable > 0 || tasks.some(({ taskId }) => isSameId(taskId, task.taskId))) throw stillListed(task);
  // The submit's answer may have given another id than the list does.
  const window = submitWindow(await ledger.requirePurchase(task.purchase, { signal }), times.ledger);
  for (const { taskId, createdAtMs } of tasks) {
    if (isWithin(window, createdAtMs) && (await ledger.findTask(taskId, { signal })) === undefined) {
      throw mayBeListed(task, taskId);
    }
  }
}

const isSameId = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

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

/** Waited out: a task that nobody has claimed, of the time of this submit, may be the one that was bought. */
const mayBeListed = (task: WatchedTask, otherId: string): VideoError =>
  new VideoError(
    FailureType.ProviderUnavailable,
    `The provider denies knowing task ${task.taskId}, and lists ${otherId}, which may be the one that was bought`,
    { retryable: true, nextStep: "Compare both in the provider's console; the run queries its task again." },
  ).about(task);

/** A listed task exists, even if a query denies it. */
const stillListed = (task: WatchedTask): VideoError =>
  new VideoError(FailureType.ProviderUnavailable, `The provider lists task ${task.taskId} and denies knowing it`, {
    retryable: true,
    nextStep: 'Wait; the run queries it again.',
  }).about(task);
