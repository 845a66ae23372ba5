import { cutToBytes } from '../contract/bounds.js';
import { markdownSummary } from '../contract/markdown.js';
import type { VideoRequest } from '../contract/request.js';
import { redactText } from '../net/redact.js';

/**
 * Temporal's recommended limit for a summary, in bytes of UTF-8
 * (https://docs.temporal.io/develop/typescript/enriching-ui).
 */
const SUMMARY_BYTES = 200;

/** One line that identifies a run in the Web UI's list; it holds no URL and no secret. */
export function runSummary({ prompt, duration, size }: VideoRequest): string {
  const line = markdownSummary(redactText(prompt)).replace(/\s+/g, ' ');
  return cutToBytes(`${duration} s ${size}: ${line.trim()}`, SUMMARY_BYTES);
}
