import { DEFAULT_RECEIVER } from '../../contract/webhook.js';
import type { WebhookReceiverSettings } from '../../webhook/webhook-file.js';

/**
 * Which receivers a worker with this configuration notifies, and of which events. Sends nothing:
 * `wan-video webhook test` does.
 */
export async function checkWebhook(receivers: WebhookReceiverSettings | undefined): Promise<string> {
  if (receivers === undefined) return 'none is configured';
  const lines = [...receivers].map(([name, { host, events, secrets, format }]) => {
    const signatures = secrets.length > 1 ? `, signed with ${secrets.length} secrets` : '';
    const how = format === 'standard' ? '' : `, as ${format}`;
    const whose = name === DEFAULT_RECEIVER ? '' : `${name}: `;
    return `${whose}${host} is notified of ${events.join(', ')}${signatures}${how}`;
  });
  return lines.join('; ');
}
