import type { Clock } from '../async/clock.js';
import { FailureType } from '../contract/failure-type.js';
import { MODEL } from '../contract/model.js';
import { DAY_MS } from '../contract/utc.js';
import { VideoError } from '../contract/video-error.js';
import type { ListedTask } from '../dashscope/wire.js';
import type { ListApi } from './provider.js';

/** What public clients of this provider use; a smaller page of its choosing is followed. */
const PAGE_SIZE = 100;
/** 20 000 tasks in 24 h: above what one account can run at its five at once. */
const PAGES_MAX = 200;
/** The account may send 20 requests per second; a long list takes half of that. */
const PAGE_GAP_MS = 100;

export interface TaskListing {
  readonly tasks: readonly ListedTask[];
  /** Rows that name no readable task: each may be any task of the account, and an open one. */
  readonly unreadable: number;
}

/**
 * Lists the account's tasks of the last 24 hours, all pages, without a time filter, because its time zone is not
 * documented.
 * @throws VideoError as the provider refuses, or `ProviderUnavailable` (retryable) when the pages do not add up to
 * what it counts.
 */
export async function listAllTasks(provider: ListApi, clock: Clock, signal?: AbortSignal): Promise<TaskListing> {
  const rows = new Map<string, ListedTask>();
  let unreadable = 0;
  let total = Number.POSITIVE_INFINITY;
  for (let pageNo = 1, pages = 1; pageNo <= pages; pageNo += 1) {
    if (pageNo > PAGES_MAX) throw incomplete(`it has more than ${PAGES_MAX} pages`);
    if (pageNo > 1) await clock.sleep(PAGE_GAP_MS, signal);
    const page = await provider.listTasks({ modelName: MODEL, pageNo, pageSize: PAGE_SIZE, signal });
    for (const task of page.tasks) rows.set(task.taskId, withPlausibleTime(task, clock.now()));
    unreadable += page.unreadable;
    pages = page.totalPages;
    // Tasks that are created meanwhile move rows to later pages, and tasks that age out shorten the list: only the
    // lowest count must be reached.
    total = Math.min(total, page.total);
  }
  if (rows.size + unreadable < total) throw incomplete(`it shows ${rows.size + unreadable} of ${total} tasks`);
  return { tasks: [...rows.values()], unreadable };
}

/** The clocks of the provider and of our hosts may differ by as much, in milliseconds. */
const CLOCKS_MS = 600_000;
/** Twice the time for which the provider lists a task. */
const AGE_MAX_MS = 2 * DAY_MS;

/** A row without a time of creation that cannot be: it shows nothing, and must not exclude the row. */
function withPlausibleTime(task: ListedTask, nowMs: number): ListedTask {
  const { createdAtMs } = task;
  if (createdAtMs === undefined) return task;
  const isPlausible = createdAtMs <= nowMs + CLOCKS_MS && createdAtMs >= nowMs - AGE_MAX_MS;
  return isPlausible ? task : { ...task, createdAtMs: undefined };
}

function incomplete(why: string): VideoError {
  return new VideoError(FailureType.ProviderUnavailable, `The provider's task list is not complete: ${why}`, {
    retryable: true,
    nextStep: 'Wait; the list is requested again.',
  });
}
