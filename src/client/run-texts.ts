import type { VideoBatchInput } from '../contract/batch.js';
import type { VideoRequest } from '../contract/request.js';
import { redactText } from '../net/redact.js';

/**
 * Temporal's recommended bound of a summary, in bytes of UTF-8
 * (https://docs.temporal.io/develop/typescript/enriching-ui).
 */
const SUMMARY_BYTES = 200;

/** One line that distinguishes a run from its neighbours in the Web UI's list; no URL, no secret. */
export function staticSummary({ prompt, duration, size }: VideoRequest): string {
  return cut(
    `${duration} s ${size}: ${redactText(prompt)
      .replace(/[\s\p{Cc}]+/gu, ' ')
      .trim()}`,
    SUMMARY_BYTES,
  );
}

/** The request, as the Web UI's markdown; URLs without their query, which may be a signature. */
export function staticDetails(request: VideoRequest): string {
  const { prompt, reference_image, labels, ...rest } = request;
  const fields = {
    reference_image: reference_image.startsWith('data:') ? 'data: URI' : redactText(reference_image),
    ...rest,
    ...Object.fromEntries(Object.entries(labels ?? {}).map(([name, value]) => [`label ${name}`, value])),
  };
  return [redactText(prompt), '', ...list(fields)].join('\n');
}

/** How a batch was started, as the Web UI's markdown. */
export const batchDetails = (input: VideoBatchInput): string => list({ ...input }).join('\n');

const list = (fields: Readonly<Record<string, unknown>>): string[] =>
  Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `- ${name}: \`${redactText(String(value)).replaceAll('`', "'")}\``);

/** Cuts between characters, never inside one. */
function cut(text: string, maxBytes: number): string {
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
