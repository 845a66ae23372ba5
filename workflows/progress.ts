import * as wf from '@temporalio/workflow';
import type { SubmittedTask } from '../activities/types.js';
import type { CancelOutcome, VideoProgress, VideoResult } from '../src/contract/result.js';
import { progressQuery } from './messages.js';

type Stage = VideoProgress['stage'];

/** What each stage waits for, as people read it. */
const WAITING_FOR: Record<Stage, string> = {
  preparing: 'the image to be fetched and checked',
  uploading: "the image to reach the provider's temporary store",
  submitting: 'the provider to accept the task',
  rendering: 'the provider to finish the task',
  archiving: 'the video to be downloaded, verified and stored',
  cancelling: 'the provider to say whether the task can still be cancelled',
  done: 'nothing',
  cancelled: 'nothing',
  failed: 'nothing',
};

/** Keeps what the `progress` query, the current details and the search attributes say in step with each other. */
export class Progress {
  #state: VideoProgress = {
    stage: 'preparing',
    waiting_for: WAITING_FOR.preparing,
    task_id: null,
    since_ms: Date.now(),
    cancel: null,
  };

  constructor() {
    wf.setHandler(progressQuery, () => this.#state);
    this.enter('preparing');
  }

  enter(stage: Stage): void {
    this.#show({ stage, waiting_for: WAITING_FOR[stage], since_ms: Date.now() });
  }

  bought({ taskId }: SubmittedTask): void {
    this.#show({ task_id: taskId });
    attribute({ VideoTaskId: [taskId] });
  }

  finished(result: VideoResult): VideoResult {
    this.#show({ task_id: result.task_id });
    this.enter('done');
    attribute({ VideoTaskId: [result.task_id], VideoOutcome: [result.source] });
    return result;
  }

  failed(error: unknown): void {
    this.enter('failed');
    const cause = error instanceof wf.ActivityFailure ? error.cause : error;
    const known = cause instanceof wf.ApplicationFailure ? cause : undefined;
    const detail = known?.details?.[0] as { code?: string } | undefined;
    attribute({ VideoOutcome: ['failed'], VideoErrorCode: [detail?.code ?? known?.type ?? 'unknown'] });
  }

  cancelled(cancel: CancelOutcome): void {
    this.#show({ cancel });
    this.enter('cancelled');
    attribute({ VideoOutcome: ['cancelled'] });
  }

  #show(change: Partial<VideoProgress>): void {
    this.#state = { ...this.#state, ...change };
    const { stage, waiting_for, task_id, cancel } = this.#state;
    const lines = [`**${stage}**`];
    if (waiting_for !== 'nothing') lines.push(`waiting for ${waiting_for}`);
    if (task_id !== null) lines.push(`task \`${task_id}\``);
    if (cancel !== null) lines.push(cancel.outcome);
    wf.setCurrentDetails(lines.join('  \n'));
  }
}

/** The memo says whether the namespace knows our attributes; runs work without them. */
function attribute(values: Record<string, string[]>): void {
  if (wf.workflowInfo().memo?.['search_attributes'] !== false) wf.upsertSearchAttributes(values);
}
