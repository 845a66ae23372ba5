import type { WebhookSettings } from '../../webhook/webhook-file.js';

/** Whom a worker with this configuration tells, and of what. Sends nothing: `wan-video webhook test` does. */
export async function checkWebhook(settings: WebhookSettings | undefined): Promise<string> {
  if (settings === undefined) return 'none is configured';
  const { host, events, secrets } = settings;
  return `${host} is told of ${events.join(', ')}${secrets.length > 1 ? `, signed with ${secrets.length} secrets` : ''}`;
}
