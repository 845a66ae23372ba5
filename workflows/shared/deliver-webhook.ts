import * as wf from '@temporalio/workflow';
import type { AuditReport } from '../../src/contract/audit.js';
import { cutToBytes, SUMMARY_BYTES_MAX } from '../../src/contract/bounds.js';
import type { VideoFailure } from '../../src/contract/failure.js';
import { markdownText } from '../../src/contract/markdown.js';
import { webhookWorkflowId } from '../../src/contract/names.js';
import type { Attention } from '../../src/contract/result.js';
import {
  DEFAULT_RECEIVER,
  receiverOf,
  type WebhookEvent,
  type WebhookEvents,
  type WebhookEventType,
  type WebhookRoute,
  webhookEventId,
} from '../../src/contract/webhook.js';
import {
  attentionRun,
  budgetReachedRun,
  endedRun,
  orphansAudit,
  type RunEnd,
} from '../../src/contract/webhook-data.js';
import { steps } from './activities.js';
import { isAlreadyStarted, runFailure } from './failures.js';
import { fieldsOf } from './message-checks.js';
import { requireInput } from './require-input.js';
import { batchOf } from './run-context.js';
import { showDetails } from './web-ui.js';

/**
 * Delivers one event to the webhook. It is a run of its own: the run that reports must neither wait for the receiver
 * nor fail with it, and an event must outlive both.
 */
export async function deliverWebhook(event: WebhookEvent, route?: WebhookRoute): Promise<{ status: number }> {
  const { text } = fieldsOf(fieldsOf(event)['data']);
  requireInput(typeof text === 'string');
  showDetails([markdownText(event.data.text)]);
  return steps()
    .postEvent({ event, ...(route !== undefined && { route }) })
    .catch((error: unknown) => {
      throw runFailure(error);
    });
}

/** Id of the event that this execution has reported last: the next one is delivered after it. */
let latestId: string | null = null;
/** What a run hands to the next run of its chain, whose events follow. */
export const latestEventId = (): string | null => latestId;
/** Continues the order of the previous run of the chain. */
export function continueEventsAfter(eventId: string | null): void {
  latestId = eventId;
}

/** Content of an event, with a key that is unique among the events of one chain of executions. */
type Notification<Event extends WebhookEvent = WebhookEvent> = Event extends WebhookEvent
  ? Pick<Event, 'type' | 'data'> & { readonly key: string }
  : never;

/**
 * Starts the delivery of an event that the webhook is subscribed to; resolves once it has started, which takes Temporal
 * milliseconds. Never rejects, and a cancellation of the caller does not stop it.
 * @param webhookEvents - The subscribed events; undefined: there is no webhook.
 * @param notification - Called only when the event is subscribed to.
 */
export async function notify(
  webhookEvents: WebhookEvents | undefined,
  type: WebhookEventType,
  notification: () => Notification,
): Promise<void> {
  if (webhookEvents === undefined) return;
  const { receiver, events } = receiverOf(webhookEvents);
  if (!events.includes(type)) return;
  const { key, ...content } = notification();
  const id = webhookEventId(wf.workflowInfo().firstExecutionRunId, key);
  const event = { id, timestamp: new Date().toISOString(), ...content } as WebhookEvent;
  const route: WebhookRoute = { receiver, after: latestId };
  latestId = id;
  try {
    await wf.CancellationScope.nonCancellable(() =>
      wf.startChild(deliverWebhook, {
        workflowId: webhookWorkflowId(id),
        args: receiver === DEFAULT_RECEIVER && route.after === null ? [event] : [event, route],
        parentClosePolicy: 'ABANDON',
        cancellationType: wf.ChildWorkflowCancellationType.ABANDON,
        // A delivered event is not sent again, not even by a run that was reset; a refused one is.
        workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
        staticSummary: cutToBytes(`${type}: ${event.data.workflow_id}`, SUMMARY_BYTES_MAX),
      }),
    );
  } catch (error) {
    if (!isAlreadyStarted(error)) wf.log.warn('the webhook could not be notified', { error: String(error) });
  }
}

/**
 * Reports that this run waits for a person.
 * @param count - How many questions it has asked so far, this one included.
 */
export function notifyAttention(
  webhookEvents: WebhookEvents | undefined,
  attention: Attention,
  count: number,
): Promise<void> {
  return notify(webhookEvents, 'run.needs_attention', () => ({
    type: 'run.needs_attention',
    key: `needs_attention_${count}`,
    data: attentionRun(runEventSource(), attention),
  }));
}

/** Reports that a budget has stopped this run; for an item of a batch its batch does so, once for all items. */
export async function notifyBudgetReached(
  webhookEvents: WebhookEvents | undefined,
  failure: VideoFailure,
): Promise<void> {
  if (batchOf() !== null) return;
  await notify(webhookEvents, 'run.budget_reached', () => ({
    type: 'run.budget_reached',
    key: 'budget_reached',
    data: budgetReachedRun(runEventSource(), failure),
  }));
}

/** Reports how this run has ended. */
export function notifyEnded(webhookEvents: WebhookEvents | undefined, end: RunEnd): Promise<void> {
  return notify(webhookEvents, 'run.ended', () => ({
    type: 'run.ended',
    key: 'ended',
    data: endedRun(runEventSource(), end),
  }));
}

/** Reports that an audit found orphans. */
export function notifyOrphans(webhookEvents: WebhookEvents | undefined, report: AuditReport): Promise<void> {
  return notify(webhookEvents, 'audit.orphans', () => ({
    type: 'audit.orphans',
    key: 'audit_orphans',
    data: orphansAudit(wf.workflowInfo().workflowId, report),
  }));
}

const runEventSource = () => ({ workflowId: wf.workflowInfo().workflowId, batchId: batchOf() });
