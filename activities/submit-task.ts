import { buildCreateTask } from '../src/dashscope/request-body.js';
import { toActivityFailure } from './activity-failure.js';
import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';

/** Buys one generation. The provider bills every accepted call, so nothing here sends twice. */
export function createSubmitTask({ dashscope }: ActivityDeps): VideoActivities['submitTask'] {
  return async ({ prepared, imgUrl }) => {
    const { canonical, seed } = prepared;
    try {
      // No cancellation signal and no heartbeat on purpose: aborting a POST that may have been accepted would
      // turn a purchase into an unknown. It ends by its own time-out, and the workflow waits for the answer.
      const outcome = await dashscope.createTask(
        buildCreateTask({
          prompt: canonical.prompt,
          img_url: imgUrl,
          duration: canonical.duration,
          fps: canonical.fps,
          size: canonical.size,
          resolution: canonical.resolution,
          seed,
          audio: canonical.audio,
          ...(canonical.negative_prompt !== null && { negative_prompt: canonical.negative_prompt }),
          ...(canonical.motion_strength !== null && { motion_strength: canonical.motion_strength }),
          ...(canonical.audio_url !== null && { audio_url: canonical.audio_url }),
          ...(canonical.prompt_extend !== null && { prompt_extend: canonical.prompt_extend }),
          ...(canonical.shot_type !== null && { shot_type: canonical.shot_type }),
          ...(canonical.watermark !== null && { watermark: canonical.watermark }),
        }),
        // The provider reads an oss:// address only when told to.
        { ossResolve: imgUrl.startsWith('oss://') },
      );
      if (outcome.kind === 'accepted') return { taskId: outcome.taskId, requestId: outcome.requestId ?? '' };
      throw outcome.error;
    } catch (error) {
      throw toActivityFailure(error);
    }
  };
}
