import { randomUUID } from 'node:crypto';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { type WebhookTestEvent, webhookEventId } from '../contract/webhook.js';
import { ExitCode } from '../text/exit-code.js';
import { WebhookSender } from '../webhook/webhook-sender.js';
import type { CommandContext } from './context.js';

/** Sends one event that means nothing. */
export async function runWebhookTest(context: CommandContext): Promise<number> {
  const settings = await context.webhook();
  if (settings === undefined) {
    const path = 'WAN_VIDEO_WEBHOOK';
    throw new VideoError(FailureType.ConfigurationInvalid, 'No webhook is configured', {
      issues: [{ path, message: 'is not set; name the file that says whom to tell' }],
      nextStep: 'docs/webhook.md shows such a file.',
    });
  }
  const { times, proxies } = await context.config();
  const sender = new WebhookSender({ settings, proxies, timeoutMs: times.webhookHttpMs, now: Date.now });
  const event: WebhookTestEvent = {
    id: webhookEventId(randomUUID(), 'test'),
    type: 'webhook.test',
    timestamp: new Date().toISOString(),
    data: { text: 'A test of the webhook: nothing has happened.' },
  };
  try {
    const status = await sender.send(event);
    context.result(
      { host: sender.host, id: event.id, status },
      `${sender.host} took the event ${event.id} (${status}).`,
    );
    return ExitCode.done;
  } finally {
    await sender.close();
  }
}
