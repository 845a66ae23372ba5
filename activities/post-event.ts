import { totalAmount } from '../src/config/prices.js';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import type { WebhookEvent, WebhookEvents } from '../src/contract/webhook.js';
import { batchReportKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';
import { withSignal } from './with-signal.js';

/**
 * POSTs one event to the webhook. Every attempt delivers the same id, by which a receiver recognizes an event that it
 * has processed.
 */
export function createPostEvent(deps: ActivityDeps) {
  const { webhook } = deps;
  return ({ event }: { event: WebhookEvent }): Promise<{ status: number }> =>
    withSignal(async (signal) => {
      if (webhook === undefined) {
        // Another worker of the queue has one, or the event would not exist.
        throw new VideoError(FailureType.ConfigurationInvalid, 'This worker has no webhook', {
          retryable: true,
          nextStep: 'Start every worker with the same WAN_VIDEO_WEBHOOK.',
        });
      }
      return { status: await webhook.send(completeEvent(event, deps), { signal }) };
    });
}

/** Adds what only a worker knows: the cost, and the address of the report. */
function completeEvent(event: WebhookEvent, { prices, store }: ActivityDeps): WebhookEvent {
  if (event.type === 'run.needs_attention' || event.type === 'run.budget_reached') return event;
  const { data } = event;
  const isReported = event.type === 'batch.ended' && data.state !== 'failed';
  return {
    ...event,
    data: {
      ...data,
      amount: prices === undefined ? null : totalAmount(prices, data.billed),
      report_url: isReported ? store.url(batchReportKey(data.batch_id)) : null,
    },
  };
}

/**
 * The events that this worker's webhook is subscribed to, as a step hands them to its run; nothing without a webhook.
 */
export const subscribedEvents = ({ webhook }: Pick<ActivityDeps, 'webhook'>): { webhookEvents?: WebhookEvents } =>
  webhook === undefined ? {} : { webhookEvents: webhook.events };
