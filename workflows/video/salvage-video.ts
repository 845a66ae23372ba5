import * as wf from '@temporalio/workflow';
import type { Purchase, WatchedTask } from '../../activities/types.js';
import { salvageWorkflowId } from '../../src/contract/names.js';
import type { VideoResult } from '../../src/contract/result.js';
import { STEP_TIMES } from '../../src/contract/times.js';
import type { WebhookEvents } from '../../src/contract/webhook.js';
import { failureOf, isAlreadyStarted } from '../shared/failures.js';
import { Progress } from './progress.js';
import { PurchaseTracker } from './purchase-tracker.js';

/** What is to be salvaged. */
export interface Salvage {
  readonly purchase: Purchase;
  /** The task, where it is known: its claim may not be written yet, or it was bought beside the purchase's own. */
  readonly task: WatchedTask | null;
  /** Whether the namespace knows our search attributes. */
  readonly attributes: boolean;
  /** What is told to the webhook; absent: there is none. */
  readonly webhookEvents?: WebhookEvents | undefined;
}

/**
 * Sees an open purchase to its end when its run cannot: follows it, finds out what became of it, archives its video and closes it.
 * Buys nothing and cancels nothing.
 * @returns the video, or null when nothing was bought or what was bought was free.
 */
export async function salvageVideo({
  purchase,
  task,
  attributes,
  webhookEvents,
}: Salvage): Promise<VideoResult | null> {
  const progress = new Progress();
  progress.attributes(attributes);
  const tracker = new PurchaseTracker(progress);
  tracker.webhookEvents = webhookEvents;
  try {
    const settled =
      task === null
        ? await tracker.settle({ kind: 'follow', purchase }, STEP_TIMES)
        : ({ kind: 'task', task } as const);
    if (settled.kind === 'archived') return progress.finished(settled.result);
    if (settled.kind === 'restore') return progress.finished(settled.result); // archived before; the next request restores it
    if (settled.kind === 'buy' || settled.kind === 'failed') return progress.nothing();
    const end = await tracker.watchToEnd(settled.task, STEP_TIMES);
    return end.kind === 'archived' ? progress.finished(end.result) : progress.nothing();
  } catch (error) {
    progress.failed(failureOf(error));
    throw error;
  }
}

/**
 * Starts a salvage that outlives this run.
 * @returns its workflow id, and whether it was this call that started it: one that runs already does the same.
 */
export async function startSalvage(salvage: Salvage, summary: string): Promise<{ id: string; started: boolean }> {
  const { purchase, task } = salvage;
  const late = task?.claim === 'extra' ? task.taskId : undefined;
  const workflowId = salvageWorkflowId(purchase.key, purchase.n, late);
  try {
    await wf.startChild(salvageVideo, {
      ...{ workflowId, args: [salvage], parentClosePolicy: 'ABANDON', staticSummary: summary },
      cancellationType: wf.ChildWorkflowCancellationType.ABANDON,
    });
    return { id: workflowId, started: true };
  } catch (error) {
    if (!isAlreadyStarted(error)) throw error;
    return { id: workflowId, started: false };
  }
}
