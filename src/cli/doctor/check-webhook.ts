import type { WebhookSettings } from '../../webhook/webhook-file.js';

/**
 * Which receiver a worker with this configuration notifies, and of which events. Sends nothing:
 * `wan-video webhook test` does.
 */
export async function checkWebhook(settings: WebhookSettings | undefined): Promise<string> {
  if (settings === undefined) return 'none is configured';
  const { host, events, secrets } = settings;
  const signatures = secrets.length > 1 ? `, signed with ${secrets.length} secrets` : '';
  return `${host} is notified of ${events.join(', ')}${signatures}`;
}
