import type { Clock } from '../async/clock.js';
import { FailureType } from '../contract/failure-type.js';
import { MODEL } from '../contract/model.js';
import { VideoError } from '../contract/video-error.js';
import type { ListedTask, TaskPage } from '../dashscope/wire.js';

/** The part of the provider that lists; `DashScopeClient` is one. */
export interface ListingProvider {
  listTasks(query: {
    readonly modelName: string;
    readonly pageNo: number;
    readonly pageSize: number;
    readonly signal?: AbortSignal | undefined;
  }): Promise<TaskPage>;
}

/** What public clients of this provider use; a smaller page of its choosing is followed. */
const PAGE_SIZE = 100;
/** 20 000 tasks in 24 h: above what one account can run at its five at once. */
const PAGES_MAX = 200;
/** The account may ask 20 times per second; a long list takes half of that. */
const PAGE_GAP_MS = 100;

/**
 * The account's tasks of the last 24 hours, all pages, asked without a time filter (its zone is not documented).
 * @throws VideoError as the provider refuses, or `ProviderUnavailable` (retryable) when the pages do not add up to
 * what it counts.
 */
export async function listAllTasks(
  provider: ListingProvider,
  clock: Clock,
  signal?: AbortSignal,
): Promise<readonly ListedTask[]> {
  const rows = new Map<string, ListedTask>();
  let total = Number.POSITIVE_INFINITY;
  for (let pageNo = 1, pages = 1; pageNo <= pages; pageNo += 1) {
    if (pageNo > PAGES_MAX) throw incomplete(`it has more than ${PAGES_MAX} pages`);
    if (pageNo > 1) await clock.sleep(PAGE_GAP_MS, signal);
    const page = await provider.listTasks({ modelName: MODEL, pageNo, pageSize: PAGE_SIZE, signal });
    for (const task of page.tasks) rows.set(task.taskId, task);
    pages = page.totalPages;
    // Tasks that come meanwhile shift rows to later pages, tasks that age out shorten the list: the least count must
    // be there.
    total = Math.min(total, page.total);
  }
  if (rows.size < total) throw incomplete(`it shows ${rows.size} of ${total} tasks`);
  return [...rows.values()];
}

function incomplete(why: string): VideoError {
  return new VideoError(FailureType.ProviderUnavailable, `The provider's task list is not complete: ${why}`, {
    retryable: true,
    nextStep: 'Wait; the list is asked again.',
  });
}
