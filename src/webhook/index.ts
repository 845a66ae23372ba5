export type { BatchSchedulePause } from '../contract/batch.js';
export type { Money } from '../contract/budget.js';
export { VideoError } from '../contract/video-error.js';
export {
  WEBHOOK_EVENT_TYPES,
  type WebhookBatch,
  type WebhookDelivery,
  type WebhookEvent,
  type WebhookEventType,
  type WebhookRun,
  type WebhookTestEvent,
} from '../contract/webhook.js';
export { type VerifyOptions, verifyWebhook, type WebhookRequestHeaders } from './signature.js';
