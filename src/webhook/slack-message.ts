import type { WebhookDelivery } from '../contract/webhook.js';

/** A message as incoming webhooks of chats take it. */
interface SlackMessage {
  readonly text: string;
}

/** An event as the text of a chat message: what has happened, what to do now, and the address of the video. */
export function slackMessage({ data }: WebhookDelivery): SlackMessage {
  const lines = [escapeMarkup(data.text)];
  if ('next_step' in data && data.next_step !== null) lines.push(escapeMarkup(data.next_step));
  if ('link' in data && data.link !== null) {
    lines.push(`<${data.link.url}|the video>, until ${data.link.expires_at}`);
  }
  return { text: lines.join('\n') };
}

/** The three characters that Slack reads as markup (https://docs.slack.dev/messaging/formatting-message-text). */
const escapeMarkup = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
