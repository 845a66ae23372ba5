import type { VideoRequest } from '../contract/request.js';
import { redactText } from '../net/redact.js';

/** With an id of 100 bytes and 4 bytes each these stay below the server's 400 bytes for a summary. */
const PROMPT_CHARACTERS = 60;

/** One line that distinguishes an item from its neighbours in the Web UI's list; no URL, no secret. */
export function itemSummary(itemId: string, { prompt, duration, size }: VideoRequest): string {
  const text = redactText(prompt)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
  const characters = [...text];
  const shown = characters.length > PROMPT_CHARACTERS ? `${characters.slice(0, PROMPT_CHARACTERS).join('')}…` : text;
  return `${itemId}: ${duration} s ${size}: ${shown}`;
}
