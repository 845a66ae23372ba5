import type { VideoBatchInput } from '../contract/batch.js';
import { cutToBytes, DETAILS_BYTES_MAX } from '../contract/bounds.js';
import type { VideoRequest } from '../contract/request.js';
import { redactText } from '../net/redact.js';

/** The request in the Web UI's Markdown; URLs are without their query, which may be a signature. */
export function staticDetails(request: VideoRequest): string {
  const { prompt, reference_image, labels, ...rest } = request;
  const fields = {
    reference_image: reference_image.startsWith('data:') ? 'data: URI' : redactText(reference_image),
    ...rest,
    ...Object.fromEntries(Object.entries(labels ?? {}).map(([name, value]) => [`label ${name}`, value])),
  };
  return cutToBytes([redactText(prompt), '', ...listFields(fields)].join('\n'), DETAILS_BYTES_MAX);
}

/** The input of a batch in the Web UI's Markdown. */
export const batchDetails = (input: VideoBatchInput): string =>
  cutToBytes(listFields({ ...input }).join('\n'), DETAILS_BYTES_MAX);

const listFields = (fields: Readonly<Record<string, unknown>>): string[] =>
  Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `- ${name}: \`${redactText(String(value)).replaceAll('`', "'")}\``);
