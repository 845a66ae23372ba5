import * as wf from '@temporalio/workflow';
import type { PreparedRequest, SubmittedTask, VideoActivities } from '../activities/types.js';
import { submitQueueOf } from '../src/contract/names.js';
import type { VideoRequest } from '../src/contract/request.js';
import type { VideoProgress, VideoResult } from '../src/contract/result.js';
import { activityOptions } from './activity-options.js';
import { cancelSignal, progressQuery } from './messages.js';

const { prepareRequest } = wf.proxyActivities<VideoActivities>(activityOptions.prepareRequest);
const { uploadReference } = wf.proxyActivities<VideoActivities>(activityOptions.uploadReference);
const { archiveVideo } = wf.proxyActivities<VideoActivities>(activityOptions.archiveVideo);
const { cancelTask } = wf.proxyActivities<VideoActivities>(activityOptions.cancelTask);
const { requestCancellation } = wf.proxyActivities<VideoActivities>(activityOptions.requestCancellation);

type Stage = VideoProgress['stage'];

/** What each stage waits for, as people read it. */
const WAITING_FOR: Record<Stage, string> = {
  preparing: 'the image to be fetched and checked',
  uploading: "the image to reach the provider's temporary store",
  submitting: 'the provider to accept the task',
  rendering: 'the provider to finish the task',
  archiving: 'the video to be downloaded, verified and stored',
  done: 'nothing',
  cancelling: 'the provider to say whether the task can still be cancelled',
  cancelled: 'nothing',
  failed: 'nothing',
};

/** Uploads the reference, submits one paid task, polls it to its end and archives the video. */
export async function videoGenerate(request: VideoRequest): Promise<VideoResult> {
  const progress = trackProgress();
  const root = wf.CancellationScope.current();
  const work = new wf.CancellationScope({ cancellable: true });
  let signalled = false;
  let task: SubmittedTask | undefined;
  wf.setHandler(cancelSignal, () => {
    signalled = true;
    work.cancel();
  });
  try {
    return await work.run(async () => {
      progress.enter('preparing');
      const prepared = await prepareRequest({ request });
      if (prepared.cached !== null) return progress.finish(prepared.cached);
      progress.enter('uploading');
      const { imgUrl } = await uploadReference({ reference: prepared.reference });
      progress.enter('submitting');
      task = await buy(prepared, imgUrl);
      progress.bought(task);
      progress.enter('rendering');
      const finished = await pollTask(task)({ task });
      progress.enter('archiving');
      return progress.finish(await archiveVideo({ prepared, task: finished }));
    });
  } catch (error) {
    if (!wf.isCancellation(error)) {
      progress.fail(error);
      throw error;
    }
    await wf.CancellationScope.nonCancellable(async () => {
      progress.enter('cancelling');
      progress.cancelled(await releaseTask(task));
      const { workflowId, runId } = wf.workflowInfo();
      // Only a cancellation that Temporal itself was asked for closes the run as Cancelled.
      if (signalled && !root.consideredCancelled) await requestCancellation({ workflowId, runId });
    });
    if (signalled) await root.cancelRequested;
    throw error;
  }
}

/** The one call that costs money, on the queue that carries the account's submit rate. */
function buy(prepared: PreparedRequest, imgUrl: string): Promise<SubmittedTask> {
  const taskQueue = submitQueueOf(wf.workflowInfo().taskQueue);
  const { submitTask } = wf.proxyActivities<VideoActivities>({ ...activityOptions.submitTask, taskQueue });
  return submitTask({ prepared, imgUrl });
}

/** The poll step, with the task id where the Web UI shows it. */
function pollTask({ taskId }: SubmittedTask): VideoActivities['pollTask'] {
  return wf.proxyActivities<VideoActivities>({ ...activityOptions.pollTask, summary: `task ${taskId}` }).pollTask;
}

/** The one place where a cancelled run deals with a task that may already cost money. */
async function releaseTask(task: SubmittedTask | undefined): Promise<NonNullable<VideoProgress['cancel']>> {
  if (task === undefined) return { outcome: 'Nothing was bought.', billed: false };
  // No answer counts as a refusal: saying "billed" of a free task is the smaller error.
  const { cancelled } = await cancelTask({ taskId: task.taskId }).catch(() => ({ cancelled: false }));
  return cancelled
    ? { outcome: `Task ${task.taskId} had not started and was cancelled at the provider.`, billed: false }
    : { outcome: `Task ${task.taskId} had started and goes on at the provider; a success is billed.`, billed: null };
}

function trackProgress() {
  let state: VideoProgress = {
    stage: 'preparing',
    waiting_for: WAITING_FOR.preparing,
    task_id: null,
    since_ms: Date.now(),
    cancel: null,
  };
  wf.setHandler(progressQuery, () => state);
  const show = (change: Partial<VideoProgress>) => {
    state = { ...state, ...change };
    const lines = [`**${state.stage}**`, `waiting for ${state.waiting_for}`];
    if (state.task_id !== null) lines.push(`task \`${state.task_id}\``);
    if (state.cancel !== null) lines.push(state.cancel.outcome);
    wf.setCurrentDetails(lines.join('  \n'));
  };
  const enter = (stage: Stage) => show({ stage, waiting_for: WAITING_FOR[stage], since_ms: Date.now() });
  return {
    enter,
    bought({ taskId }: SubmittedTask): void {
      show({ task_id: taskId });
      attribute({ VideoTaskId: [taskId] });
    },
    finish(result: VideoResult): VideoResult {
      show({ task_id: result.task_id });
      enter('done');
      attribute({ VideoTaskId: [result.task_id], VideoOutcome: [result.source] });
      return result;
    },
    fail(error: unknown): void {
      enter('failed');
      const cause = error instanceof wf.ActivityFailure ? error.cause : error;
      if (cause instanceof wf.ApplicationFailure) {
        const detail = cause.details?.[0] as { code?: string; task_id?: string } | undefined;
        attribute({ VideoOutcome: ['failed'], VideoErrorCode: [detail?.code ?? cause.type ?? 'unknown'] });
      } else attribute({ VideoOutcome: ['failed'] });
    },
    cancelled(cancel: NonNullable<VideoProgress['cancel']>): void {
      show({ cancel });
      enter('cancelled');
      attribute({ VideoOutcome: ['cancelled'] });
    },
  };
}

/** The memo says whether the namespace knows our attributes; runs work without them. */
function attribute(values: Record<string, string[]>): void {
  if (wf.workflowInfo().memo?.['search_attributes'] !== false) wf.upsertSearchAttributes(values);
}
