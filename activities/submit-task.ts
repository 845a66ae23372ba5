import { buildCreateTask } from '../src/dashscope/request-body.js';
import { toActivityFailure } from './activity-failure.js';
import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';

/** Buys one generation. The provider bills every accepted call, so nothing here sends twice. */
export function createSubmitTask({ dashscope }: ActivityDeps): VideoActivities['submitTask'] {
  return async ({ prepared: { request, seed }, imgUrl }) => {
    try {
      // No cancellation signal and no heartbeat on purpose: aborting a POST that may have been accepted would
      // turn a purchase into an unknown. It ends by its own time-out, and the workflow waits for the answer.
      const outcome = await dashscope.createTask(buildCreateTask({ ...request, seed, img_url: imgUrl }), {
        // The provider reads an oss:// address only when told to.
        ossResolve: imgUrl.startsWith('oss://') || (request.audio_url?.startsWith('oss://') ?? false),
      });
      if (outcome.kind === 'accepted') return { taskId: outcome.taskId, requestId: outcome.requestId ?? '' };
      throw outcome.error;
    } catch (error) {
      throw toActivityFailure(error);
    }
  };
}
