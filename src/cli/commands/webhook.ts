import type { Command } from 'commander';
import type { CommandContext } from '../context.js';

/** `wan-video webhook`: tries who is told without asking. */
export function addWebhook(program: Command, context: CommandContext): void {
  const webhook = program
    .command('webhook')
    .summary('try the webhook that is told of batches and of waiting runs')
    .addHelpText('after', '\nExample:\n  WAN_VIDEO_WEBHOOK=webhook.json wan-video webhook test');
  webhook
    .command('test')
    .summary('send a signed test event')
    .description(
      'Sends one signed event of the type webhook.test to the receiver that WAN_VIDEO_WEBHOOK configures, and says what it answered. Exit ' +
        'code 0 when it took the event, else 3.',
    )
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  WAN_VIDEO_WEBHOOK=webhook.json wan-video webhook test')
    .action(
      context.action(async () => {
        const { runWebhookTest } = await import('../run-webhook-test.js');
        return runWebhookTest(context);
      }),
    );
}
