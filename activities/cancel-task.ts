import { toActivityFailure } from './activity-failure.js';
import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';

/** Asks the provider to cancel a task that has not started; `false` when it had started or ended. */
export function createCancelTask({ dashscope, times }: ActivityDeps): VideoActivities['cancelTask'] {
  return async ({ taskId }) => {
    try {
      return { cancelled: await dashscope.cancelTask(taskId, { timeoutMs: times.cancelHttpMs }) };
    } catch (error) {
      throw toActivityFailure(error);
    }
  };
}
