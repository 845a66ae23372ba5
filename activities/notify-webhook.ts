import { totalAmount } from '../src/config/prices.js';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import type { WebhookEvent, WebhookEvents } from '../src/contract/webhook.js';
import { batchReportKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/**
 * POSTs one event to the webhook. Run twice, or when the answer was lost, it delivers the same id again, by which the receiver knows it.
 */
export function createNotifyWebhook(deps: ActivityDeps): VideoActivities['notifyWebhook'] {
  const { webhook } = deps;
  return ({ event }) =>
    withSignal(async (signal) => {
      if (webhook === undefined) {
        // Another worker of the queue may have one: it told the run so.
        throw new VideoError(FailureType.ConfigurationInvalid, 'This worker has no webhook', {
          retryable: true,
          nextStep: 'Start every worker with the same WAN_VIDEO_WEBHOOK.',
        });
      }
      return { status: await webhook.send(completed(event, deps), { signal }) };
    });
}

/** With what only a worker knows: prices, and where the report is. */
function completed(event: WebhookEvent, { prices, store }: ActivityDeps): WebhookEvent {
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

/** The events that a run creates for this worker's webhook; without a webhook a run creates none. */
export const subscribedEvents = ({ webhook }: Pick<ActivityDeps, 'webhook'>): { webhookEvents?: WebhookEvents } =>
  webhook === undefined ? {} : { webhookEvents: webhook.events };
