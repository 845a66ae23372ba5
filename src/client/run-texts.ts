import type { VideoBatchInput } from '../contract/batch.js';
import type { VideoRequest } from '../contract/request.js';
import { redactText } from '../net/redact.js';

/**
 * Temporal's recommended limit for a summary, in bytes of UTF-8
 * (https://docs.temporal.io/develop/typescript/enriching-ui).
 */
const SUMMARY_BYTES = 200;

/** One line that identifies a run in the Web UI's list; it holds no URL and no secret. */
export function staticSummary({ prompt, duration, size }: VideoRequest): string {
  const line = redactText(prompt).replace(/[\s\p{Cc}]+/gu, ' ');
  return truncate(`${duration} s ${size}: ${line.trim()}`, SUMMARY_BYTES);
}

/** The request in the Web UI's Markdown; URLs are without their query, which may be a signature. */
export function staticDetails(request: VideoRequest): string {
  const { prompt, reference_image, labels, ...rest } = request;
  const fields = {
    reference_image: reference_image.startsWith('data:') ? 'data: URI' : redactText(reference_image),
    ...rest,
    ...Object.fromEntries(Object.entries(labels ?? {}).map(([name, value]) => [`label ${name}`, value])),
  };
  return [redactText(prompt), '', ...listFields(fields)].join('\n');
}

/** The input of a batch in the Web UI's Markdown. */
export const batchDetails = (input: VideoBatchInput): string => listFields({ ...input }).join('\n');

const listFields = (fields: Readonly<Record<string, unknown>>): string[] =>
  Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `- ${name}: \`${redactText(String(value)).replaceAll('`', "'")}\``);

/** Shortens a text between two characters, never inside one. */
function truncate(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const kept: string[] = [];
  let bytes = Buffer.byteLength('…');
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > maxBytes) break;
    kept.push(character);
  }
  return `${kept.join('')}…`;
}
