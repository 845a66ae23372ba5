import * as wf from '@temporalio/workflow';
import type { SubmittedTask } from '../activities/types.js';
import type { VideoRequest } from '../src/contract/request.js';
import type { CancelOutcome, VideoResult } from '../src/contract/result.js';
import { cancellable } from './cancellation.js';
import { Progress } from './progress.js';
import { steps } from './steps.js';

/** Uploads the reference, submits one paid task, polls it to its end and archives the video. */
export async function videoGenerate(request: VideoRequest): Promise<VideoResult> {
  const progress = new Progress();
  let task: SubmittedTask | undefined;
  const work = async (): Promise<VideoResult> => {
    const prepared = await steps().prepareRequest({ request });
    if (prepared.cached !== null) return prepared.cached;
    const { uploadReference, submitTask } = steps(prepared.times);
    progress.enter('uploading');
    const { imgUrl } = await uploadReference({ reference: prepared.reference });
    progress.enter('submitting');
    task = await submitTask({ prepared, imgUrl });
    progress.bought(task);
    const { pollTask, archiveVideo } = steps(prepared.times, task.taskId);
    progress.enter('rendering');
    const finished = await pollTask({ task });
    progress.enter('archiving');
    return await archiveVideo({ prepared, task: finished });
  };
  try {
    return progress.finished(
      await cancellable(work, async () => {
        progress.enter('cancelling');
        progress.cancelled(await releaseTask(task));
      }),
    );
  } catch (error) {
    if (!wf.isCancellation(error)) progress.failed(error);
    throw error;
  }
}

/** The one place where a cancelled run deals with a task that may already cost money. */
async function releaseTask(task: SubmittedTask | undefined): Promise<CancelOutcome> {
  if (task === undefined) return { outcome: 'Nothing was bought.', billed: false };
  const { taskId } = task;
  // No answer counts as a refusal: saying "billed" of a free task is the smaller error.
  const { cancelled } = await steps(undefined, taskId)
    .cancelTask({ taskId })
    .catch(() => ({ cancelled: false }));
  return cancelled
    ? { outcome: `Task ${taskId} had not started and was cancelled at the provider.`, billed: false }
    : { outcome: `Task ${taskId} had started and goes on at the provider; a success is billed.`, billed: null };
}
