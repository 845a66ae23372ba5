import type { VideoRequest } from '../contract/request.js';
import { redactText } from '../net/redact.js';

/** At 4 bytes each and with an id of 100 bytes, these fit into the server's limit of 400 bytes for a summary. */
const PROMPT_CHARACTERS = 60;

/** One line that identifies an item in the Web UI's list; it holds no URL and no secret. */
export function itemSummary(itemId: string, { prompt, duration, size }: VideoRequest): string {
  const text = redactText(prompt)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
  const characters = [...text];
  const shown = characters.length > PROMPT_CHARACTERS ? `${characters.slice(0, PROMPT_CHARACTERS).join('')}…` : text;
  return `${itemId}: ${duration} s ${size}: ${shown}`;
}
