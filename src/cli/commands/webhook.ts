import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { FailureType } from '../../contract/failure-type.js';
import { VideoError } from '../../contract/video-error.js';
import { DEFAULT_RECEIVER, type WebhookTestEvent, webhookEventId } from '../../contract/webhook.js';
import { ExitCode } from '../../text/exit-code.js';
import { unknownReceiver } from '../../webhook/webhook-receivers.js';
import { WebhookSender } from '../../webhook/webhook-sender.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';

const EXAMPLE = '\nExample:\n  WAN_VIDEO_WEBHOOK=webhook.json wan-video webhook test';

/** `wan-video webhook`: tests the configured webhook. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Tests the webhook that is notified of batches, of runs that wait for a person and of runs that have ended. ' +
        'See docs/webhook.md.',
    )
    .addHelpText('after', EXAMPLE);
  command
    .command('test')
    .summary('send a test event')
    .description(
      'Sends one event of the type webhook.test to a receiver that WAN_VIDEO_WEBHOOK configures, and prints its ' +
        'answer. The event is signed if the receiver has a secret. Exit code 0 when it accepted the event, else 3.',
    )
    .option('--receiver <name>', 'one of several receivers', DEFAULT_RECEIVER)
    .option(...JSON_FLAG)
    .addHelpText('after', EXAMPLE)
    .action(context.action(({ receiver }: { receiver: string }) => testWebhook(receiver, context)));
}

async function testWebhook(name: string, context: CommandContext): Promise<number> {
  const configuration = new Settings(context.io);
  const receivers = await configuration.webhook();
  if (receivers === undefined) {
    throw new VideoError(FailureType.ConfigurationInvalid, 'No webhook is configured', {
      issues: [{ path: 'WAN_VIDEO_WEBHOOK', message: 'is not set; set it to the path of the webhook file' }],
      nextStep: 'docs/webhook.md shows such a file.',
    });
  }
  const settings = receivers.get(name);
  if (settings === undefined) throw unknownReceiver(name, [...receivers.keys()]);
  const { times, proxies } = configuration.config();
  const sender = new WebhookSender({ settings, proxies, timeoutMs: times.webhookHttpMs, now: Date.now });
  const event: WebhookTestEvent = {
    id: webhookEventId(randomUUID(), 'test'),
    type: 'webhook.test',
    timestamp: new Date().toISOString(),
    data: { text: 'This is a test of the webhook; nothing has happened.' },
  };
  try {
    const status = await sender.send(event);
    const { host } = sender;
    context.result({ host, id: event.id, status }, `${host} accepted the event ${event.id} (${status}).`);
    return ExitCode.done;
  } finally {
    await sender.close();
  }
}
