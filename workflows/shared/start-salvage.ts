import * as wf from '@temporalio/workflow';
import type { Orphans } from '../../activities/find-orphans.js';
import type { WatchedTask } from '../../activities/purchase-step.js';
import { cutToBytes, SUMMARY_BYTES_MAX } from '../../src/contract/bounds.js';
import { salvageWorkflowId, WorkflowType } from '../../src/contract/names.js';
import type { Purchase } from '../../src/contract/purchase.js';
import type { VideoResult } from '../../src/contract/result.js';
import type { StepTimes } from '../../src/contract/times.js';
import type { WebLinks } from '../../src/contract/web-links.js';
import type { WebhookEvents } from '../../src/contract/webhook.js';
import { isAlreadyStarted } from './failures.js';

/** What to salvage. */
export interface Salvage {
  readonly purchase: Purchase;
  /**
   * The task, where it is known: its claim may not be written yet, or it was bought in addition to the purchase's own.
   */
  readonly task: WatchedTask | null;
  /** Whether the namespace has the search attributes. */
  readonly attributes: boolean;
  /** Events that the webhook is subscribed to; absent: there is no webhook. */
  readonly webhookEvents?: WebhookEvents | undefined;
  /** Where the details of the run lead; absent: nowhere. */
  readonly webLinks?: WebLinks | undefined;
  /** The worker's times; absent: the shipped ones. */
  readonly times?: StepTimes | undefined;
}

/**
 * Starts a salvage that outlives this run.
 * @returns its workflow id, and whether this call has started it: one that runs already does the same.
 */
export async function startSalvage(salvage: Salvage, summary: string): Promise<{ id: string; started: boolean }> {
  const { purchase, task } = salvage;
  const extraTaskId = task?.claim === 'extra' ? task.taskId : undefined;
  const workflowId = salvageWorkflowId(purchase.key, purchase.n, extraTaskId);
  try {
    await wf.startChild<(salvage: Salvage) => Promise<VideoResult | null>>(WorkflowType.salvageVideo, {
      workflowId,
      args: [salvage],
      parentClosePolicy: 'ABANDON',
      staticSummary: cutToBytes(summary, SUMMARY_BYTES_MAX),
      cancellationType: wf.ChildWorkflowCancellationType.ABANDON,
    });
    return { id: workflowId, started: true };
  } catch (error) {
    if (!isAlreadyStarted(error)) throw error;
    return { id: workflowId, started: false };
  }
}

/** Salvages that are started in one workflow task; their commands have a few hundred kB together. */
const STARTED_AT_ONCE = 100;

/**
 * Starts a salvage for each orphan, many at a time: one after the other, a hundred of them take seconds.
 * @param summary - For people, of the orphan that the given run left.
 * @returns the workflow ids of those that this call has started.
 */
export async function startSalvages(
  {
    orphans,
    ...common
  }: Pick<Salvage, 'attributes' | 'webhookEvents' | 'webLinks' | 'times'> & Pick<Orphans, 'orphans'>,
  summary: (workflowId: string) => string,
): Promise<string[]> {
  const ids: string[] = [];
  for (let first = 0; first < orphans.length; first += STARTED_AT_ONCE) {
    const started = orphans
      .slice(first, first + STARTED_AT_ONCE)
      .map(({ purchase, extraTask, workflowId }) =>
        startSalvage({ purchase, task: extraTask, ...common }, summary(workflowId)),
      );
    for (const salvage of await Promise.all(started)) if (salvage.started) ids.push(salvage.id);
  }
  return ids;
}
