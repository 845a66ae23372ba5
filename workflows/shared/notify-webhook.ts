import * as wf from '@temporalio/workflow';
import type { WebhookEvents } from '../../activities/types.js';
import type { VideoFailure } from '../../src/contract/failure.js';
import { webhookWorkflowId } from '../../src/contract/names.js';
import type { Attention } from '../../src/contract/result.js';
import {
  attentionRun,
  budgetReachedRun,
  type WebhookEvent,
  type WebhookEventType,
  webhookEventId,
} from '../../src/contract/webhook.js';
import { steps } from './activities.js';
import { isAlreadyStarted } from './failures.js';
import { batchOf } from './run-context.js';

/**
 * Delivers one event to the webhook. A run of its own, because who has something to tell must neither wait for the receiver nor fail with
 * it, and what was to be told must outlive both.
 */
export async function deliverWebhook(event: WebhookEvent): Promise<{ status: number }> {
  wf.setCurrentDetails(event.data.text);
  return steps().notifyWebhook({ event });
}

/** An event by what tells it apart within its chain of executions. */
type News<Event extends WebhookEvent = WebhookEvent> = Event extends WebhookEvent
  ? Pick<Event, 'type' | 'data'> & { readonly what: string }
  : never;

/**
 * Starts the delivery of an event when it is wanted; resolves once it is started, which takes Temporal milliseconds. Never rejects, whatever
 * becomes of the caller.
 * @param news - Asked only when the event is wanted.
 */
export async function tell(
  webhookEvents: WebhookEvents | undefined,
  type: WebhookEventType,
  news: () => News,
): Promise<void> {
  if (webhookEvents?.includes(type) !== true) return;
  const { what, ...content } = news();
  const id = webhookEventId(wf.workflowInfo().firstExecutionRunId, what);
  const event = { id, timestamp: new Date().toISOString(), ...content } as WebhookEvent;
  try {
    await wf.CancellationScope.nonCancellable(() =>
      wf.startChild(deliverWebhook, {
        ...{ workflowId: webhookWorkflowId(id), args: [event], parentClosePolicy: 'ABANDON' },
        cancellationType: wf.ChildWorkflowCancellationType.ABANDON,
        // What was delivered is not told again, also not by a run that was reset; what was refused is.
        workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
        staticSummary: `${type}: ${event.data.workflow_id}`,
      }),
    );
  } catch (error) {
    if (!isAlreadyStarted(error)) wf.log.warn('the webhook could not be told', { error: String(error) });
  }
}

/**
 * Tells that this run waits for a person.
 * @param count - How many times it has, this one included.
 */
export function notifyAttention(
  webhookEvents: WebhookEvents | undefined,
  attention: Attention,
  count: number,
): Promise<void> {
  return tell(webhookEvents, 'run.needs_attention', () => ({
    type: 'run.needs_attention',
    what: `needs_attention_${count}`,
    data: attentionRun(runEventSource(), attention),
  }));
}

/** Tells that a budget has stopped this run; an item of a batch leaves that to its batch, which tells it once. */
export function notifyBudgetReached(webhookEvents: WebhookEvents | undefined, failure: VideoFailure): Promise<void> {
  if (batchOf() !== null) return Promise.resolve();
  return tell(webhookEvents, 'run.budget_reached', () => ({
    type: 'run.budget_reached',
    what: 'budget_reached',
    data: budgetReachedRun(runEventSource(), failure),
  }));
}

const runEventSource = () => ({ workflowId: wf.workflowInfo().workflowId, batchId: batchOf() });
